"""Pictures on their way in: whatever a member used, they end here; the batch's card and the tagger follow."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import discord

from bot.services.intake.intake import BatchReport, Incoming, Intake
from bot.services.intake.unpack import Unpack, is_archive, joined
from bot.services.upkeep.under_way import UnderWay
from bot.store.cards import add_card, mark_dirty
from bot.store.database import Connection, Store
from bot.store.pictures import batch_by_id, write_notes


class Posts:
    """Takes hand-overs from commands, modals, the message menu and (bot.thread_posts) posts."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        unpack: Unpack,
        wake_captions: Callable[[], None],
        wake_cards: Callable[[], None],
    ) -> None:
        self._store = store
        self._intake = intake
        self._unpack = unpack
        self._wake_captions = wake_captions
        self._wake_cards = wake_cards
        self.under_way = UnderWay()
        """Hand-overs with their answers; a bot that stops waits for them."""

    async def hand_over(self, dataset_id: int, user_id: int, source: str, files: Sequence[Incoming]) -> BatchReport:
        """Add the files and want the batch's card; `source` is `message:<id>` or `interaction:<id>`.

        Each archive among them makes a batch of its own. Raises NotFound, NotYours, Refused, StorageError; what is
        wrong with single files is in the report.
        """
        plain = [file for file in files if not is_archive(file)]
        archives = [file for file in files if is_archive(file)]
        report = None
        if plain or not archives:
            report = await self._intake.add(dataset_id, user_id, source, plain, also=want_card)
            self.follow_up(report)
        for place, file in enumerate(archives, 1):
            dataset = await self._intake.may_add(dataset_id, user_id)
            more = await self._unpack.add(dataset, user_id, f"{source}:{place}", file, growing)
            await self._note(more)
            self.follow_up(more)
            report = more if report is None else joined(report, more)
        assert report is not None
        return report

    def follow_up(self, report: BatchReport) -> None:
        """Have the batch's card drawn and new pictures captioned, measured and compared, if any were added."""
        if report.batch is not None:
            self._wake_cards()
            self._wake_captions()

    async def _note(self, report: BatchReport) -> None:
        """Have the archive's card say what was left out of it."""
        async with self._store.transaction() as tx:
            batch = await batch_by_id(tx, report.batch.id) if report.batch is not None else None
            if batch is not None:
                await want_card(tx, dataclasses.replace(report, batch=batch))


async def want_card(tx: Connection, report: BatchReport, *, urgent: bool = True) -> None:
    """Have the batch's card posted, or drawn again when the batch has grown, with what was not added below it.

    Not `urgent` for a hand-over of many steps, whose cards would otherwise be drawn at each.
    """
    if report.batch is not None and report.dataset.thread_id is not None:
        before = report.batch.note_list
        await write_notes(tx, report.batch.id, [*before, *(each for each in sentences(report) if each not in before)])
        await add_card(tx, "batch", report.batch.id, report.dataset.thread_id)
        await mark_dirty(tx, "batch", report.batch.id)
        await mark_dirty(tx, "dataset", report.dataset.id, urgent=urgent)


growing = functools.partial(want_card, urgent=False)
"""`want_card` for each step of a hand-over of many."""


def incoming(message: discord.Message) -> list[Incoming]:
    """The message's files, to be read at once: their addresses expire."""
    return [offered(attachment) for attachment in message.attachments]


def offered(attachment: discord.Attachment) -> Incoming:
    """An attachment of a message or a command."""
    return Incoming(attachment.filename, attachment.size, reading(attachment.read))


def reading(download: Callable[[], Awaitable[bytes]]) -> Callable[[], Awaitable[bytes]]:
    """The download with what Discord or the network does to it raised as OSError."""

    async def read() -> bytes:
        try:
            return await download()
        except discord.HTTPException as error:
            raise OSError(f"Discord answered {error.status}") from error
        except aiohttp.ClientError as error:
            raise OSError(f"the connection broke ({type(error).__name__})") from error

    return read


def sentences(report: BatchReport) -> list[str]:
    """What was not added, and why."""
    return [*report.refused, *report.duplicates]
