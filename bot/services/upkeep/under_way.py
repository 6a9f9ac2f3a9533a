"""What should not be cut off when the bot is asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType


class UnderWay:
    """Counts pieces of work; `with under_way:` around each."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def ended(self, seconds: float) -> bool:
        """Wait until all of it has ended, at most so long; whether it has."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # not wait_for: before Python 3.12 it may swallow a cancellation
                await self._none.wait()
        return self._none.is_set()
