"""The bot's loops: one pass of a piece of work, again and again, whatever happens in a pass."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

Pass = Callable[[], Awaitable[object]]


class Loop:
    """Repeats a pass every few seconds, and at once when woken; passes never overlap."""

    def __init__(self, name: str, work: Pass, seconds: float) -> None:
        self.name = name
        self._work = work
        self._seconds = seconds
        self._busy = asyncio.Lock()
        self._again = False
        self._woken: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Do a pass now (or once more, when one is under way)."""
        if self._again:
            return
        self._again = True
        task = asyncio.get_running_loop().create_task(self._pass(), name=f"{self.name} woken")
        self._woken.add(task)
        task.add_done_callback(self._woken.discard)

    async def run(self) -> None:
        """Repeat until cancelled."""
        try:
            while True:
                await self._pass()
                await asyncio.sleep(self._seconds)
        finally:
            for task in tuple(self._woken):
                task.cancel()
            await asyncio.gather(*self._woken, return_exceptions=True)

    async def _pass(self) -> None:
        async with self._busy:
            self._again = False
            try:
                await self._work()
            except Exception:
                log.exception("a pass of %s failed; the next one comes in %.1f s", self.name, self._seconds)
