"""How much of this server one member may take, and all of them together."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

UPLOADS_PER_MEMBER = 4
"""Files of one member on their way at once; the page sends three."""
UPLOADS = 8
"""Files of all members held in memory at once, each of at most `intake.max_file_bytes`."""
ARCHIVES_PER_MEMBER = 1
"""Archives of one member on their way or being unpacked at once."""
ARCHIVES = 3
"""Archives of all members lying on the disk at once, each of at most `intake.max_zip_bytes`."""
EDITS_PER_MEMBER = 2
"""Bulk edits of one member being worked out at once; the page asks for one."""
EDITS = 4
"""The same of all members: each may take a second, one by a pattern a process of its own."""
REQUESTS_PER_MINUTE = 1200
"""Of one member: a page of 100 pictures takes about 100 at once, an upload of 100 as many again."""
MINUTE = 60.0


class TooMany(Exception):
    """The member asks for too much at once; the page waits and tries again."""


class Limits:
    """Counts requests and uploads by member; nothing is kept longer than a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._uploads = _Places(UPLOADS, UPLOADS_PER_MEMBER)
        self._archives = _Places(ARCHIVES, ARCHIVES_PER_MEMBER)
        self._edits = _Places(EDITS, EDITS_PER_MEMBER)
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

    def upload(self, user_id: int) -> AbstractAsyncContextManager[None]:
        """Hold a place for one file while it comes in; waits its turn among members, raises TooMany for one alone."""
        return self._uploads.hold(user_id)

    def archive(self, user_id: int) -> AbstractAsyncContextManager[None]:
        """The same for an archive, until it is unpacked."""
        return self._archives.hold(user_id)

    def edit(self, user_id: int) -> AbstractAsyncContextManager[None]:
        """The same for a bulk edit, while it is worked out."""
        return self._edits.hold(user_id)


class _Places:
    """So many for all members, so many of them for one."""

    def __init__(self, places: int, each: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._each = each
        self._held: Counter[int] = Counter()

    @asynccontextmanager
    async def hold(self, user_id: int) -> AsyncIterator[None]:
        if self._held[user_id] >= self._each:
            raise TooMany
        self._held[user_id] += 1
        try:
            async with self._places:
                yield
        finally:
            self._held[user_id] -= 1
            if not self._held[user_id]:
                del self._held[user_id]
