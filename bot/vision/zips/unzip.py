"""A hostile ZIP archive → its pictures, one after the other, with the captions beside them.

The archive is opened in a process of its own (bot.vision.zips.zip_worker), which waits whenever the bot has not yet
taken the picture before: of a large archive only a few pictures are in the bot's memory at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from bot.errors import PictureRefused
from bot.rules.names import shown_file
from bot.rules.pictures.zips import MAX_RATIO, MAX_TOTAL_BYTES
from bot.vision.zips.zip_worker import MAX_ENTRIES
from bot.workers.child import end_process, feed, output_of, read_object, start, worker_command

log = logging.getLogger(__name__)

MEMORY_BYTES = 512 * 1024 * 1024
"""For the archive itself (`intake.max_zip_bytes`, 100 MB) and one picture of it."""
CPU_SECONDS = 30
ANSWER_SECONDS = 60.0
"""Longest silence; while the bot itself is busy with a picture no clock runs."""


@dataclass(frozen=True, slots=True)
class Member:
    """A picture of the archive; nothing of it is trusted yet."""

    name: str
    data: bytes
    caption: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Files of the archive that do not follow, for one reason."""

    names: tuple[str, ...]
    """The first few."""
    count: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What an archive holds, beside the pictures that follow."""

    members: int
    left_out: LeftOut
    """Neither pictures nor their captions."""
    damaged: LeftOut
    too_big: LeftOut
    unread: LeftOut
    """Captions whose pictures follow, but whose text cannot be had."""


class OpenZip:
    """An archive that was looked through and found harmless; `members` gives its pictures once."""

    def __init__(self, process: asyncio.subprocess.Process, listing: Listing, shown: str, max_file_bytes: int) -> None:
        self._process = process
        self._shown = shown
        self._max_file_bytes = max_file_bytes
        self.listing = listing

    async def members(self) -> AsyncIterator[Member]:
        """Its pictures in order; raises PictureRefused when the reader breaks off."""
        for _ in range(self.listing.members):
            head = await _line(self._process, self._shown)
            try:
                name, caption, size = str(head["name"]), str(head["caption"]), int(head["bytes"])
                if not 0 <= size <= self._max_file_bytes:
                    raise ValueError("no such picture was promised")
                async with asyncio.timeout(ANSWER_SECONDS):
                    data = await output_of(self._process).readexactly(size)
            except (KeyError, TypeError, ValueError, asyncio.IncompleteReadError, TimeoutError) as error:
                raise _broke_off(self._shown) from error
            yield Member(name, data, caption)


class Unzipper:
    """Opens archives."""

    def __init__(self, max_file_bytes: int) -> None:
        self._max_file_bytes = max_file_bytes

    @contextlib.asynccontextmanager
    async def open(self, data: bytes, shown: str) -> AsyncIterator[OpenZip]:
        """Look an archive through; `shown` is its name as it may stand in a sentence.

        Raises PictureRefused with the reason and what to do about it, before a picture has come out.
        """
        process = await start(
            worker_command("bot.vision.zips.zip_worker", str(MEMORY_BYTES), str(CPU_SECONDS), str(self._max_file_bytes))
        )
        feeding = asyncio.create_task(feed(process, data))
        try:
            head = await _line(process, shown)
            if head.get("ok") is not True:
                raise PictureRefused(f"{shown} {_reason(head)}")
            yield OpenZip(process, _listing(head, shown), shown, self._max_file_bytes)
        finally:
            feeding.cancel()
            await end_process(process)  # first: whoever is cancelled while waiting leaves no reader behind
            await asyncio.gather(feeding, return_exceptions=True)


async def _line(process: asyncio.subprocess.Process, shown: str) -> dict[str, Any]:
    """The reader's next line; raises PictureRefused when it died, says nothing, or something strange."""
    try:
        return await read_object(process, ANSWER_SECONDS)
    except TimeoutError:
        raise PictureRefused(f"{shown} took too long to open. Send the pictures themselves.") from None
    except ValueError as error:
        raise _broke_off(shown) from error


def _broke_off(shown: str) -> PictureRefused:
    log.warning("the reader of archives died on %s", shown)
    return PictureRefused(f"{shown} could not be read to its end. Make it again, or send the pictures themselves.")


def _listing(head: dict[str, Any], shown: str) -> Listing:
    """Raises PictureRefused when the reader's answer does not hang together."""
    try:
        members = int(head["members"])
        left = [
            LeftOut(tuple(map(str, head[key]["names"])), int(head[key]["count"]))
            for key in ("left_out", "damaged", "too_big", "unread")
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _broke_off(shown) from error
    if not 0 <= members <= MAX_ENTRIES:
        raise _broke_off(shown)
    return Listing(members, *left)


def _reason(head: dict[str, Any]) -> str:
    """Why an archive is refused, as the rest of a sentence that starts with its name."""
    name = shown_file(str(head.get("name", "")))
    match head.get("why"):
        case "no-zip":
            return "is not a ZIP archive. Send a ZIP, or the pictures themselves."
        case "cut":
            return "is damaged or cut short. Make it again and send it once more."
        case "names":
            return "holds file names that are no readable text. Make it again on another device."
        case "tables":
            return "contradicts itself about what is in it, as a damaged or forged file does. Make it again."
        case "too-many":
            return f"holds {_number(head)} files; {MAX_ENTRIES} is the most. Put only the pictures in it."
        case "twice":
            return f"holds two files called {name}. Make it again with each file once."
        case "outside":
            return f"holds {name}, a name that leads out of its folder. Make it again from the pictures alone."
        case "locked":
            return "is locked with a password. Make it again without one."
        case "link":
            return f"holds {name}, which is a link and not a file. Put the picture itself in."
        case "nested":
            return f"holds another archive, {name}. Unpack that one and put its pictures in."
        case "method":
            return "is packed in a way I do not open. Make an ordinary ZIP, as phones and computers do by themselves."
        case "overlap":
            return "holds files that lie in each other, which only a forged archive does. Send the pictures themselves."
        case "lies":
            return f"holds {name}, which is larger than the archive says. Send the pictures themselves."
        case "bomb":
            return f"holds {name}, which swells to more than {MAX_RATIO} times its size. Send the pictures themselves."
        case "too-large":
            return f"unpacks to more than {MAX_TOTAL_BYTES / 2**30:.0f} GB. Send fewer or smaller pictures."
        case "memory":
            return "needs too much memory to open. Send fewer pictures at once."
        case _:
            return "cannot be opened. Send the pictures themselves."


def _number(head: dict[str, Any]) -> int:
    number = head.get("number")
    return number if isinstance(number, int) else 0
