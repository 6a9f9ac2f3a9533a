"""When a training is taken for hung: it has gone too long without beginning its next piece of work.

How long is too long is learnt from the run itself, so that the same rule fits an H100, an old card and a CPU.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType

LEAST_SECONDS = 120.0
"""A piece of work may always take this long: a busy disk or a card that throttles is not a hang."""
FACTOR = 5.0
"""It may take this many times the longest piece of its kind seen so far."""
FIRST_SECONDS = 600.0
"""The first piece of a kind: kernels are chosen and compiled, memory is taken."""
LOADING = "loading the base model"
FIRST_OF: Mapping[str, float] = MappingProxyType({LOADING: 3600.0})
"""Kinds whose first piece may take longer: 7 GB at 2 MB/s, from a slow disk or the hub."""


class Lifeline:
    """The piece of work in progress, and how long each kind has taken; times in seconds of one monotonic clock."""

    def __init__(self, now: float) -> None:
        self._longest: dict[str, float] = {}
        self._learning = threading.Lock()
        self._current = ("starting", now)

    def begin(self, work: str, now: float) -> None:
        """The piece before is done, and one of the kind `work` begins."""
        before, since = self._current
        self.learn(before, now - since)
        self._current = (work, now)

    def learn(self, work: str, seconds: float) -> None:
        """A piece of this kind took so long; any thread may say so."""
        with self._learning:
            self._longest[work] = max(seconds, self._longest.get(work, 0.0))

    def patience(self, work: str) -> float:
        """How long a piece of this kind may take now."""
        if work not in self._longest:
            return FIRST_OF.get(work, FIRST_SECONDS)
        return max(LEAST_SECONDS, FACTOR * self._longest[work])

    def is_alive(self, now: float) -> bool:
        """False when the piece in progress takes longer than it may."""
        work, since = self._current
        return now - since < self.patience(work)
