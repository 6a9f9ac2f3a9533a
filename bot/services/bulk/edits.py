"""Bulk edits of captions: worked out, offered with what would change, applied if nothing moved meanwhile, undone.

All of it is in the database, so an offer outlives a restart, and each edit is applied as a whole or not at all.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from bot.errors import NotFound, Refused
from bot.rules.access import Deed
from bot.rules.bulk.captions import Captioned, Subject, TagCount, captions_with, tag_counts
from bot.rules.bulk.codec import from_json, to_json
from bot.rules.bulk.operations import Change, Edit, Operation, RemoveTags, ReplacePattern, carry_out, in_sentences
from bot.rules.bulk.selection import chosen_numbers
from bot.rules.names import shown_file
from bot.services.bulk.patterns import Patterns
from bot.services.bulk.way_back import WayBack, way_back
from bot.services.dataset.datasets import allowed
from bot.store import caption_edits as rows
from bot.store import pictures
from bot.store.caption_edits import NewEdit, Past, Since
from bot.store.cards import mark_dirty
from bot.store.database import Connection, Store
from bot.store.rows import CaptionEdit, Dataset, Picture

OFFER_SECONDS = 86_400.0
"""An offer nobody took up is forgotten after a day."""
OFFERS = 20
"""Of a member, in a dataset; an older one is forgotten when there is a new one."""
KEPT = 50
"""Bulk edits a dataset's history holds; each may take 200 kB."""
COUNTED = 20
"""Datasets whose tags are kept counted while nothing in their captions changes."""


@dataclass(frozen=True, slots=True)
class CaptionSet:
    """A dataset's captions at one moment."""

    dataset: Dataset
    pictures: tuple[Picture, ...]
    counted: tuple[TagCount, ...] | None = None
    """`counts`, where they are known already: a thousand captions take a second to read."""

    @property
    def subject(self) -> Subject:
        """What their prefix is made of."""
        return Subject(self.dataset.trigger, self.dataset.class_word)

    @property
    def captioned(self) -> list[Captioned]:
        """Each with its number."""
        return [
            Captioned(each.id, number, each.caption, waiting=not each.tagged)
            for number, each in enumerate(self.pictures, 1)
        ]

    @property
    def counts(self) -> Sequence[TagCount]:
        """How often each tag stands there."""
        return tag_counts(self.captioned, self.subject) if self.counted is None else self.counted

    @property
    def mark(self) -> str:
        """Changes when any of them does."""
        state = [(each.id, each.revision, each.tagged, each.caption) for each in self.pictures]
        return hashlib.sha256(repr(state).encode()).hexdigest()

    def tag(self, code: str) -> TagCount:
        """The tag with this code; raises NotFound when it stands nowhere any more."""
        for each in self.counts:
            if each.code == code:
                return each
        raise NotFound("This tag is in no caption any more.")

    def with_tag(self, tag: str) -> list[Picture]:
        """Pictures whose captions hold the tag."""
        found = {each.picture_id for each in captions_with(tag, self.captioned, self.subject)}
        return [each for each in self.pictures if each.id in found]

    def numbered(self, text: str) -> tuple[int, ...] | None:
        """Ids of the pictures a member means by numbers; None for all. Raises Refused."""
        numbers = chosen_numbers(text, len(self.pictures))
        return None if numbers is None else tuple(self.pictures[number - 1].id for number in numbers)


@dataclass(frozen=True, slots=True)
class Offer:
    """A bulk edit with what it would change, or did."""

    edit: CaptionEdit
    dataset: Dataset
    changes: tuple[Change, ...]
    total: int
    """Pictures in the dataset."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A bulk edit that was asked to be applied."""

    offer: Offer
    done: bool
    """False when captions changed meanwhile: the offer now says what it would do to those of now."""


@dataclass(frozen=True, slots=True)
class Undone:
    """A bulk edit that was taken back."""

    dataset_id: int
    title: str
    restored: int
    kept: int
    """Captions that were edited since and stay as they are."""


class BulkEdits:
    """Offers, applies and undoes."""

    def __init__(self, store: Store, patterns: Patterns, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._patterns = patterns
        self._clock = clock
        self._counted: OrderedDict[int, tuple[str, Subject, tuple[TagCount, ...]]] = OrderedDict()

    async def captions(self, dataset_id: int, user_id: int) -> CaptionSet:
        """The captions as they are now, their tags counted, for whoever may see them; raises NotFound or NotYours."""
        async with self._store.transaction() as tx:
            now = await _captions(tx, dataset_id, user_id, "see")
        mark, subject, counts = self._counted.get(dataset_id, ("", now.subject, ()))
        if (mark, subject) != (now.mark, now.subject):
            counts = tuple(await asyncio.to_thread(tag_counts, now.captioned, now.subject))
            self._counted[dataset_id] = (now.mark, now.subject, counts)
        self._counted.move_to_end(dataset_id)
        while len(self._counted) > COUNTED:
            self._counted.popitem(last=False)
        return dataclasses.replace(now, counted=counts)

    async def offer(
        self, dataset_id: int, user_id: int, operation: Operation, notes: Sequence[str] = (), title: str = ""
    ) -> Offer:
        """Work out what the operation would change and keep it, under its own or another title; nothing changes yet.

        Raises NotFound, NotYours, and Refused when it would change nothing, or with what is wrong with a pattern.
        """
        async with self._store.transaction() as tx:
            now = await _captions(tx, dataset_id, user_id, "edit")
        edit = await self._carried_out(operation, now)
        notes = [*notes, *await asyncio.to_thread(_notes, operation, edit, now)]
        if not edit.changes:
            raise Refused(" ".join(["No caption would change.", *notes]))
        new = NewEdit(
            dataset_id=dataset_id,
            user_id=user_id,
            title=(title or operation.title)[:200],
            operation=to_json(operation),
            mark=now.mark,
            notes=notes,
        )
        async with self._store.transaction() as tx:
            await allowed(tx, dataset_id, user_id, "edit")
            await rows.forget_edits(tx, dataset_id, self._clock() - OFFER_SECONDS, KEPT)
            stored = await rows.insert_edit(tx, new, edit.changes, self._clock())
            await rows.forget_more_offers(tx, dataset_id, user_id, OFFERS)
        return Offer(stored, now.dataset, edit.changes, len(now.pictures))

    async def look(self, edit_id: int, user_id: int) -> Offer:
        """An offer, or what was applied, again; raises NotFound or NotYours."""
        async with self._store.transaction() as tx:
            return (await self._known(tx, edit_id, user_id, "see"))[0]

    async def apply(self, edit_id: int, user_id: int) -> Applied:
        """Do what was offered, if it would still do exactly that; otherwise offer what it would do now.

        Raises NotFound, NotYours, and Refused when it was applied already or would change nothing any more.
        """
        while True:
            async with self._store.transaction() as tx:
                offer, now = await self._known(tx, edit_id, user_id, "edit")
                _check_open(offer.edit)
                if now.mark == offer.edit.mark:
                    await self._write(tx, offer.dataset.id, offer.changes)
                    await rows.edit_applied(tx, edit_id, user_id, self._clock())
                    return Applied(offer, done=True)
            fresh = await self._renewed(offer, now)
            if fresh.changes != offer.changes:
                return Applied(fresh, done=False)

    async def undo(self, edit_id: int, user_id: int) -> Undone:
        """Take back what the edit did, where nobody has written by hand since and later edits leave it clear.

        The undoing is an edit of its own in the history, so it can be undone too. Raises NotFound, NotYours, Refused.
        """
        while True:
            async with self._store.transaction() as tx:
                offer, now = await self._known(tx, edit_id, user_id, "edit")
                _check_done(offer.edit)
                since = await rows.since_edit(tx, offer.edit)
            back = await asyncio.to_thread(_way_back, offer.changes, since, now)
            if not back.changes:
                raise Refused(_why_not(back))
            async with self._store.transaction() as tx:
                offer, again = await self._known(tx, edit_id, user_id, "edit")
                _check_done(offer.edit)
                if again.mark == now.mark:
                    await self._undo(tx, offer.edit, user_id, back)
                    return Undone(offer.dataset.id, offer.edit.title, len(back.changes), back.kept)

    async def _undo(self, tx: Connection, edit: CaptionEdit, user_id: int, back: WayBack) -> None:
        title = _undo_title(edit.title)
        new = NewEdit(dataset_id=edit.dataset_id, user_id=user_id, title=title, operation="", mark="")
        undoing = await rows.insert_edit(tx, new, back.changes, self._clock())
        # The provisional caption comes back as one; a caption that was only mended holds tags.
        before = {each.picture_id: each.before for each in await rows.changes_of(tx, edit.id)}
        waiting = await rows.waiting_of(tx, edit.id)
        whole = {each.picture_id for each in back.changes if each.after == before[each.picture_id]}
        await self._write(tx, edit.dataset_id, back.changes, waiting & whole)
        await rows.edit_undone(tx, edit.id, user_id, self._clock())
        await rows.edit_applied(tx, undoing.id, user_id, self._clock())

    async def history(self, dataset_id: int, user_id: int, limit: int, offset: int = 0) -> tuple[list[Past], int]:
        """Applied edits, the latest first, and how many there are; raises NotFound or NotYours."""
        async with self._store.transaction() as tx:
            now = await _captions(tx, dataset_id, user_id, "see")
            past, total = await rows.past_edits(tx, dataset_id, limit, offset), await rows.count_past(tx, dataset_id)
        return [await self._hindered(each, now) if each.can_be_undone else each for each in past], total

    async def _hindered(self, past: Past, now: CaptionSet) -> Past:
        """With what hinders its undoing, if nothing of it can be brought back."""
        async with self._store.transaction() as tx:
            changes = await rows.changes_of(tx, past.edit.id)
            since = await rows.since_edit(tx, past.edit)
        there = {each.id for each in now.pictures}
        back = await asyncio.to_thread(_way_back, [each for each in changes if each.picture_id in there], since, now)
        return past if back.changes else dataclasses.replace(past, later=back.later or None)

    async def _renewed(self, offer: Offer, now: CaptionSet) -> Offer:
        """The offer worked out from the captions of now."""
        operation = from_json(offer.edit.operation)
        edit = await self._carried_out(operation, now)
        if not edit.changes:
            raise Refused("The captions changed meanwhile, and now it would change nothing. Nothing was done.")
        notes = await asyncio.to_thread(_notes, operation, edit, now)
        async with self._store.transaction() as tx:
            _check_open(await rows.edit_by_id(tx, offer.edit.id))  # a second press may have been faster
            await rows.renew_edit(tx, offer.edit.id, now.mark, notes, edit.changes)
        return dataclasses.replace(offer, changes=edit.changes, total=len(now.pictures))

    async def _carried_out(self, operation: Operation, now: CaptionSet) -> Edit:
        if isinstance(operation, ReplacePattern):
            bodies = {each.id: now.subject.body(each.caption) for each in now.pictures}
            found = await self._patterns.replaced(operation.find, operation.by, bodies)
            operation = dataclasses.replace(operation, found=found)
        return await asyncio.to_thread(carry_out, operation, now.captioned, now.subject)

    async def _known(self, tx: Connection, edit_id: int, user_id: int, deed: Deed) -> tuple[Offer, CaptionSet]:
        edit = await rows.edit_by_id(tx, edit_id)
        if edit is None:
            raise NotFound("This edit is no longer kept. Start it anew.")
        now = await _captions(tx, edit.dataset_id, user_id, deed)
        return Offer(edit, now.dataset, tuple(await rows.changes_of(tx, edit_id)), len(now.pictures)), now

    async def _write(
        self, tx: Connection, dataset_id: int, changes: Sequence[Change], waiting: Container[int] = ()
    ) -> None:
        batches = set()
        for each in changes:
            await pictures.write_bulk(tx, each.picture_id, each.after, waiting=each.picture_id in waiting)
            picture = await pictures.picture_by_id(tx, each.picture_id)
            batches.update([picture.batch_id] if picture else [])
        for batch_id in batches:
            await mark_dirty(tx, "batch", batch_id)
        await mark_dirty(tx, "dataset", dataset_id)


async def _captions(tx: Connection, dataset_id: int, user_id: int, deed: Deed) -> CaptionSet:
    dataset = await allowed(tx, dataset_id, user_id, deed)
    return CaptionSet(dataset, tuple(await pictures.pictures_of_dataset(tx, dataset_id)))


def _check_open(edit: CaptionEdit | None) -> None:
    """Raises NotFound and Refused unless the edit can still be applied."""
    if edit is None:
        raise NotFound("This edit is no longer kept. Start it anew.")
    if edit.applied_at is not None:
        raise Refused("This was applied already. The history has it, and can undo it.")


def _check_done(edit: CaptionEdit) -> None:
    """Raises Refused unless the edit can be undone."""
    if edit.applied_at is None:
        raise Refused("This was not applied, so there is nothing to undo.")
    if edit.undone_at is not None:
        raise Refused("This was undone already. The history shows it; undo the undoing to have it again.")


def _way_back(changes: Sequence[Change], since: Since, now: CaptionSet) -> WayBack:
    return way_back(changes, since, {each.id: each.caption for each in now.pictures}, now.subject)


def _why_not(back: WayBack) -> str:
    if not back.later:
        return "Every caption it changed was edited since, so nothing was undone."
    first = ", ".join(shown_file(title) for title in back.later[:3])
    more = f" and {len(back.later) - 3} more" if len(back.later) > 3 else ""
    return f"Later edits changed the same captions, so nothing was undone. Undo these first: {first}{more}."


def _notes(operation: Operation, edit: Edit, now: CaptionSet) -> list[str]:
    """What the edit leaves alone, and why."""
    notes = []
    if edit.waiting:
        notes.append(f"The tagger has not written {edit.waiting} of the captions yet; they are left out.")
    if edit.too_long:
        notes.append(f"{edit.too_long} would be longer than 1,000 characters and stay as they are.")
    if isinstance(operation, RemoveTags):
        kept = in_sentences(operation.tags, now.captioned, now.subject)
        if kept:
            notes.append(f"In {kept} it is part of a sentence and stays; replace the text to change it there.")
    return notes


def _undo_title(title: str) -> str:
    """Of an undoing: `Undo: …`; of the undoing of one: `Again: …`."""
    if title.startswith("Undo: "):
        return f"Again: {title.removeprefix('Undo: ')}"
    return f"Undo: {title.removeprefix('Again: ')}"
