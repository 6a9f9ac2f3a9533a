"""What a page changes in many captions at once, and takes back.

    POST /u/api/edits               {"do": …, "pictures"}: what it would change, in all or in some; nothing is changed
                                    yet
    POST /u/api/edits/{id}/apply    does it; 409 with what it would change now when captions moved meanwhile
    POST /u/api/edits/{id}/undo
    GET  /u/api/edits               what was done, the latest first
    GET  /u/api/captions?form=text  all captions as a file; also form=zip
    POST /u/api/captions?name=…     such a file, changed elsewhere: what it would change, offered

These are the services of the cards in Discord, so an edit offered there can be applied here and the other way round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from bot.errors import NotFound
from bot.services.bulk.all import Bulk
from bot.services.bulk.edits import Offer
from bot.services.bulk.files import most_bytes
from bot.services.intake.intake import Incoming
from bot.web.answers import HEADERS, error_answer, json_answer, json_of, not_understood
from bot.web.asked import operation_of
from bot.web.guard import Guard
from bot.web.limits import Limits
from bot.web.passes import Pass
from bot.web.receive import NAME_LIMIT, BrokeOff, text_of
from bot.web.shapes import of_offer, of_past

PAST_SHOWN = 20


class ManyAtOnce:
    """The routes of bulk edits and of files of captions."""

    def __init__(self, bulk: Bulk, most_pictures: int, limits: Limits, wake_cards: Callable[[], None]) -> None:
        self._edits = bulk.edits
        self._files = bulk.files
        self._most_pictures = most_pictures
        """Of a dataset: no file of captions is larger than theirs."""
        self._limits = limits
        self._wake_cards = wake_cards

    def add_to(self, router: web.UrlDispatcher, guard: Guard) -> None:
        """Register the routes."""
        router.add_get("/u/api/edits", guard(self._history))
        router.add_post("/u/api/edits", guard(self._offer))
        router.add_post("/u/api/edits/{id:[0-9]{1,18}}/apply", guard(self._apply))
        router.add_post("/u/api/edits/{id:[0-9]{1,18}}/undo", guard(self._undo))
        router.add_get("/u/api/captions", guard(self._export))
        router.add_post("/u/api/captions", guard(self._import))

    async def _history(self, request: web.Request, made: Pass) -> web.StreamResponse:
        past, total = await self._edits.history(made.dataset_id, made.user_id, PAST_SHOWN)
        return json_answer(200, {"total": total, "past": [of_past(each, made.user_id) for each in past]})

    async def _offer(self, request: web.Request, made: Pass) -> web.StreamResponse:
        operation = operation_of(await json_of(request))
        async with self._limits.edit(made.user_id):
            offer = await self._edits.offer(made.dataset_id, made.user_id, operation)
            return json_answer(200, await asyncio.to_thread(of_offer, offer))

    async def _apply(self, request: web.Request, made: Pass) -> web.StreamResponse:
        async with self._limits.edit(made.user_id):
            applied = await self._edits.apply((await self._known(request, made)).edit.id, made.user_id)
            self._wake_cards()
            return json_answer(200 if applied.done else 409, await asyncio.to_thread(of_offer, applied.offer))

    async def _undo(self, request: web.Request, made: Pass) -> web.StreamResponse:
        undone = await self._edits.undo((await self._known(request, made)).edit.id, made.user_id)
        self._wake_cards()
        return json_answer(200, {"title": undone.title, "restored": undone.restored, "kept": undone.kept})

    async def _known(self, request: web.Request, made: Pass) -> Offer:
        """The edit, if it is one of the pass's dataset; raises NotFound, NotYours."""
        offer = await self._edits.look(int(request.match_info["id"]), made.user_id)
        if offer.dataset.id != made.dataset_id:
            raise NotFound("This edit is no longer kept. Start it anew.")
        return offer

    async def _import(self, request: web.Request, made: Pass) -> web.StreamResponse:
        try:
            return await self._imported(request, made)
        except BrokeOff:
            return error_answer(400, "The file did not arrive whole, or is too large.")

    async def _imported(self, request: web.Request, made: Pass) -> web.Response:
        name = request.query.get("name", "")[:NAME_LIMIT]
        most = most_bytes(self._most_pictures)
        if (size := request.content_length or 0) > most:  # not read at all; the service says how large it may be
            file = Incoming(name, size, request.read)
        else:
            async with self._limits.upload(made.user_id):
                file = await text_of(request, name, most)
        async with self._limits.edit(made.user_id):
            offer = await self._files.offer_import(made.dataset_id, made.user_id, file)
            return json_answer(200, await asyncio.to_thread(of_offer, offer))

    async def _export(self, request: web.Request, made: Pass) -> web.StreamResponse:
        form = request.query.get("form")
        if form not in ("text", "zip"):
            return not_understood()
        file = await self._files.export(made.dataset_id, made.user_id, "zip" if form == "zip" else "text")
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{file.name}"'}
        return web.Response(body=file.data, content_type="application/octet-stream", headers=headers)
