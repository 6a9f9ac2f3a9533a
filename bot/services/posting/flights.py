"""Pieces of work side by side: a slow one (a rate limit, a large upload) holds up none of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Hashable, Iterable
from typing import Any

PATIENCE_SECONDS = 2.0
"""A pass waits this long for its work; what takes longer goes on by itself."""


class Flights:
    """Work under way, at most one piece for each key."""

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._tasks

    async def go(self, work: Iterable[tuple[Hashable, Coroutine[Any, Any, None]]]) -> None:
        """Begin the work, whose keys must be free, and wait for it for a while; raises what any of it raised."""
        for key, piece in work:
            self._tasks[key] = asyncio.create_task(piece)
        if not self._tasks:
            return
        await asyncio.wait(self._tasks.values(), timeout=self._patience)
        ended = [self._tasks.pop(key) for key, task in tuple(self._tasks.items()) if task.done()]
        for task in ended:
            task.result()

    async def close(self) -> None:
        """Break off what is still under way."""
        tasks = tuple(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
