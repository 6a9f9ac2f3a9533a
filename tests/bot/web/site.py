"""The server with the pages, without Discord, and a member's browser without a screen."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator

import aiohttp

from bot.config import Config, WebConfig
from bot.services.bulk.all import Bulk
from bot.services.dataset.captions import Captions
from bot.services.dataset.crops import Crops
from bot.services.dataset.desk import Desk
from bot.services.dataset.files import FileStore
from bot.services.dataset.quality import Quality
from bot.services.intake.intake import Intake
from bot.services.intake.posts import Posts
from bot.services.intake.unpack import Unpack
from bot.store.database import Store
from bot.vision.sheets.painter import Painter
from bot.vision.zips.unzip import Unzipper
from bot.web.drops import Drops
from bot.web.edits import ManyAtOnce
from bot.web.guard import Guard
from bot.web.limits import Limits
from bot.web.links import Links
from bot.web.pages import Pages
from bot.web.passes import Passes
from bot.web.recaption import Recaption
from bot.web.server import WebServer
from bot.web.signing import Signer
from bot.web.squares import Squares
from bot.web.tagger import TaggerOptions
from tests.bot.jobs.lab import Clock
from tests.bot.services.conftest import OWNER, ScriptedTagger

SECRET = b"s" * 32
HELPER = 13


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Site:
    """The server with the pages, and a member's browser without a screen."""

    def __init__(self, session, server, passes, limits, clock, under_way):
        self.session, self.server, self.passes, self.limits, self.clock = session, server, passes, limits, clock
        self.under_way = under_way

    def headers(self, user: int, dataset_id: int = 1) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.passes.link(dataset_id, user).url.partition('#')[2]}"}

    async def ask(self, method, path, user=OWNER, *, headers=None, **more):
        """Status and JSON of a request below /u/."""
        url = f"{self.server.base_url()}/u/{path}"
        sent = self.headers(user) if headers is None else headers
        async with self.session.request(method, url, headers=sent, **more) as answer:
            self.answer = answer
            body = await answer.read()
            return answer.status, json.loads(body) if answer.content_type == "application/json" else body

    async def put(self, data, user=OWNER, name="a.jpg", **more):
        return await self.ask("PUT", f"api/file/{sha256(data)}", user, params={"name": name}, data=data, **more)

    async def edit(self, picture, text, user=OWNER, **seen):
        body = {"text": text, "seen": picture["caption"], "revision": picture["revision"], **seen}
        return await self.ask("PUT", f"api/caption/{picture['id']}", user, data=json.dumps(body))

    async def post(self, path, body=None, user=OWNER, **more):
        return await self.ask("POST", path, user, data=json.dumps(body), **more)

    async def pictures(self, user=OWNER):
        """What the page shows, as it is now."""
        return (await self.ask("GET", "api/dataset", user))[1]["pictures"]


async def captions_of(site):
    """What members wrote behind the prefix."""
    return [each["caption"].removeprefix("lisaxl, woman, ") for each in await site.pictures()]


def nothing() -> None:
    """Wakes nobody."""


@contextlib.asynccontextmanager
async def site_of(
    store: Store, config: Config, intake: Intake, captions: Captions, files: FileStore, tagger: ScriptedTagger
) -> AsyncIterator[Site]:
    """The server over these services."""
    clock = Clock()
    quality = Quality(store, files, config, Painter(), clock)
    posts = Posts(
        store, intake, Unpack(intake, Unzipper(config.intake.max_file_bytes), config.intake), nothing, nothing
    )
    desk = Desk(store, intake, captions, quality, posts, config.intake, nothing)
    bulk = Bulk.build(store, files, tagger, config.tagger, clock)
    limits = Limits(clock)
    crops = Crops(store, files, config, Painter())
    parts = (
        ManyAtOnce(bulk, config.intake.max_pictures, limits, nothing),
        Drops(quality, nothing, nothing),
        Squares(desk, crops, nothing),
        Recaption(bulk, limits, posts.under_way),
        TaggerOptions(bulk.settings),
    )
    server = WebServer(WebConfig(port=0), None)
    signer = Signer(SECRET, server.base_url, clock)
    passes = Passes(signer, 12.0)
    pages = Pages(desk, parts, files, Guard(passes, limits), limits, config.paths.data)
    await server.start(Links(Signer(SECRET, server.base_url), 1.0), pages)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Site(session, server, passes, limits, clock, posts.under_way)
    await server.close()
    await bulk.looks.close()
