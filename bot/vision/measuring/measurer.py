"""The measuring process as the bot sees it: stored pictures in, bot.rules.pictures.measures.Measures out."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from bot.errors import MeasureError
from bot.rules.pictures.measures import Alike, Measures
from bot.workers.line_worker import LineWorker, WorkerFailed

log = logging.getLogger(__name__)

MEMORY_BYTES = 1024 * 1024 * 1024
"""Address space of the process; it really holds under 300 MB (tests/bot/vision/measuring/test_measures.py)."""
MEASURE_SECONDS = 60.0
"""Longest for one picture (0.1 s is usual), and for the start."""
COMPARE_SECONDS = 300.0
"""Longest for one picture against all others of its dataset (0.3 s for a hundred is usual)."""
IDLE_SECONDS = 60.0
LONGEST_LINE = 4 * 1024 * 1024


class Measurer:
    """Measures and compares pictures, one at a time."""

    def __init__(self) -> None:
        self.worker = LineWorker("bot.vision.measuring.measure_worker", [str(MEMORY_BYTES)], IDLE_SECONDS, LONGEST_LINE)

    async def measure(self, path: Path) -> Measures | None:
        """Measures of a stored picture; None for one that cannot be opened or costs too much.

        Raises MeasureError when the process cannot even start.
        """
        try:
            answer = await self.worker.ask({"measure": str(path.resolve())}, MEASURE_SECONDS)
            if "error" in answer:
                log.warning("a picture cannot be measured: %s", answer["error"])
                return None
            return Measures.from_json(json.dumps(answer.get("measures")))
        except WorkerFailed as error:
            await self._check_it_starts(error)
            log.warning("the measuring process failed at a picture: %s", error)
            return None
        except ValueError as error:
            log.warning("the measuring process gave no measures: %s", error)
            return None

    async def compare(self, new: Mapping[int, Measures], old: Mapping[int, Measures]) -> list[Alike]:
        """Pairs that are alike: each new picture (by its key) with the new before it and all old ones.

        Raises MeasureError.
        """
        question = {"new": _thumbs(new), "old": _thumbs(old)}
        try:
            answer = await self.worker.ask(question, COMPARE_SECONDS)
            pairs = answer["pairs"]
            known = {*new, *old}
            found = [Alike(int(one), int(two), float(likeness), bool(turned)) for one, two, likeness, turned in pairs]
        except (WorkerFailed, KeyError, TypeError, ValueError) as error:
            raise MeasureError(f"Pictures cannot be compared now: {error}.") from error
        return [each for each in found if each.first in known and each.second in known and each.first != each.second]

    async def close(self) -> None:
        """End the process."""
        await self.worker.close()

    async def _check_it_starts(self, before: WorkerFailed) -> None:
        """A process that cannot start says nothing about the picture it was asked for."""
        try:
            await self.worker.ask({"new": [], "old": []}, MEASURE_SECONDS)
        except WorkerFailed as error:
            raise MeasureError(
                f"Pictures cannot be measured now: the process that does it does not work ({error}; before: {before})."
            ) from error


def _thumbs(measures: Mapping[int, Measures]) -> Sequence[tuple[int, str, tuple[int, int]]]:
    return [(key, each.thumb, each.thumb_size) for key, each in measures.items()]
