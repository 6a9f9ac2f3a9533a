"""Regular expressions of members: run in a process of their own, which is killed when its time is over.

Python's `re` cannot be interrupted, and a library with a timeout (`regex`) bounds the search but not the compilation
nor the memory. A killed process bounds all of it, and needs nothing installed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from bot.errors import Refused
from bot.workers.child import answer_once, worker_command

log = logging.getLogger(__name__)

SECONDS = 3.0
"""For all captions together, the process's start included: on a slow machine that takes a third of a second."""
MOST_BYTES = 32 * 1024 * 1024
"""Of the answer; a hundred captions of the most characters a worker makes take two thirds of it."""


class Patterns:
    """Replaces by regular expressions."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    async def replaced(self, find: str, by: str, texts: Mapping[int, str]) -> dict[int, str]:
        r"""Each text with every match replaced; `\1` in `by` is a group.

        Raises Refused when the expression is wrong, takes too long or makes texts too large.
        """
        command = worker_command("bot.services.bulk.pattern_worker", str(int(self._seconds) + 1))
        question = json.dumps({"find": find, "by": by, "texts": list(texts.values())}).encode()
        try:
            answer = await answer_once(command, question, MOST_BYTES, self._seconds, quiet=True)
        except TimeoutError:
            raise Refused(
                f"The pattern took longer than {self._seconds:g} seconds and was stopped; nothing was changed. Write it"
                " without repeats inside repeats, such as (a+)+."
            ) from None
        return dict(zip(texts, _results(answer, len(texts)), strict=True))


def _results(answer: bytes, number: int) -> list[str]:
    try:
        said = json.loads(answer)
    except ValueError:
        log.info("the process of a pattern ended without an answer")
        raise Refused("The pattern needs too much memory or time; nothing was changed. Write a simpler one.") from None
    if "error" in said:
        raise Refused(f"This is not a pattern I can use: {said['error']}. Nothing was changed.")
    results = [str(text) for text in said["texts"]]
    if len(results) != number:
        raise Refused("The pattern gave no sensible answer; nothing was changed. Write a simpler one.")
    return results
