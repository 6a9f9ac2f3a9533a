"""Captions out to a file and back in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bot.errors import Refused
from bot.rules.bulk.exchange import KEY_DIGITS, Named, Read, member_name, one_text, read_members, read_text
from bot.rules.bulk.operations import ImportCaptions
from bot.services.bulk.archive import MOST_MEMBERS, is_archive, pack, text_of_file, unpack
from bot.services.bulk.edits import BulkEdits, CaptionSet, Offer
from bot.services.intake.intake import Incoming
from bot.services.posting.messages import FileToSend

FEWEST_BYTES = 2 * 1024 * 1024
"""A file may have at least as many; 100 captions of 1,000 characters are a tenth of it."""
PICTURE_BYTES = 5 * 1024
"""For each picture of the dataset: a caption is 4 kB at most, in whatever script, and has a line above it."""

Form = Literal["text", "zip"]


@dataclass(frozen=True, slots=True)
class CaptionFile:
    """A file of captions to send."""

    name: str
    data: bytes
    captions: int

    @property
    def to_send(self) -> FileToSend:
        """As a message carries it."""
        return FileToSend(self.data, self.name)


class CaptionFiles:
    """Exports and imports."""

    def __init__(self, edits: BulkEdits) -> None:
        self._edits = edits

    async def export(self, dataset_id: int, user_id: int, form: Form) -> CaptionFile:
        """All captions of the owner's dataset; raises NotFound, NotYours, Refused when there is none."""
        now = await self._edits.captions(dataset_id, user_id)
        if not now.pictures:
            raise Refused("There are no pictures yet, so there are no captions. Add some first.")
        named = _named(now)
        name = f"{now.dataset.trigger}-captions"
        if form == "text":
            return CaptionFile(f"{name}.txt", one_text(named).encode(), len(named))
        packed = await asyncio.to_thread(pack, [(member_name(each), each.caption) for each in named])
        return CaptionFile(f"{name}.zip", packed, len(named))

    async def offer_import(self, dataset_id: int, user_id: int, file: Incoming) -> Offer:
        """What a file of captions would change, offered; raises NotFound, NotYours, and Refused with the reason."""
        now = await self._edits.captions(dataset_id, user_id)
        data = await _bytes_of(file, most_bytes(len(now.pictures)))
        read = await asyncio.to_thread(_read, data, file.name, _named(now))
        if not read.texts:
            why = " ".join(read.notes[:3]) or "It holds no captions."
            raise Refused(
                f"Nothing was imported. {why} Use captions that were exported here, or .txt files named as pictures."
            )
        operation = ImportCaptions(texts=read.texts, pictures=tuple(read.texts))
        return await self._edits.offer(dataset_id, user_id, operation, _few(read.notes))


def most_bytes(pictures: int) -> int:
    """What a file of captions may have in a dataset of so many pictures."""
    return max(FEWEST_BYTES, pictures * PICTURE_BYTES)


async def _bytes_of(file: Incoming, most: int) -> bytes:
    too_large = Refused(f"A file of captions may have {most // 2**20} MB here. Send one that was exported here.")
    if file.size > most:
        raise too_large
    try:
        data = await file.read()
    except OSError as error:
        raise Refused("The file could not be fetched. Send it once more.") from error
    if len(data) > most:
        raise too_large
    return data


def _read(data: bytes, name: str, pictures: Sequence[Named]) -> Read:
    """Captions of a zip, of an exported text, or of one picture's `.txt`; unpacking may take a while."""
    if is_archive(data):
        unpacked = unpack(data, max(MOST_MEMBERS, 2 * len(pictures)))
        found = read_members(unpacked.members, pictures)
        return Read(found.texts, (*unpacked.notes, *found.notes))
    text = text_of_file(data, name)
    found = read_text(text, pictures)
    if found.texts:
        return found
    one = read_members([(name, text)], pictures)
    return one if one.texts else Read({}, found.notes[:1])


def _named(now: CaptionSet) -> list[Named]:
    return [
        Named(each.id, number, each.file[:KEY_DIGITS], each.file_name, each.caption)
        for number, each in enumerate(now.pictures, 1)
    ]


def _few(notes: Sequence[str], shown: int = 3) -> list[str]:
    """The first few, and how many more there are."""
    more = [f"… and {len(notes) - shown} more files like that."] if len(notes) > shown else []
    return [*notes[:shown], *more]
