"""What a page shows of squares and changes in them.

GET  /u/api/squares       what is cut out of each picture, and how it is judged
POST /u/api/squares       {"use": true | false}: trainings use the squares, or keep the pictures' shapes
POST /u/api/squares/{id}  {"move": "left" | … | "reset"}: moves a picture's square by a press, or back
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from bot.rules.pictures.crop import MOVES
from bot.rules.pictures.squares import NO_ROOM, from_now_on
from bot.services.dataset.crops import Crops
from bot.services.dataset.desk import Desk
from bot.web.answers import json_answer, json_of, not_understood
from bot.web.guard import Guard
from bot.web.passes import Pass
from bot.web.shapes import of_cut, of_cuts


class Squares:
    """The routes of squares; the page draws them itself, from the pictures it has."""

    def __init__(self, desk: Desk, crops: Crops, wake_cards: Callable[[], None]) -> None:
        self._desk = desk
        self._crops = crops
        self._wake_cards = wake_cards

    def add_to(self, router: web.UrlDispatcher, guard: Guard) -> None:
        """Register the routes."""
        router.add_get("/u/api/squares", guard(self._all))
        router.add_post("/u/api/squares", guard(self._use))
        router.add_post("/u/api/squares/{id:[0-9]{1,18}}", guard(self._move))

    async def _all(self, request: web.Request, made: Pass) -> web.StreamResponse:
        return await self._shown(made)

    async def _shown(self, made: Pass, said: str = "") -> web.Response:
        view = await self._crops.all(made.dataset_id, made.user_id)
        return json_answer(200, of_cuts(view) | {"said": said})

    async def _use(self, request: web.Request, made: Pass) -> web.StreamResponse:
        match await json_of(request):
            case {"use": bool(square)}:
                await self._crops.use(made.dataset_id, made.user_id, square=square)
                self._wake_cards()
                return await self._shown(made, from_now_on(square=square))
        return not_understood()

    async def _move(self, request: web.Request, made: Pass) -> web.StreamResponse:
        picture = await self._desk.picture(made.dataset_id, made.user_id, int(request.match_info["id"]))
        said = ""
        match await json_of(request):
            case {"move": "reset"}:
                await self._crops.reset(picture.id, made.user_id)
            case {"move": asked} if asked in MOVES:
                move = next(each for each in MOVES if each == asked)
                said = "" if await self._crops.move(picture.id, made.user_id, move) else NO_ROOM
            case _:
                return not_understood()
        self._wake_cards()
        view = await self._crops.one(picture.id, made.user_id)
        return json_answer(200, of_cut(view.cut) | {"said": said})
