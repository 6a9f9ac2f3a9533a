"""All services, built once by constructor; the loops that drive them; and their end."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import discord

from bot.config import Config
from bot.draw import DatasetDrawer
from bot.draw_job import JobDrawer
from bot.draw_report import ReportDrawer
from bot.poster import DiscordPoster
from bot.runners.embedded import EmbeddedTrainer
from bot.runners.local import LocalRunner
from bot.services.bulk.all import Bulk
from bot.services.dataset.arrange import Arrange
from bot.services.dataset.captions import Captions
from bot.services.dataset.crops import Crops
from bot.services.dataset.datasets import Datasets
from bot.services.dataset.desk import Desk
from bot.services.dataset.files import FileStore
from bot.services.dataset.quality import Quality
from bot.services.dataset.sharing import Sharing
from bot.services.intake.captioning import RETRY_SECONDS, CaptionWriter
from bot.services.intake.intake import Intake
from bot.services.intake.measuring import RETRY_SECONDS as MEASURE_SECONDS
from bot.services.intake.measuring import Measuring
from bot.services.intake.posts import Posts
from bot.services.intake.unpack import Unpack
from bot.services.jobs.dispatch import Dispatch
from bot.services.jobs.ending import Ending
from bot.services.jobs.follow import Follower
from bot.services.jobs.library import Library
from bot.services.jobs.queue import Queue
from bot.services.jobs.training import Training
from bot.services.jobs.watch import TrainerWatch
from bot.services.posting.cards import CardEditor
from bot.services.posting.messages import Drawer, Poster
from bot.services.posting.outbox import Outbox
from bot.services.upkeep.backup import Backups
from bot.services.upkeep.clock import Clockwork
from bot.services.upkeep.loops import Loop
from bot.services.upkeep.retention import Retention
from bot.store.database import Store
from bot.store.jobs import get_job
from bot.store.rows import CardKind
from bot.thread_posts import ThreadPosts
from bot.threads import Threads
from bot.vision.decoding.decoder import Decoder
from bot.vision.measuring.measurer import Measurer
from bot.vision.sheets.painter import Painter
from bot.vision.tagging.tagger import Tagger
from bot.vision.zips.unzip import Unzipper
from bot.web.drops import Drops
from bot.web.edits import ManyAtOnce
from bot.web.guard import Guard
from bot.web.limits import Limits
from bot.web.links import Links
from bot.web.pages import Pages
from bot.web.passes import Passes
from bot.web.recaption import Recaption
from bot.web.server import Download, WebServer
from bot.web.signing import Signer, load_secret
from bot.web.squares import Squares
from bot.web.tagger import TaggerOptions

Clock = Callable[[], float]
"""Tells the time, in Unix seconds."""

EMBEDDED_SECONDS = 1.0
"""How often the embedded trainer is looked after."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The part from a picture's measures to the report on it, and its square."""

    measurer: Measurer
    quality: Quality
    crops: Crops
    drawer: ReportDrawer


@dataclass(frozen=True, slots=True)
class Jobs:
    """The part from Start to the file."""

    training: Training
    queue: Queue
    dispatch: Dispatch
    library: Library
    drawer: JobDrawer
    watch: TrainerWatch
    embedded: tuple[EmbeddedTrainer, ...]


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What is done by the clock: copies of the database, and what is removed by itself."""

    backups: Backups
    retention: Retention
    clockwork: Clockwork


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that is not Discord's; `open` builds it, `start` sets it going, `close` ends it."""

    store: Store
    config: Config
    pictures: FileStore
    datasets: Datasets
    arrange: Arrange
    sharing: Sharing
    intake: Intake
    captions: Captions
    bulk: Bulk
    posts: Posts
    thread_posts: ThreadPosts
    threads: Threads
    drawer: DatasetDrawer
    tagger: Tagger
    jobs: Jobs
    outbox: Outbox
    cards: CardEditor
    links: Links
    passes: Passes
    web: WebServer
    upkeep: Upkeep
    loops: tuple[Loop, ...]
    checks: Checks
    wake_quality: Callable[[], None]
    """Have pictures measured and compared now."""
    wake_cards: Callable[[], None]
    """Have dirty cards drawn now rather than at the next turn."""

    @classmethod
    async def open(
        cls,
        config: Config,
        client: discord.Client,
        clock: Callable[[], float] = time.time,
        poster: Poster | None = None,
    ) -> Services:
        """Open the database and build every service; posts go through `client` unless another poster is given.

        Raises StoreError, StorageError.
        """
        store = await Store.open(config.paths.database)
        try:
            services = _build(store, config, client, clock, poster or DiscordPoster(client))
            await services.upkeep.retention.at_start()
            await services.outbox.start()
            await services.thread_posts.at_start(reading=config.intake.message_content)
            await services.web.start(services.links, _pages(services))
        except BaseException:
            await store.close()
            raise
        return services

    def start(self) -> list[asyncio.Task[None]]:
        """Set the loops and the clock going; whoever closes cancels the tasks first."""
        self.upkeep.clockwork.start()
        return [asyncio.create_task(loop.run(), name=loop.name) for loop in self.loops]

    async def close(self) -> None:
        """End what `open` began. Training goes on without the bot."""
        self.upkeep.clockwork.close()
        for embedded in self.jobs.embedded:
            embedded.let_go()
        await self.outbox.close()
        await self.cards.close()
        await self.web.close()
        await self.bulk.looks.close()  # first, as the tagger waits for the part it is at: a cancelled look gives it up
        await self.tagger.close()
        await self.checks.measurer.close()
        await self.store.close()


@dataclass(frozen=True, slots=True)
class _Site:
    """What the web server and those who link to it are made of."""

    web: WebServer
    links: Links
    passes: Passes


def _build_site(store: Store, config: Config, library: Library, clock: Clock) -> _Site:
    web = WebServer(config.web, FinishedFiles(store, library).find)
    secret = load_secret(config.paths.data / "links.secret")
    signer = Signer(secret, web.base_url, clock, public=config.web.reaches_members)
    return _Site(web, Links(signer, config.web.link_hours), Passes(signer, config.web.page_hours))


def _build_jobs(store: Store, config: Config, library: Library, links: Links, clock: Clock, poster: Poster) -> Jobs:
    runner = LocalRunner(config.paths.inboxes, config.paths.jobs, config.training.services)
    queue = Queue(config.training.services, clock)
    ending = Ending(store, config.training.max_attempts, clock)
    follower = Follower(store, runner, library, queue, ending, clock)
    return Jobs(
        training=Training(store, config, runner, library, queue, ending, clock),
        queue=queue,
        dispatch=Dispatch(store, runner, queue, follower, ending, config.progress, clock),
        library=library,
        drawer=JobDrawer(store, queue, runner, library, links, poster),
        watch=TrainerWatch(store, runner, clock),
        embedded=_embedded(config, runner),
    )


def _build_checks(store: Store, pictures: FileStore, config: Config, clock: Clock) -> Checks:
    painter = Painter()
    quality, crops = Quality(store, pictures, config, painter, clock), Crops(store, pictures, config, painter)
    return Checks(Measurer(), quality, crops, ReportDrawer(quality))


def _drawers(drawer: DatasetDrawer, jobs: Jobs, checks: Checks) -> Mapping[CardKind, Drawer]:
    return {
        "dataset": drawer.dataset,
        "batch": drawer.batch,
        "job": jobs.drawer.draw,
        "report": checks.drawer.draw,
    }


def _build(store: Store, config: Config, client: discord.Client, clock: Clock, poster: Poster) -> Services:
    library = Library(config.paths.loras, config.export.copy_to)
    site = _build_site(store, config, library, clock)
    jobs = _build_jobs(store, config, library, site.links, clock, poster)
    pictures = FileStore(config.paths.pictures)
    tagger = Tagger(config.tagger)
    datasets = Datasets(store, pictures, config, jobs.training.stop_all, clock)
    captions = Captions(store, pictures, tagger, config.tagger, config.training)
    intake = Intake(store, pictures, Decoder(config.intake), config, clock)
    drawer = DatasetDrawer(store, datasets, captions, pictures, posts_taken=config.intake.message_content)
    checks = _build_checks(store, pictures, config, clock)
    cards = CardEditor(store, poster, _drawers(drawer, jobs, checks), config.progress.edit_seconds, clock)
    outbox = Outbox(store, poster, jobs.drawer.compose, clock)
    drawing = Loop("cards", cards.draw_due, config.progress.poll_seconds)
    captioning = Loop("captions", CaptionWriter(store, captions, drawing.wake).write_all, RETRY_SECONDS)
    measuring = _measuring(store, pictures, checks, drawing, clock)
    threads = Threads(client, store, datasets, drawing.wake)
    wake_new = _both(captioning.wake, measuring.wake)
    posts = Posts(store, intake, _unpack(intake, config), wake_new, drawing.wake)
    return Services(
        store=store,
        config=config,
        pictures=pictures,
        datasets=datasets,
        arrange=Arrange(store, pictures, config.intake, wake_new, drawing.wake, clock),
        sharing=Sharing(store, drawing.wake, clock),
        intake=intake,
        captions=captions,
        bulk=Bulk.build(store, pictures, tagger, config.tagger, clock),
        posts=posts,
        thread_posts=ThreadPosts(client, store, datasets, posts),
        threads=threads,
        drawer=drawer,
        tagger=tagger,
        jobs=jobs,
        outbox=outbox,
        cards=cards,
        links=site.links,
        passes=site.passes,
        web=site.web,
        upkeep=_build_upkeep(store, config, pictures, jobs, clock),
        loops=(*_loops(config, jobs, outbox, datasets, threads), captioning, measuring, drawing),
        checks=checks,
        wake_quality=measuring.wake,
        wake_cards=drawing.wake,
    )


def _pages(services: Services) -> Pages:
    """What the web page can do: the same services as in Discord."""
    checks, bulk, wake_cards, intake = services.checks, services.bulk, services.wake_cards, services.config.intake
    desk = Desk(services.store, services.intake, services.captions, checks.quality, services.posts, intake, wake_cards)
    limits = Limits()
    parts = (
        ManyAtOnce(bulk, intake.max_pictures, limits, wake_cards),
        Drops(checks.quality, wake_cards, services.wake_quality),
        Squares(desk, checks.crops, wake_cards),
        Recaption(bulk, limits, services.posts.under_way),
        TaggerOptions(bulk.settings),
    )
    guard = Guard(services.passes, limits)
    return Pages(desk, parts, services.pictures, guard, limits, services.config.paths.data)


def _build_upkeep(store: Store, config: Config, pictures: FileStore, jobs: Jobs, clock: Clock) -> Upkeep:
    backups, retention = Backups(store, config.paths.backups, clock), Retention(store, config, pictures, clock)
    return Upkeep(backups, retention, Clockwork(backups, retention, jobs.watch))


def _measuring(store: Store, pictures: FileStore, checks: Checks, drawing: Loop, clock: Clock) -> Loop:
    new = Measuring(store, pictures, checks.measurer, drawing.wake, clock)
    return Loop("measures", new.measure_all, MEASURE_SECONDS)


def _both(one: Callable[[], None], other: Callable[[], None]) -> Callable[[], None]:
    """Whoever waits for new pictures is woken."""

    def wake() -> None:
        one()
        other()

    return wake


def _unpack(intake: Intake, config: Config) -> Unpack:
    return Unpack(intake, Unzipper(config.intake.max_file_bytes), config.intake)


def _loops(config: Config, jobs: Jobs, outbox: Outbox, datasets: Datasets, threads: Threads) -> list[Loop]:
    seconds = config.progress.poll_seconds
    return [
        Loop("dispatch", jobs.dispatch.round, seconds),
        Loop("outbox", outbox.send_due, seconds),
        Loop("deletions", functools.partial(datasets.finish_deletions, threads.remove), seconds),
        *(Loop(f"trainer {each.name}", each.look_after, EMBEDDED_SECONDS) for each in jobs.embedded),
    ]


def _embedded(config: Config, runner: LocalRunner) -> tuple[EmbeddedTrainer, ...]:
    if not config.training.embedded_trainer:
        return ()
    logs, cache = config.paths.data / "logs", config.paths.cache
    return tuple(
        EmbeddedTrainer(runner.inbox(name), config.training.device, logs, cache=cache) for name in runner.services
    )


class FinishedFiles:
    """What the web server may serve."""

    def __init__(self, store: Store, library: Library) -> None:
        self._store = store
        self._library = library

    async def find(self, job_id: str) -> Download | None:
        """The finished file of a job."""
        async with self._store.transaction() as tx:
            job = await get_job(tx, job_id)
        path = self._library.path(job) if job else None
        return Download(path, path.name) if path else None
