"""Files on their way in from a page: a picture into memory, an archive into a file that is gone when it is closed.

A file comes whole or not at all, named by its sha256. An archive is no exception: to go on in its midst, halves of it
would have to be kept here for people who may never come back. It begins anew, and its pictures that are here already
are known by what is in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

from bot.errors import StorageError
from bot.services.intake.intake import Incoming

log = logging.getLogger(__name__)

STALL_SECONDS = 30.0
"""An upload of which nothing comes for so long is given up; the page sends it anew."""
SLOWEST = 40 * 1024
"""Bytes a second under which an upload is given up in the end: a slow phone's 400 kbit/s, with some room."""
CHUNK = 64 * 1024
NAME_LIMIT = 255
"""Characters that are read of a file's name."""


class BrokeOff(Exception):
    """The file did not arrive whole, was more than was allowed, or is not the one it was said to be."""


async def picture_of(request: web.Request, name: str, sha256: str, limit: int) -> Incoming:
    """The request's body as a picture of at most `limit` bytes. Raises BrokeOff."""
    data = bytearray()
    async for part in _parts(request, limit):
        data += part
    whole = bytes(data)
    _compare(await asyncio.to_thread(hashlib.sha256, whole), sha256)
    return Incoming.holding(name, whole)


async def text_of(request: web.Request, name: str, limit: int) -> Incoming:
    """The same of a file of captions; it needs no sha256, as what it would change is shown before it is done."""
    return Incoming.holding(name, b"".join([part async for part in _parts(request, limit)]))


@contextlib.asynccontextmanager
async def archive_of(request: web.Request, name: str, sha256: str, limit: int, folder: Path) -> AsyncIterator[Incoming]:
    """The same of an archive, kept in `folder` and not in memory until it is read. Raises BrokeOff, StorageError."""
    with await _opened(folder) as file:
        digest, size = hashlib.sha256(), 0
        async for part in _parts(request, limit):
            digest.update(part)
            size += len(part)
            await _write(file, part)
        _compare(digest, sha256)

        async def read() -> bytes:
            return await asyncio.to_thread(_from_start, file)

        yield Incoming(name, size, read)


async def _parts(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    end, size = clock() + limit / SLOWEST, 0
    try:
        while part := await asyncio.wait_for(request.content.read(CHUNK), min(STALL_SECONDS, end - clock())):
            size += len(part)
            if size > limit:
                raise BrokeOff
            yield part
    except (TimeoutError, web.HTTPException, ConnectionError, asyncio.IncompleteReadError) as error:
        log.info("an upload broke off: %s", type(error).__name__)
        raise BrokeOff from error


def _compare(digest: hashlib._Hash, sha256: str) -> None:
    if not hmac.compare_digest(digest.hexdigest(), sha256):
        raise BrokeOff


async def _opened(folder: Path) -> BinaryIO:
    try:
        return await asyncio.to_thread(tempfile.TemporaryFile, dir=folder)
    except OSError as error:
        raise _no_room(error) from error


async def _write(file: BinaryIO, part: bytes) -> None:
    try:
        await asyncio.to_thread(file.write, part)
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> StorageError:
    return StorageError(f"The archive could not be stored: {error}. Ask the host of this bot to look at the disk.")


def _from_start(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
