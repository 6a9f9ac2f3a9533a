"""Datasets as a whole: renamed, copied, merged, put away and brought back. (Deleting: `datasets`.)"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.config import IntakeConfig
from bot.errors import Refused
from bot.rules.bulk.captions import Subject
from bot.rules.bulk.selection import written_numbers
from bot.rules.captions.caption import MAX_CAPTION
from bot.rules.consent import ATTESTATION, Attestation, merge_refusal, needs_consent
from bot.rules.names import MAX_NAME, dataset_name
from bot.services.dataset.datasets import owned
from bot.services.dataset.files import FileStore
from bot.store import datasets as rows
from bot.store import pictures
from bot.store.cards import add_card, mark_dirty
from bot.store.database import Connection, Store
from bot.store.datasets import NewDataset
from bot.store.helpers import helpers_of
from bot.store.rows import Dataset, Picture


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What a copy would be, to be shown before it is made."""

    dataset: Dataset
    name: str
    pictures: int
    attestation: Attestation | None
    """What the owner must confirm again; None for what shows no person."""


@dataclass(frozen=True, slots=True)
class MergePlan:
    """What a merge would move, to be shown before it is done."""

    source: Dataset
    target: Dataset
    moving: int
    duplicates: int
    """Pictures that the target holds already; they stay in the source."""
    attestation: Attestation | None


class Arrange:
    """Everything here is the owner's alone."""

    def __init__(
        self,
        store: Store,
        files: FileStore,
        limits: IntakeConfig,
        wake_pictures: Callable[[], None],
        wake_cards: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._files = files
        self._limits = limits
        self._wake_pictures = wake_pictures
        self._wake_cards = wake_cards
        self._clock = clock

    async def rename(self, dataset_id: int, user_id: int, name: str) -> Dataset:
        """Call the dataset something else; raises NotFound, NotYours, Refused (a name taken or not possible)."""
        wanted = dataset_name(name)
        try:
            async with self._store.transaction() as tx:
                await owned(tx, dataset_id, user_id)
                await rows.set_name(tx, dataset_id, wanted)
                return await owned(tx, dataset_id, user_id)
        except sqlite3.IntegrityError:
            raise Refused(f"You already have a dataset called {wanted}. Choose another name.") from None

    async def put_away(self, dataset_id: int, user_id: int, *, away: bool) -> Dataset:
        """Put the dataset away, or bring it back; nothing of it is lost. Raises NotFound, NotYours, Refused."""
        async with self._store.transaction() as tx:
            dataset = await owned(tx, dataset_id, user_id)
            if dataset.state != "open":
                raise Refused("This dataset waits for your consent; confirm or delete it: /dataset show")
            if (dataset.archived_at is not None) != away:
                await rows.set_archived(tx, dataset_id, self._clock() if away else None)
            return await owned(tx, dataset_id, user_id)

    async def plan_copy(self, dataset_id: int, user_id: int) -> CopyPlan:
        """What `copy` would make; raises NotFound, NotYours, Refused."""
        async with self._store.transaction() as tx:
            return await self._plan_copy(tx, dataset_id, user_id)

    async def _plan_copy(self, tx: Connection, dataset_id: int, user_id: int) -> CopyPlan:
        dataset = await owned(tx, dataset_id, user_id)
        if dataset.state != "open":
            raise Refused("This dataset waits for your consent, so there is nothing to copy yet.")
        taken = {each.name.casefold() for each in await rows.datasets_of(tx, dataset.guild_id, user_id)}
        return CopyPlan(
            dataset=dataset,
            name=_free_name(dataset.name, taken),
            pictures=await pictures.count_pictures(tx, dataset_id),
            attestation=ATTESTATION if needs_consent(dataset.kind) else None,
        )

    async def copy(self, dataset_id: int, user_id: int, agreed: Attestation | None = None) -> Dataset:
        """A second dataset of the owner's with the same pictures and captions, without helpers and trainings.

        Of a person, the owner must have `agreed` to ATTESTATION once more. Raises NotFound, NotYours, Refused.
        """
        now = self._clock()
        async with self._files.lock, self._store.transaction() as tx:
            plan = await self._plan_copy(tx, dataset_id, user_id)
            if plan.attestation is not None and agreed != plan.attestation:
                raise Refused("A copy of a person's pictures needs your confirmation.")
            made = await rows.insert_dataset(tx, _copy_of(plan), "open", now)
            await rows.copy_options(tx, dataset_id, made.id)
            if plan.attestation is not None:
                await rows.insert_consent(tx, made.id, user_id, plan.attestation, now)
            found = await pictures.pictures_of_dataset(tx, dataset_id)
            if found:
                batch = await pictures.insert_batch(tx, made.id, user_id, now, f"copy:{dataset_id}")
                for picture in found:
                    await pictures.copy_picture(tx, picture, batch)
        self._wake_pictures()
        return made

    async def plan_merge(self, target_id: int, source_id: int, user_id: int) -> MergePlan:
        """What `merge` would move; raises NotFound, NotYours, Refused with what hinders it."""
        async with self._store.transaction() as tx:
            plan, _ = await self._plan_merge(tx, target_id, source_id, user_id)
            return plan

    async def merge(self, target_id: int, source_id: int, user_id: int, agreed: Attestation | None = None) -> MergePlan:
        """Move the source's pictures with their captions to the target, as one batch; returns what was moved.

        Pictures the target holds already stay behind, and so do the source's trainings. Raises as `plan_merge` does.
        """
        async with self._files.lock, self._store.transaction() as tx:
            plan, moving = await self._plan_merge(tx, target_id, source_id, user_id)
            if plan.attestation is not None:
                if agreed != plan.attestation:
                    raise Refused("Merging pictures of a person needs your confirmation.")
                await rows.insert_consent(tx, target_id, user_id, plan.attestation, self._clock())
            now = self._clock()
            batch = await pictures.insert_batch(tx, target_id, user_id, now, f"merge:{source_id}:{now!r}")
            for picture, caption in moving:
                await pictures.move_picture(tx, picture.id, batch, caption)
                await mark_dirty(tx, "batch", picture.batch_id)
            if plan.target.thread_id is not None:
                await add_card(tx, "batch", batch.id, plan.target.thread_id)
            for each in (source_id, target_id):
                await mark_dirty(tx, "dataset", each, urgent=True)
                await mark_dirty(tx, "report", each)
        self._wake_pictures()
        self._wake_cards()
        return plan

    async def _plan_merge(
        self, tx: Connection, target_id: int, source_id: int, user_id: int
    ) -> tuple[MergePlan, Sequence[tuple[Picture, str]]]:
        """The plan, and the pictures that move with their captions."""
        source, target = await owned(tx, source_id, user_id), await owned(tx, target_id, user_id)
        await self._check_merge(tx, source, target)
        held = await pictures.pictures_of_dataset(tx, target_id)
        files, sources = {each.file for each in held}, {each.source_sha256 for each in held}
        found = await pictures.pictures_of_dataset(tx, source_id)
        moving = [
            (each, _moved(each.caption, source, target))
            for each in found
            if each.file not in files and each.source_sha256 not in sources
        ]
        if not moving:
            raise Refused("There is nothing to move: every picture is in both already, or there is none.")
        over = len(held) + len(moving) - self._limits.max_pictures
        if over > 0:
            raise Refused(
                f"Together they hold {len(held) + len(moving)} pictures; {self._limits.max_pictures} is the most."
                f" Remove {over} first."
            )
        long = {picture.id for picture, caption in moving if len(caption) > MAX_CAPTION}
        if long:
            numbers = written_numbers([number for number, each in enumerate(found, 1) if each.id in long])
            raise Refused(
                f"With the trigger word {target.trigger}, captions of {source.name} would be longer than"
                f" {MAX_CAPTION:,} characters: {numbers}. Shorten them first."
            )
        attestation = ATTESTATION if needs_consent(target.kind) else None
        return MergePlan(source, target, len(moving), len(found) - len(moving), attestation), moving

    async def _check_merge(self, tx: Connection, source: Dataset, target: Dataset) -> None:
        if source.id == target.id:
            raise Refused("Choose another dataset; this one is itself.")
        if source.guild_id != target.guild_id:
            raise Refused("The two datasets are in different servers.")
        if source.state != "open" or target.state != "open":
            raise Refused("One of the two waits for your consent: /dataset show brings the question back.")
        if source.archived_at is not None or target.archived_at is not None:
            raise Refused("One of the two was put away. Bring it back first: /dataset archive")
        if why := merge_refusal(source.kind, target.kind):
            raise Refused(why)
        if await pictures.count_untagged(tx, source.id):
            raise Refused("Captions of the other dataset are still being written. Merge when they are there.")
        if needs_consent(source.kind):
            known = {each.user_id for each in await helpers_of(tx, source.id) if each.state == "active"}
            if any(each.user_id not in known for each in await helpers_of(tx, target.id)):
                raise Refused(
                    "Somebody helps with this dataset whom you did not let see the other one. Add them there too, or"
                    " take them out here, then merge."
                )


def _copy_of(plan: CopyPlan) -> NewDataset:
    source = plan.dataset
    return NewDataset(
        guild_id=source.guild_id,
        channel_id=source.channel_id,
        owner_id=source.owner_id,
        name=plan.name,
        trigger=source.trigger,
        class_word=source.class_word,
        kind=source.kind,
    )


def _free_name(name: str, taken: set[str]) -> str:
    """`Lisa copy`, `Lisa copy 2` …: the first that is free."""
    for number in range(1, len(taken) + 2):
        ending = " copy" if number == 1 else f" copy {number}"
        wanted = name[: MAX_NAME - len(ending)].rstrip() + ending
        if wanted.casefold() not in taken:
            return wanted
    raise AssertionError("more names are taken than there are")


def _moved(caption: str, source: Dataset, target: Dataset) -> str:
    """A caption with the other dataset's prefix, and its trigger word where a sentence names it; nothing is cut."""
    own = Subject(target.trigger, target.class_word)
    rest = Subject(source.trigger, source.class_word).body(caption)
    named = rf"(?<![\w-]){re.escape(source.trigger)}(?![\w-])"  # not the rex of t-rex
    return own.joined(own.items(re.sub(named, target.trigger, rest, flags=re.IGNORECASE)))
