"""Archives on their way in: a ZIP's pictures, with the captions beside them, as one batch.

A few pictures at a time, so that they are never all in memory; a try that was cut short is made good by handing the
archive over again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from bot.config import IntakeConfig
from bot.errors import PictureRefused
from bot.rules.names import shown_file
from bot.services.intake.intake import AT_ONCE, Also, BatchReport, Incoming, Intake, fetched, full_sentence
from bot.store.rows import Dataset
from bot.vision.zips.unzip import Listing, Member, OpenZip, Unzipper

ARCHIVES_AT_ONCE = 2
"""Archives in memory at once, over all members, each of at most `intake.max_zip_bytes`."""
NAMED = 5
"""Most names in one sentence."""


def is_archive(file: Incoming) -> bool:
    """Whether a file is to be unpacked; by its name, as the bytes are not here yet."""
    return is_archive_name(file.name)


def is_archive_name(name: str) -> bool:
    """The same of a file of which only the name is known."""
    return name.casefold().endswith(".zip")


class Unpack:
    """Takes archives."""

    def __init__(self, intake: Intake, unzipper: Unzipper, limits: IntakeConfig) -> None:
        self._intake = intake
        self._unzipper = unzipper
        self._limits = limits
        self._slots = asyncio.Semaphore(ARCHIVES_AT_ONCE)

    async def add(self, dataset: Dataset, user_id: int, source: str, file: Incoming, also: Also) -> BatchReport:
        """Add an archive's pictures to the batch of `source`; what was left out is in the report, in few sentences.

        Raises NotFound, NotYours, Refused, StorageError.
        """
        shown = shown_file(file.name)
        remedy = "Send the pictures in several archives, or press Upload many."
        try:
            async with self._slots:
                data = await fetched(file, shown, self._limits.max_zip_bytes, remedy)
                async with self._unzipper.open(data, shown) as archive:
                    return await self._take(dataset, user_id, source, archive, shown, also)
        except PictureRefused as refusal:
            return BatchReport(dataset, None, refused=(str(refusal),))

    async def _take(
        self, dataset: Dataset, user_id: int, source: str, archive: OpenZip, shown: str, also: Also
    ) -> BatchReport:
        total = BatchReport(dataset, None, refused=_left_out(archive.listing, shown))
        members, full = archive.members(), []
        try:
            async for group in _groups(members, AT_ONCE):
                room = max(0, await self._intake.room(dataset.id))
                full += [shown_file(member.name) for member in group[room:]]
                if not group[:room]:
                    continue
                files = [Incoming.holding(each.name, each.data, each.caption) for each in group[:room]]
                total = joined(total, await self._intake.add_more(dataset.id, user_id, source, files, also))
        except PictureRefused as refusal:
            total = joined(total, BatchReport(dataset, None, refused=(str(refusal),)))
        if full:
            sentence = full_sentence(self._limits.max_pictures, [some(full, len(full))])
            total = joined(total, BatchReport(dataset, None, refused=(sentence,)))
        return total


def joined(one: BatchReport, other: BatchReport) -> BatchReport:
    """Two reports on one hand-over as one."""
    return BatchReport(
        other.dataset,
        one.batch or other.batch,
        (*one.added, *other.added),
        (*one.duplicates, *other.duplicates),
        (*one.refused, *other.refused),
        replayed=one.replayed or other.replayed,
    )


def some(names: Sequence[str], count: int) -> str:
    """The first few of `count` names, and how many more there are."""
    more = count - len(names[:NAMED])
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _left_out(listing: Listing, shown: str) -> tuple[str, ...]:
    """One sentence for each kind of what an archive holds beside pictures."""
    said = []
    if not listing.members and not listing.damaged.count and not listing.too_big.count:
        said.append(f"{shown} holds no JPEG, PNG, WEBP, HEIC or AVIF picture.")
    for left, words in (
        (listing.left_out, "not pictures or their captions"),
        (listing.damaged, "damaged"),
        (listing.too_big, "too large"),
    ):
        if left.names:
            said.append(f"Left out of {shown}, as {words}: {some(list(map(shown_file, left.names)), left.count)}.")
    if (unread := listing.unread).names:
        names = some(list(map(shown_file, unread.names)), unread.count)
        said.append(f"No text could be read in {names}; save captions as UTF-8. The tagger writes those captions.")
    return tuple(said)


async def _groups(members: AsyncIterator[Member], size: int) -> AsyncIterator[list[Member]]:
    group: list[Member] = []
    async for member in members:
        group.append(member)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
