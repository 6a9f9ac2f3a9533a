"""The one SQLite file and the one connection to it; nobody else opens it.

Reads and writes go through `transaction()`, one at a time, so that nobody sees half of another's change. WAL with
synchronous=FULL: what is committed survives a power cut. BEGIN IMMEDIATE, because a read that later writes would fail
at once with "locked" beside another writer, whatever the busy timeout says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Self

import aiosqlite

from bot.errors import StoreError
from trainer.contract.durable import fsync_file, fsync_folder

Connection = aiosqlite.Connection

DISK_ERRORS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
"""What the host can mend; their extended codes differ in the higher bits."""

PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000", "secure_delete=ON")
"""secure_delete: what a member deletes is overwritten, not only left out."""


class Store:
    """The open database."""

    def __init__(self, connection: Connection, path: Path) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()
        self._closed = False
        self.path = path

    @classmethod
    async def open(cls, path: Path, *, migrate: bool = True) -> Self:
        """Open and migrate the database; raises StoreError when it is damaged or of a newer version.

        Without `migrate` its tables stay as they are, so that it can be copied while a running bot uses it.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = await aiosqlite.connect(path, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot open the database {path}: {error}; check the folder's rights") from error
        try:
            path.chmod(0o600)
            connection.row_factory = sqlite3.Row
            for pragma in PRAGMAS:
                await connection.execute_fetchall(f"PRAGMA {pragma}")  # fetched whole: an open cursor blocks COMMIT
            store = cls(connection, path)
            if migrate:
                await store._migrate()
        except sqlite3.Error as error:
            await connection.close()
            raise StoreError(f"the database {path} cannot be used: {error}; restore a backup") from error
        except BaseException:
            await connection.close()
            raise
        return store

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Everything inside happens, or nothing; other users of the store wait.

        Raises StoreError once it is closed, and when the disk is full or fails.
        """
        async with self._lock:
            if self._closed:
                raise StoreError("I am just stopping; please try again in a minute")
            try:
                await self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                await self._connection.execute("COMMIT")
            except BaseException as error:
                # A COMMIT that fails (disk full) or a BEGIN that is cancelled leaves the transaction open, and then no
                # other could begin; where SQLite has rolled back by itself there is nothing left to do.
                with contextlib.suppress(sqlite3.Error):
                    await self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in DISK_ERRORS:
                    raise StoreError(
                        f"Nothing was changed, because the disk refuses: {error}. The host of this bot must look at it"
                    ) from error
                raise

    async def close(self) -> None:
        """Close the file once the transaction under way has ended."""
        async with self._lock:
            self._closed = True
            await self._connection.close()

    async def backup(self, target: Path) -> None:
        """Write a consistent copy while the bot works; raises StoreError when the copy is not sound."""
        temporary = target.with_name(f".{target.name}.part")
        temporary.unlink(missing_ok=True)
        copy = await aiosqlite.connect(temporary)
        try:
            async with self._lock:
                await self._connection.backup(copy)
            rows = await copy.execute_fetchall("PRAGMA integrity_check")
            if [row[0] for row in rows] != ["ok"]:
                raise StoreError(f"the backup of {self.path.name} failed its integrity check; the disk may be failing")
        finally:
            await copy.close()
        await asyncio.to_thread(_publish, temporary, target)

    async def _migrate(self) -> None:
        scripts = migrations()
        version = await self._version()
        if version > len(scripts):
            raise StoreError(
                f"{self.path} was written by a newer Lorelei (schema {version}; this one knows {len(scripts)}); update"
            )
        for number, script in enumerate(scripts[version:], version + 1):
            # executescript would commit first; BEGIN inside the script makes each migration one transaction.
            await self._connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
            )

    async def _version(self) -> int:
        rows = list(await self._connection.execute_fetchall("PRAGMA user_version"))
        return int(rows[0][0])


def migrations() -> list[str]:
    """The numbered SQL scripts in order, 0001 first."""
    folder = resources.files("bot.store.migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(folder / name).read_text("utf-8") for name in names]


def _publish(temporary: Path, target: Path) -> None:
    fsync_file(temporary)
    os.replace(temporary, target)
    fsync_folder(target.parent)
