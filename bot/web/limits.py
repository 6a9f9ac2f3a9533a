"""How much of this server one member may take, and all of them together."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

UPLOADS_PER_MEMBER = 4
"""Files of one member on their way at once; the page sends three."""
UPLOADS = 8
"""Files of all members held in memory at once, each of at most `intake.max_file_bytes`."""
REQUESTS_PER_MINUTE = 1200
"""Of one member: a page of 100 pictures takes about 100 at once, an upload of 100 as many again."""
MINUTE = 60.0


class TooMany(Exception):
    """The member asks for too much at once; the page waits and tries again."""


class Limits:
    """Counts requests and uploads by member; nothing is kept longer than a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._uploads = asyncio.Semaphore(UPLOADS)
        self._uploading: Counter[int] = Counter()
        self._asked: Counter[int] = Counter()
        self._minute = 0.0

    def count(self, user_id: int) -> None:
        """Note one request; raises TooMany when the member has had this minute's share."""
        if self._clock() - self._minute >= MINUTE:
            self._asked.clear()
            self._minute = self._clock()
        self._asked[user_id] += 1
        if self._asked[user_id] > REQUESTS_PER_MINUTE:
            raise TooMany

    @asynccontextmanager
    async def upload(self, user_id: int) -> AsyncIterator[None]:
        """Hold a place for one file while it comes in; waits its turn among members, raises TooMany for one alone."""
        if self._uploading[user_id] >= UPLOADS_PER_MEMBER:
            raise TooMany
        self._uploading[user_id] += 1
        try:
            async with self._uploads:
                yield
        finally:
            self._uploading[user_id] -= 1
            if not self._uploading[user_id]:
                del self._uploading[user_id]
