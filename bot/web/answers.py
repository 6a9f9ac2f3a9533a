"""How a page's interface answers: JSON closed to other sites; what went wrong is a sentence in `error`."""

from __future__ import annotations

import logging
import re
from types import MappingProxyType
from typing import Any

from aiohttp import web

from bot.errors import LoreleiError, NotFound, NotYours, Refused, StorageError
from bot.rules.names import plain

log = logging.getLogger(__name__)

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


class NotUnderstood(Exception):
    """The page sent what no page of ours sends; the guard answers it."""


def json_answer(status: int, value: dict[str, Any], more: dict[str, str] | None = None) -> web.Response:
    """An answer; `more` headers go with it."""
    return web.json_response(value, status=status, headers={**HEADERS, **(more or {})})


def error_answer(status: int, sentence: str, more: dict[str, str] | None = None) -> web.Response:
    """An answer that says what went wrong."""
    return json_answer(status, {"error": words(sentence)}, more)


def not_understood() -> web.Response:
    """To what no page of ours sends."""
    return error_answer(400, "The page sent something I do not understand. Load it again.")


def refused(error: LoreleiError) -> web.Response:
    """What a service refused, in its words."""
    return error_answer(_status(error), str(error))


async def json_of(request: web.Request) -> Any:
    """What the page sent; None when it is not JSON.

    Raises HTTPRequestEntityTooLarge beyond the application's client_max_size; the guard answers it.
    """
    try:
        return await request.json()
    except (ValueError, RecursionError):  # thousands of brackets inside brackets
        return None


def words(sentence: str) -> str:
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
