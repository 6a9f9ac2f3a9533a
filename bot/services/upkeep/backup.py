"""Copies of the database: one each night, seven of the last days and four of the last Sundays are kept."""

from __future__ import annotations

import datetime as dt
import logging
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from bot.errors import StorageError
from bot.store.database import Store

log = logging.getLogger(__name__)

DAILY, WEEKLY = 7, 4
_NAME = re.compile(r"lorelei-(\d{4}-\d{2}-\d{2})\.sqlite3")


class Backups:
    """Makes and thins out the copies in one folder."""

    def __init__(self, store: Store, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._folder = folder
        self._clock = clock

    async def make(self) -> Path:
        """Write today's copy (again) and remove what is too many; raises StoreError, StorageError."""
        day = dt.datetime.fromtimestamp(self._clock(), dt.UTC).date()
        target = self._folder / f"lorelei-{day}.sqlite3"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            await self._store.backup(target)
            target.chmod(0o600)
            for path in surplus(self._folder.iterdir()):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"the backup {target} failed: {error.strerror or error}; is the disk full?") from error
        log.info("backup written: %s", target)
        return target


def surplus(paths: Iterable[Path]) -> list[Path]:
    """The copies that are neither among the newest seven nor among the newest four of a Sunday; other files stay."""
    dated = sorted(
        ((dt.date.fromisoformat(match[1]), path) for path in paths if (match := _NAME.fullmatch(path.name))),
        reverse=True,
    )
    sundays = [path for day, path in dated if day.isoweekday() == 7]
    kept = {path for _, path in dated[:DAILY]} | set(sundays[:WEEKLY])
    return [path for _, path in dated if path not in kept]
