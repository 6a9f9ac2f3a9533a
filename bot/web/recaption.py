"""A page has the tagger look again at pictures that have captions, which takes a while.

POST   /u/api/recaption  {"mode": "append" | "fill" | "overwrite", "pictures"}: begins, for all or for some
GET    /u/api/recaption  how far it is; in the end what it would change, offered as any bulk edit (bot.web.edits)
DELETE /u/api/recaption  stops it after the part it is at ("stopping" until then), or forgets what came of it
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from bot.errors import NotFound
from bot.services.bulk.all import Bulk
from bot.services.bulk.edits import Offer
from bot.services.bulk.looks import Look
from bot.services.upkeep.under_way import UnderWay
from bot.web.answers import json_answer, json_of, not_understood, words
from bot.web.asked import chosen_of
from bot.web.guard import Guard
from bot.web.limits import Limits
from bot.web.passes import Pass
from bot.web.shapes import of_offer


class Recaption:
    """The routes of re-captions."""

    def __init__(self, bulk: Bulk, limits: Limits, under_way: UnderWay) -> None:
        self._edits = bulk.edits
        self._looks = bulk.looks
        self._limits = limits
        self._under_way = under_way

    def add_to(self, router: web.UrlDispatcher, guard: Guard) -> None:
        """Register the routes."""
        router.add_post("/u/api/recaption", guard(self._begin))
        router.add_get("/u/api/recaption", guard(self._seen))
        router.add_delete("/u/api/recaption", guard(self._stop))

    async def _begin(self, request: web.Request, made: Pass) -> web.StreamResponse:
        match await json_of(request):
            case {"mode": ("append" | "fill" | "overwrite") as mode} as body:
                chosen = chosen_of(body)
                look = await self._looks.begin(made.dataset_id, made.user_id, mode, chosen, self._under_way)
                return json_answer(202, _of_look(look))
        return not_understood()

    async def _seen(self, request: web.Request, made: Pass) -> web.StreamResponse:
        look = await self._looks.seen(made.dataset_id, made.user_id)
        if look is None or not look.edit_id:
            return json_answer(200, _of_look(look))
        async with self._limits.edit(made.user_id):
            offer = await self._open_offer(look.edit_id, made.user_id)
            if offer is not None:
                return json_answer(200, {**_of_look(look), "offer": await asyncio.to_thread(of_offer, offer)})
        await self._looks.stop(made.dataset_id, made.user_id)
        return json_answer(200, _of_look(None))

    async def _open_offer(self, edit_id: int, user_id: int) -> Offer | None:
        """The offer, if it is still to be decided: it may have been applied in Discord, or be too old."""
        try:
            offer = await self._edits.look(edit_id, user_id)
        except NotFound:
            return None
        return offer if offer.edit.applied_at is None else None

    async def _stop(self, request: web.Request, made: Pass) -> web.StreamResponse:
        await self._looks.stop(made.dataset_id, made.user_id)
        return json_answer(200, {})


def _of_look(look: Look | None) -> dict[str, Any]:
    if look is None:
        return {"state": "none"}
    if look.failed:
        return {"state": "failed", "said": words(look.failed)}
    stopping = {"stopping": True} if look.stopped and not look.ended else {}
    return {"state": "offered" if look.edit_id else "looking", "done": look.done, "total": look.total, **stopping}
