"""A dataset's page: hand over many pictures, see them all, edit captions. Signed links lead there (bot.web.passes).

    GET    /u/ and its scripts and style       the same for everybody; they hold nothing of anybody
    GET    /u/api/dataset                      the dataset, its report, its pictures and captions
    GET    /u/api/picture/{id}?side=320|1024   a small JPEG
    PUT    /u/api/file/{sha256}?name=…         one picture, or a ZIP of them; the same again changes nothing
    PUT    /u/api/caption/{id}                 {"text", "seen", "revision"}; 409 with the other text on a conflict
    DELETE /u/api/picture/{id}                 for good; bot.web.drops has the removal that can be undone

What else a page does is in the other `Routes`: bulk edits and files of captions in bot.web.edits, drops in
bot.web.drops, squares in bot.web.squares, re-captions in bot.web.recaption, the tagger's options in bot.web.tagger.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from aiohttp import web

from bot.cards.preview import preview
from bot.errors import NotFound
from bot.rules.names import shown_file
from bot.services.dataset.desk import Desk
from bot.services.dataset.files import FileStore
from bot.services.intake.unpack import is_archive_name
from bot.web.answers import HEADERS, error_answer, json_answer, json_of, not_understood
from bot.web.guard import Guard
from bot.web.limits import Limits
from bot.web.passes import Pass
from bot.web.receive import NAME_LIMIT, BrokeOff, archive_of, picture_of
from bot.web.shapes import of_hand_over, of_picture, of_sheet

SCRIPTS = (
    *("page", "upload", "sheet", "picture", "removal", "look", "chosen", "squares", "square", "cut", "many", "drops"),
    *("recaption", "tagger", "files", "dialog", "pace", "dom", "sha256"),
)
STATIC: MappingProxyType[str, tuple[str, str]] = MappingProxyType(
    {
        "": ("page.html", "text/html"),
        "page.css": ("page.css", "text/css"),
        **{f"{name}.js": (f"{name}.js", "text/javascript") for name in SCRIPTS},
    }
)
"""What is served without a pass, by its name behind /u/."""
SIDES = ("320", "1024")
"""Sizes a picture can be had in: a tile of the sheet on a dense screen, and the picture looked at."""
THUMBNAILS_AT_ONCE = 2
MAX_JSON_BYTES = 64 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Routes(Protocol):
    """A part of what pages can do."""

    def add_to(self, router: web.UrlDispatcher, guard: Guard) -> None:
        """Register the part's routes."""


class Pages:
    """The routes of datasets' pages."""

    def __init__(
        self, desk: Desk, parts: Sequence[Routes], files: FileStore, guard: Guard, limits: Limits, folder: Path
    ) -> None:
        self._desk = desk
        self._parts = parts
        self._files = files
        self._guard = guard
        self._limits = limits
        self._folder = folder
        """Archives lie here while they come in."""
        self._drawing = asyncio.Semaphore(THUMBNAILS_AT_ONCE)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        guard = self._guard
        router.add_get("/u/{name:[a-z0-9.]*}", _static)
        router.add_get("/u/api/dataset", guard(self._dataset))
        router.add_get("/u/api/picture/{id:[0-9]{1,18}}", guard(self._picture))
        router.add_delete("/u/api/picture/{id:[0-9]{1,18}}", guard(self._remove))
        router.add_put("/u/api/caption/{id:[0-9]{1,18}}", guard(self._caption))
        router.add_put("/u/api/file/{sha256}", guard(self._file))
        for part in self._parts:
            part.add_to(router, guard)

    async def _dataset(self, request: web.Request, made: Pass) -> web.StreamResponse:
        sheet = await self._desk.sheet(made.dataset_id, made.user_id)
        return json_answer(200, await asyncio.to_thread(of_sheet, sheet, self._desk.limits))

    async def _picture(self, request: web.Request, made: Pass) -> web.StreamResponse:
        side = request.query.get("side", SIDES[0])
        if side not in SIDES:
            return error_answer(400, f"The side must be one of {', '.join(SIDES)}.")
        found = await self._desk.picture(made.dataset_id, made.user_id, int(request.match_info["id"]))
        try:
            async with self._drawing:
                small = await asyncio.to_thread(preview, self._files.path(found.file), int(side))
        except FileNotFoundError:
            raise NotFound("This picture was removed.") from None
        return web.Response(body=small, content_type="image/jpeg", headers=HEADERS)

    async def _remove(self, request: web.Request, made: Pass) -> web.StreamResponse:
        await self._desk.remove(made.dataset_id, made.user_id, int(request.match_info["id"]))
        return json_answer(200, {})

    async def _caption(self, request: web.Request, made: Pass) -> web.StreamResponse:
        match await json_of(request):
            case {"text": str(text), "seen": str(seen), "revision": int(revision)}:
                picture_id = int(request.match_info["id"])
                edited = await self._desk.edit(made.dataset_id, made.user_id, picture_id, text, seen, revision)
                shown = of_picture(edited.dataset, edited.picture)
                return json_answer(200 if edited.stored else 409, shown)
        return not_understood()

    async def _file(self, request: web.Request, made: Pass) -> web.StreamResponse:
        sha256 = request.match_info["sha256"]
        name = request.query.get("name", "")[:NAME_LIMIT]
        if not _SHA256.fullmatch(sha256):
            return not_understood()
        await self._desk.may_add(made.dataset_id, made.user_id)
        take = self._archive if is_archive_name(name) else self._one_picture
        try:
            return await take(request, made, name, sha256)
        except BrokeOff:
            return error_answer(400, f"{shown_file(name)} did not arrive whole.")

    async def _one_picture(self, request: web.Request, made: Pass, name: str, sha256: str) -> web.StreamResponse:
        limit = self._desk.limits.max_file_bytes
        if (request.content_length or 0) > limit:
            return _too_large(name, limit, "Send a smaller copy.")
        async with self._limits.upload(made.user_id):
            file = await picture_of(request, name, sha256, limit)
            report = await self._desk.add(made.dataset_id, made.user_id, made.source, file)
        return json_answer(200, of_hand_over(report))

    async def _archive(self, request: web.Request, made: Pass, name: str, sha256: str) -> web.StreamResponse:
        limit = self._desk.limits.max_zip_bytes
        if (request.content_length or 0) > limit:
            return _too_large(name, limit, "Send the pictures in several archives, or by themselves.")
        async with self._limits.archive(made.user_id), archive_of(request, name, sha256, limit, self._folder) as file:
            source = f"{made.source}:{sha256}"
            report = await self._desk.add_archive(made.dataset_id, made.user_id, source, file)
        return json_answer(200, of_hand_over(report))


async def _static(request: web.Request) -> web.StreamResponse:
    known = STATIC.get(request.match_info["name"])
    if known is None:
        raise web.HTTPNotFound
    name, kind = known
    body = await asyncio.to_thread((resources.files("bot.web.static") / name).read_bytes)
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=HEADERS)


def _too_large(name: str, limit: int, remedy: str) -> web.Response:
    return error_answer(413, f"{shown_file(name)} is larger than {limit / 2**20:.0f} MB. {remedy}")
