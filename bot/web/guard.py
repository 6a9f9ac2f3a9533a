"""Who stands before every call of a page's interface: asks for the pass, counts requests, words what is refused."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

from aiohttp import web

from bot.errors import LoreleiError
from bot.web.answers import NotUnderstood, error_answer, not_understood, refused
from bot.web.limits import Limits, TooMany
from bot.web.passes import Pass, Passes

TOO_MUCH = "That is a little much at once; the page goes on by itself, or press once more in a moment."
TOO_LARGE = "That is more than I take at once. Shorten it."
RETRY_AFTER = {"Retry-After": "2"}
FRESH = "Press Upload many on the dataset's card for a fresh link."

Handler = Callable[[web.Request, Pass], Awaitable[web.StreamResponse]]


class Guard:
    """Lets requests with a good pass through; what the pass allows is the services' to say."""

    def __init__(self, passes: Passes, limits: Limits) -> None:
        self._passes = passes
        self._limits = limits

    def __call__(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The handler behind the guard."""

        @functools.wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            scheme, _, text = request.headers.get("Authorization", "").partition(" ")
            made = self._passes.check(text.strip()) if scheme == "Bearer" else None
            if made is None:
                return error_answer(401, f"This link is not complete. {FRESH}")
            if self._passes.expired(made):
                return error_answer(401, f"This link has expired. {FRESH}")
            try:
                self._limits.count(made.user_id)
                return await handler(request, made)
            except TooMany:
                return error_answer(429, TOO_MUCH, RETRY_AFTER)
            except web.HTTPRequestEntityTooLarge:  # JSON beyond the application's client_max_size
                return error_answer(413, TOO_LARGE)
            except NotUnderstood:
                return not_understood()
            except LoreleiError as error:
                return refused(error)

        return guarded
