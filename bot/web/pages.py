"""A dataset's page: hand over many pictures, see them all, edit captions. Signed links lead there (bot.web.passes).

    GET    /u/ and its script and style        the same for everybody; they hold nothing of anybody
    GET    /u/api/dataset                      the dataset, its pictures and captions
    GET    /u/api/picture/{id}?side=320|1024   a small JPEG
    PUT    /u/api/file/{sha256}?name=…         one picture; the same again changes nothing
    PUT    /u/api/caption/{id}                 {"text", "seen", "revision"}; 409 with the other text on a conflict
    DELETE /u/api/picture/{id}

Answers of the interface are JSON; what went wrong is a sentence in `error`.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from importlib import resources
from types import MappingProxyType
from typing import Any

from aiohttp import web

from bot.cards.preview import preview
from bot.config import IntakeConfig
from bot.errors import LoreleiError, NotFound, NotYours, Refused, StorageError
from bot.rules.names import plain, shown_file
from bot.rules.quality import Verdict
from bot.services.desk import Desk, Sheet
from bot.services.files import FileStore
from bot.services.intake import BatchReport, Incoming
from bot.services.posts import sentences
from bot.store.rows import Picture
from bot.web.limits import Limits, TooMany
from bot.web.passes import Pass, Passes

log = logging.getLogger(__name__)

STATIC: MappingProxyType[str, tuple[str, str]] = MappingProxyType(
    {
        "": ("page.html", "text/html"),
        "page.css": ("page.css", "text/css"),
        "page.js": ("page.js", "text/javascript"),
        "upload.js": ("upload.js", "text/javascript"),
        "sheet.js": ("sheet.js", "text/javascript"),
        "sha256.js": ("sha256.js", "text/javascript"),
    }
)
"""What is served without a pass, by its name behind /u/."""
HEADERS: MappingProxyType[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob:; connect-src 'self';"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "X-Robots-Tag": "noindex",
    }
)
SIDES = ("320", "1024")
"""Sizes a picture can be had in: a tile of the sheet on a dense screen, and the picture looked at."""
THUMBNAILS_AT_ONCE = 2
STALL_SECONDS = 30.0
"""An upload of which nothing comes for so long is given up; the page sends it anew."""
UPLOAD_SECONDS = 600.0
"""Longest time of one upload: 25 MB over a slow phone's 400 kbit/s."""
MAX_JSON_BYTES = 64 * 1024
CHUNK = 64 * 1024
NAME_LIMIT = 255
RETRY_AFTER = {"Retry-After": "2"}
_SHA256 = re.compile(r"[0-9a-f]{64}")
FRESH = "Press Upload many on the dataset's card for a fresh link."

Handler = Callable[[web.Request, Pass], Awaitable[web.StreamResponse]]


class Pages:
    """The routes of datasets' pages."""

    def __init__(self, desk: Desk, files: FileStore, passes: Passes, limits: Limits) -> None:
        self._desk = desk
        self._files = files
        self._passes = passes
        self._limits = limits
        self._drawing = asyncio.Semaphore(THUMBNAILS_AT_ONCE)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        router.add_get("/u/{name:[a-z0-9.]*}", _static)
        router.add_get("/u/api/dataset", self._guarded(self._dataset))
        router.add_get("/u/api/picture/{id:[0-9]{1,18}}", self._guarded(self._picture))
        router.add_delete("/u/api/picture/{id:[0-9]{1,18}}", self._guarded(self._remove))
        router.add_put("/u/api/caption/{id:[0-9]{1,18}}", self._guarded(self._caption))
        router.add_put("/u/api/file/{sha256}", self._guarded(self._file))

    def _guarded(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        @functools.wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            scheme, _, text = request.headers.get("Authorization", "").partition(" ")
            made = self._passes.check(text.strip()) if scheme == "Bearer" else None
            if made is None:
                return _error(401, f"This link is not complete. {FRESH}")
            if self._passes.expired(made):
                return _error(401, f"This link has expired. {FRESH}")
            try:
                self._limits.count(made.user_id)
                return await handler(request, made)
            except TooMany:
                return _error(429, "That is a little much at once; the page goes on by itself.", RETRY_AFTER)
            except LoreleiError as error:
                return _error(_status(error), str(error))

        return guarded

    async def _dataset(self, request: web.Request, made: Pass) -> web.StreamResponse:
        sheet = await self._desk.sheet(made.dataset_id, made.user_id)
        return _json(200, _of_sheet(sheet, self._desk.limits))

    async def _picture(self, request: web.Request, made: Pass) -> web.StreamResponse:
        side = request.query.get("side", SIDES[0])
        if side not in SIDES:
            return _error(400, f"The side must be one of {', '.join(SIDES)}.")
        found = await self._desk.picture(made.dataset_id, made.user_id, int(request.match_info["id"]))
        try:
            async with self._drawing:
                small = await asyncio.to_thread(preview, self._files.path(found.file), int(side))
        except FileNotFoundError:
            raise NotFound("This picture was removed.") from None
        return web.Response(body=small, content_type="image/jpeg", headers=HEADERS)

    async def _remove(self, request: web.Request, made: Pass) -> web.StreamResponse:
        await self._desk.remove(made.dataset_id, made.user_id, int(request.match_info["id"]))
        return _json(200, {})

    async def _caption(self, request: web.Request, made: Pass) -> web.StreamResponse:
        match await _json_of(request):
            case {"text": str(text), "seen": str(seen), "revision": int(revision)}:
                picture_id = int(request.match_info["id"])
                edited = await self._desk.edit(made.dataset_id, made.user_id, picture_id, text, seen, revision)
                return _json(200 if edited.stored else 409, _of_picture(edited.picture))
        return _error(400, "The page sent something I do not understand. Load it again.")

    async def _file(self, request: web.Request, made: Pass) -> web.StreamResponse:
        sha256 = request.match_info["sha256"]
        name = request.query.get("name", "")[:NAME_LIMIT]
        if not _SHA256.fullmatch(sha256):
            return _error(400, "The page sent something I do not understand. Load it again.")
        await self._desk.may_add(made.dataset_id, made.user_id)
        limit = self._desk.limits.max_file_bytes
        if (request.content_length or 0) > limit:
            return _error(413, f"{shown_file(name)} is larger than {limit / 2**20:.0f} MB. Send a smaller copy.")
        async with self._limits.upload(made.user_id):
            data = await _body(request, limit)
            if data is None or not hmac.compare_digest(await asyncio.to_thread(_hash, data), sha256):
                return _error(400, f"{shown_file(name)} did not arrive whole.")
            file = Incoming.holding(name, data)
            report = await self._desk.add(made.dataset_id, made.user_id, made.source, file)
        return _json(200, _of_report(report))


async def _static(request: web.Request) -> web.StreamResponse:
    known = STATIC.get(request.match_info["name"])
    if known is None:
        raise web.HTTPNotFound
    name, kind = known
    body = await asyncio.to_thread((resources.files("bot.web.static") / name).read_bytes)
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=HEADERS)


async def _body(request: web.Request, limit: int) -> bytes | None:
    """The request's bytes; None when they stop coming, break off or are more than `limit`."""
    data = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            while len(data) <= limit:
                async with asyncio.timeout(STALL_SECONDS):
                    part = await request.content.read(CHUNK)
                if not part:
                    return bytes(data)
                data += part
            return None
    except (TimeoutError, web.HTTPException, ConnectionError, asyncio.IncompleteReadError) as error:
        log.info("an upload broke off: %s", type(error).__name__)
        return None


async def _json_of(request: web.Request) -> Any:
    """What the page sent; None when it is not JSON. Its size is bounded by the application's client_max_size."""
    try:
        return await request.json()
    except ValueError:
        return None


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _of_sheet(sheet: Sheet, limits: IntakeConfig) -> dict[str, Any]:
    dataset = sheet.dataset
    return {
        "name": dataset.name,
        "trigger": dataset.trigger,
        "class_word": dataset.class_word,
        "role": sheet.role,
        "open": dataset.state == "open" and dataset.archived_at is None,
        "max_pictures": limits.max_pictures,
        "max_file_bytes": limits.max_file_bytes,
        "pictures": [_of_picture(each) | _of_verdict(sheet.verdicts.get(each.id)) for each in sheet.pictures],
    }


def _of_picture(picture: Picture) -> dict[str, Any]:
    return {
        "id": picture.id,
        "name": picture.file_name,
        "caption": picture.caption,
        "revision": picture.revision,
        "tagged": bool(picture.tagged),
        "width": picture.width,
        "height": picture.height,
        "warnings": picture.warning_list,
        "sha256": picture.source_sha256,
    }


def _of_verdict(verdict: Verdict | None) -> dict[str, Any]:
    """Its frame in the contact sheet, and why."""
    if verdict is None:
        return {}
    return {"level": verdict.level.name.lower(), "why": _words(verdict.sentence)}


def _of_report(report: BatchReport) -> dict[str, Any]:
    if report.added:
        return {"state": "added", "picture": _of_picture(report.added[0])}
    return {"state": "known" if report.duplicates else "refused", "why": _words(" ".join(sentences(report)))}


def _words(sentence: str) -> str:
    """A sentence for a page: Discord's backticks around names become quotation marks."""
    return re.sub(r"`([^`]*)`", r"“\1”", plain(sentence))


def _status(error: LoreleiError) -> int:
    match error:
        case NotFound():
            return 404
        case NotYours():
            return 403
        case Refused():
            return 409
        case StorageError():
            return 507
    log.error("a page's request failed: %s", error)
    return 500


def _error(status: int, sentence: str, more: dict[str, str] | None = None) -> web.Response:
    return _json(status, {"error": _words(sentence)}, more)


def _json(status: int, value: dict[str, Any], more: dict[str, str] | None = None) -> web.Response:
    return web.json_response(value, status=status, headers={**HEADERS, **(more or {})})
