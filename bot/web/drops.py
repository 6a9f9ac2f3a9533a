"""What a page drops, and brings back: the report's red pictures, and those a member chose.

POST /u/api/red        {"digest"}: drops the red pictures the member saw
POST /u/api/drop       {"pictures"}: drops these
POST /u/api/drop/undo  {"drop"} brings that drop back, if nothing was dropped since; {"picture"} the one with that
                       picture, whatever was; {} the last
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from bot.services.dataset.quality import Quality
from bot.services.upkeep.retention import UNDO_DAYS
from bot.store.quality import Drop
from bot.web.answers import json_answer, json_of, not_understood
from bot.web.asked import is_id, picture_ids
from bot.web.guard import Guard
from bot.web.passes import Pass


class Drops:
    """The routes of drops; those in Discord are the same."""

    def __init__(self, quality: Quality, wake_cards: Callable[[], None], wake_quality: Callable[[], None]) -> None:
        self._quality = quality
        self._wake_cards = wake_cards
        self._wake_quality = wake_quality

    def add_to(self, router: web.UrlDispatcher, guard: Guard) -> None:
        """Register the routes."""
        router.add_post("/u/api/red", guard(self._drop_red))
        router.add_post("/u/api/drop", guard(self._drop_chosen))
        router.add_post("/u/api/drop/undo", guard(self._bring_back))

    async def _drop_red(self, request: web.Request, made: Pass) -> web.StreamResponse:
        match await json_of(request):
            case {"digest": str(digest)}:
                return self._dropped(await self._quality.drop_red(made.dataset_id, made.user_id, digest))
        return not_understood()

    async def _drop_chosen(self, request: web.Request, made: Pass) -> web.StreamResponse:
        match await json_of(request):
            case {"pictures": pictures}:
                chosen = frozenset(picture_ids(pictures))
                return self._dropped(await self._quality.drop_chosen(made.dataset_id, made.user_id, chosen))
        return not_understood()

    def _dropped(self, drop: Drop) -> web.Response:
        self._wake_cards()
        return json_answer(200, {"dropped": drop.pictures, "drop": drop.number, "days": UNDO_DAYS})

    async def _bring_back(self, request: web.Request, made: Pass) -> web.StreamResponse:
        match await json_of(request):
            case {"drop": int(drop)}:
                back, again = await self._quality.undo(made.dataset_id, made.user_id, drop)
            case {"picture": picture} if is_id(picture):
                back, again = await self._quality.undo(made.dataset_id, made.user_id, picture_id=picture)
            case {} as body if not body:
                back, again = await self._quality.undo(made.dataset_id, made.user_id)
            case _:
                return not_understood()
        self._wake_quality()
        self._wake_cards()
        return json_answer(200, {"back": back, "again": again})
