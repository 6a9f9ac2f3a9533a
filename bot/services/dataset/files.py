"""Pictures on disk, named by the sha256 of what is in them: the same picture is one file, whoever brought it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from bot.errors import StorageError
from trainer.contract.durable import write_atomic
from trainer.contract.errors import ChannelError
from trainer.contract.spec import PICTURE_FILE

log = logging.getLogger(__name__)

_LEFTOVER = re.compile(r"\..*")
"""What write_atomic leaves behind when it is killed; its names start with a dot."""


class FileStore:
    """The folder of pictures.

    A file is written before the row that needs it and removed after the last row is gone. Whoever does either holds
    `lock` from its look at the rows to its change of the files (or the other way round), so that nobody removes a file
    that somebody else is about to need.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.lock = asyncio.Lock()

    async def put(self, data: bytes, suffix: str) -> str:
        """Store `data` durably and return its file name; raises StorageError (disk full). Hold the lock."""
        name = f"{await asyncio.to_thread(sha256_of, data)}.{suffix}"
        try:
            await asyncio.to_thread(_write_once, self.path(name), data)
        except (ChannelError, OSError) as error:
            raise StorageError(
                f"The picture could not be stored: {error}. Ask the host of this bot to look at the disk."
            ) from error
        return name

    def path(self, name: str) -> Path:
        """Where the file lies; raises ValueError for anything but `<sha256>.jpg|png|webp`."""
        if not PICTURE_FILE.fullmatch(name):
            raise ValueError(f"{name!r} is not a stored picture's name")
        return self._root / name

    async def remove(self, name: str) -> None:
        """Remove a file that nobody needs any more; one that is gone is no error. Hold the lock."""
        await asyncio.to_thread(self.path(name).unlink, missing_ok=True)

    async def sweep(self, referenced: Callable[[], Awaitable[set[str]]]) -> int:
        """Remove files that no row names (a crash between file and row leaves them); returns how many."""
        async with self.lock:
            return await asyncio.to_thread(self._remove_all_but, await referenced())

    def _remove_all_but(self, keep: set[str]) -> int:
        removed = 0
        if self._root.is_dir():
            for path in self._root.iterdir():
                ours = PICTURE_FILE.fullmatch(path.name) or _LEFTOVER.fullmatch(path.name)
                if ours and path.name not in keep:
                    path.unlink(missing_ok=True)
                    removed += 1
        if removed:
            log.info("removed %d picture files that nothing refers to", removed)
        return removed


def sha256_of(data: bytes) -> str:
    """Hex sha256; for a thread, as a large picture takes some 50 ms."""
    return hashlib.sha256(data).hexdigest()


def _write_once(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_atomic(path, data)
