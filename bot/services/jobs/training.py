"""Training: what a job would cost, its submission with a frozen config, and its end by a member's wish."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bot.config import Config
from bot.errors import NotFound, NotYours, Refused, StorageError
from bot.rules.jobs.plan import (
    NO_TRAINER,
    Plan,
    config_for,
    make_plan,
    not_looked_at,
    sample_prompts,
    square_notes,
    still_looked_at,
)
from bot.rules.jobs.progress import Progress
from bot.rules.pictures.crop import focus_of
from bot.rules.pictures.measures import Measures
from bot.runners.local import LocalRunner
from bot.services.dataset.datasets import PUT_AWAY, owned
from bot.services.dataset.verdicts import said_of_squares, usual_config
from bot.services.jobs.ending import Ending, trained
from bot.services.jobs.library import Library
from bot.services.jobs.queue import Queue
from bot.store.cards import add_card, forget_card, mark_dirty, queue_moved
from bot.store.database import Connection, Store
from bot.store.facts import read_fact, write_fact
from bot.store.jobs import (
    active_job_of,
    active_jobs,
    end_attempt,
    get_attempt,
    get_job,
    insert_job,
    set_last_version,
    update_job,
)
from bot.store.pictures import pictures_of_dataset
from bot.store.quality import measures_of
from bot.store.rows import Dataset, Job, Picture
from trainer.contract.config import TrainConfig
from trainer.contract.durable import reach
from trainer.contract.errors import ContractError, InvalidConfig
from trainer.contract.estimates import estimate
from trainer.contract.folder import JobFolder
from trainer.contract.spec import JobSpec, PictureSpec

log = logging.getLogger(__name__)

VERSION_FACT = "lora-version:"
"""Facts `lora-version:<trigger>`: the highest number ever given; a deleted LoRA's name is not given again."""


class Training:
    """Plans, submits and ends jobs."""

    def __init__(
        self,
        store: Store,
        config: Config,
        runner: LocalRunner,
        library: Library,
        queue: Queue,
        ending: Ending,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._config = config
        self._runner = runner
        self._library = library
        self._queue = queue
        self._ending = ending
        self._clock = clock
        self._submitting = asyncio.Lock()

    async def plan(self, dataset_id: int, user_id: int, preset: str = "", epochs: int = 0) -> Plan:
        """What a training of the dataset would be; 0 epochs are the preset's. Raises Refused with the reason."""
        async with self._store.transaction() as tx:
            dataset, pictures = await self._ready(tx, dataset_id, user_id)
            preset = self._config.training.preset_for(dataset.kind, preset)
            config, notes = self._frozen_config(preset, epochs, len(pictures), dataset)
            measures = await measures_of(tx, dataset_id)
            rates = await self._queue.rates(tx)
            line = await self._queue.look(tx)
            free = len(self._runner.services) - len(line.training) - len(line.waiting)
        up = await self.trainer_is_up()
        notes = notes if up else [f"{NO_TRAINER} Your training then begins by itself.", *notes]
        usual = usual_config(self._config.training, dataset)
        notes = [*notes, *square_notes(dataset, pictures, measures, config, usual)]
        per_image = rates.per_image(rate_of(config))
        position = 0 if up and free > 0 else len(line.waiting) + 1
        return make_plan(dataset, pictures, measures, config, notes, per_image, position)

    async def trainer_is_up(self) -> bool:
        """Whether anything trains at all, so that waiting makes sense."""
        return await asyncio.to_thread(self._runner.any_served)

    async def submit(
        self, dataset_id: int, user_id: int, preset: str = "", epochs: int = 0, *, unseen: bool = False
    ) -> Job:
        """Accept a job: its folder is written whole, then its row; from then on it is never lost.

        Raises Refused when the dataset has an active job (a second click), the member has too many waiting, something
        is missing, or, without `unseen`, squares would be cut from pictures nobody has looked at yet; StorageError
        when the disk refuses.
        """
        async with self._submitting:
            async with self._store.transaction() as tx:
                dataset, pictures = await self._ready(tx, dataset_id, user_id)
                await self._check_limits(tx, dataset)
                preset = self._config.training.preset_for(dataset.kind, preset)
                config, _ = self._frozen_config(preset, epochs, len(pictures), dataset)
                measures = await measures_of(tx, dataset_id)
                waiting = 0 if unseen else not_looked_at(pictures, measures, config)
                if waiting:
                    raise Refused(f"Nothing was started: {still_looked_at(waiting)} Press *Train* again in a minute.")
                name = await self._next_name(tx, dataset)
            spec = self._spec(dataset, _specs(dataset, pictures, measures), config, name, preset)
            folder = await asyncio.to_thread(self._create, spec)
            reach("bot.job-folder-created")
            job = _job(dataset, spec)
            try:
                await self._accept(job)
            except sqlite3.IntegrityError as error:
                await asyncio.to_thread(folder.delete)
                raise Refused("This dataset is gone by now, or has a training already.") from error
        log.info("job %s (%s) accepted: %s pictures, %s steps", job.id, job.name, len(pictures), job.steps)
        return job

    async def stop(self, job_id: str, user_id: int) -> Job:
        """End a job and keep what was trained; one that has not begun leaves the queue at once."""
        async with self._store.transaction() as tx:
            job = await get_job(tx, job_id)
            if job is None:
                raise NotFound("This training is gone.")
            if job.owner_id != user_id:
                raise NotYours("Only the member who started this training can stop it.")
            if job.state not in ("queued", "running", "stopping"):
                raise Refused(f"{job.name} has ended already.")
            attempt = await get_attempt(tx, job.id, job.attempt)
            under_way = attempt is not None and attempt.ended_at is None
            if not under_way and not trained(Progress.from_json(job.progress)):
                await self._ending.stop_at_once(tx, job)
            else:
                await update_job(tx, job.id, state="stopping")
                await mark_dirty(tx, "job", job.id, urgent=True)
        reach("bot.stop-decided")
        if under_way:
            # Dispatch does it again each round until the attempt has ended; here only so that it is quick.
            with contextlib.suppress(ContractError):
                await asyncio.to_thread(self._runner.ask_to_stop, job.id, job.attempt)
        async with self._store.transaction() as tx:
            return await get_job(tx, job_id) or job

    async def stop_all(self, dataset_id: int) -> None:
        """Ask every job of a dataset that is being deleted to stop.

        One that never ran, or whose service is away, has ended when this returns; of the others the trainer's answer
        ends them, within a step.
        """
        async with self._store.transaction() as tx:
            job = await active_job_of(tx, dataset_id)
            attempt = await get_attempt(tx, job.id, job.attempt) if job else None
        if job is None:
            return
        with contextlib.suppress(Refused):  # it has ended meanwhile
            await self.stop(job.id, job.owner_id)
        async with self._store.transaction() as tx:
            await forget_card(tx, "job", job.id)
        if attempt is None or attempt.ended_at is not None:
            ends = True
        else:
            ends = not await asyncio.to_thread(self._runner.is_served, attempt.service)
            await asyncio.to_thread(self._runner.withdraw, attempt.service, job.id, attempt.number)
        if ends:
            async with self._store.transaction() as tx:
                if attempt is not None and attempt.ended_at is None:
                    await end_attempt(tx, attempt, "deleted", self._clock())
                await self._ending.stop_at_once(tx, job)

    async def _ready(self, tx: Connection, dataset_id: int, user_id: int) -> tuple[Dataset, list[Picture]]:
        dataset = await owned(tx, dataset_id, user_id)
        if dataset.state != "open" or dataset.thread_id is None:
            raise Refused("Consent is still missing. Press the button on the dataset's card first.")
        if dataset.archived_at is not None:
            raise Refused(PUT_AWAY)
        pictures = await pictures_of_dataset(tx, dataset_id)
        if not pictures:
            raise Refused("The dataset has no pictures yet. Add some first.")
        return dataset, pictures

    async def _check_limits(self, tx: Connection, dataset: Dataset) -> None:
        active = await active_job_of(tx, dataset.id)
        if active is not None:
            raise Refused(f"{active.name} is already {'queued' if active.state == 'queued' else 'training'}.")
        queued = [job for job in await active_jobs(tx) if job.owner_id == dataset.owner_id and job.state == "queued"]
        limit = self._config.training.queued_per_member
        if len(queued) >= limit:
            raise Refused(f"You have {len(queued)} trainings waiting. Start another when one of them has begun.")

    def _frozen_config(
        self, preset: str, epochs: int, pictures: int, dataset: Dataset
    ) -> tuple[TrainConfig, list[str]]:
        """The job's settings; what a member said of the dataset's squares goes before the preset."""
        try:
            base = self._config.training.config_for(preset, said_of_squares(dataset))
            return config_for(base, epochs, pictures)
        except InvalidConfig as error:
            raise Refused(f"That cannot be trained: {error}.") from error

    async def _next_name(self, tx: Connection, dataset: Dataset) -> str:
        fact = VERSION_FACT + dataset.trigger
        version = max(int(await read_fact(tx, fact) or 0), dataset.last_version) + 1
        while self._library.taken(f"{dataset.trigger}_v{version}"):
            version += 1
        await write_fact(tx, fact, str(version))
        await set_last_version(tx, dataset.id, version)
        return f"{dataset.trigger}_v{version}"

    def _spec(
        self, dataset: Dataset, pictures: Sequence[PictureSpec], config: TrainConfig, name: str, preset: str
    ) -> JobSpec:
        now = self._clock()
        base = self._config.training.base
        return JobSpec(
            job_id=f"{int(now * 1000):012x}{secrets.token_hex(4)}",
            name=name,
            base=str(Path(base).absolute()) if Path(base).exists() else base,
            trigger=dataset.trigger,
            class_word=dataset.class_word,
            kind=dataset.kind,
            pictures=tuple(pictures),
            config=config,
            preset=preset,
            sample_prompts=sample_prompts(dataset, [picture.caption for picture in pictures]),
            created_at=now,
        )

    def _create(self, spec: JobSpec) -> JobFolder:
        pictures = self._config.paths.pictures
        try:
            return JobFolder.create(self._config.paths.jobs.absolute(), spec, lambda file: pictures / file)
        except ContractError as error:
            raise StorageError(f"The training could not be saved: {error}.") from error

    async def _accept(self, job: Job) -> None:
        async with self._store.transaction() as tx:
            await insert_job(tx, job)
            await add_card(tx, "job", job.id, job.thread_id)
            await mark_dirty(tx, "dataset", job.dataset_id)
            await queue_moved(tx)


def _specs(dataset: Dataset, pictures: Sequence[Picture], measures: Mapping[int, Measures | None]) -> list[PictureSpec]:
    """The pictures as the trainer gets them; the square is there whether or not squares are used now."""
    return [
        PictureSpec(
            file=picture.file,
            caption=picture.caption,
            focus=focus_of(dataset, picture, measures.get(picture.id)),
        )
        for picture in pictures
    ]


def rate_of(config: TrainConfig) -> str:
    """What the time for one picture depends on."""
    return f"{config.resolution}:{config.targets}"


def _job(dataset: Dataset, spec: JobSpec) -> Job:
    """The row of a job just accepted."""
    size = estimate(spec.images_per_epoch, spec.config)
    progress = Progress(
        epochs=spec.config.epochs,
        steps=size.steps,
        images=spec.images_per_epoch * spec.config.epochs,
        rate=rate_of(spec.config),
    )
    return Job(
        id=spec.job_id,
        dataset_id=dataset.id,
        guild_id=dataset.guild_id,
        owner_id=dataset.owner_id,
        thread_id=dataset.thread_id or dataset.channel_id,
        name=spec.name,
        preset=spec.preset,
        state="queued",
        attempt=0,
        lost_attempts=0,
        steps=size.steps,
        epochs=spec.config.epochs,
        progress=progress.to_json(),
        error="",
        lora_file="",
        lora_sha256="",
        lora_bytes=0,
        gpu_seconds=0.0,
        submitted_at=spec.created_at,
        started_at=None,
        ended_at=None,
    )
