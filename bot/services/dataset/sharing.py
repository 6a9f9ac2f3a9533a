"""Helpers: members whom a dataset's owner lets edit it (what they may: bot.rules.access)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bot.errors import NotFound, Refused
from bot.rules.consent import HELPING, SHARING, Attestation, needs_consent
from bot.services.dataset.datasets import existing, owned
from bot.store.cards import mark_dirty
from bot.store.database import Connection, Store
from bot.store.datasets import insert_consent
from bot.store.helpers import helper_agreed, helper_of, helpers_of, put_helper, remove_helper
from bot.store.outbox import add_post
from bot.store.rows import Dataset, Helper

MOST_HELPERS = 10
"""A select shows as many at once; a dataset that more work on is a public one."""


@dataclass(frozen=True, slots=True)
class Circle:
    """A dataset with those who help."""

    dataset: Dataset
    helpers: tuple[Helper, ...]


class Sharing:
    """Adds and removes helpers; the thread's side of it is bot.threads."""

    def __init__(self, store: Store, wake_cards: Callable[[], None], clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._wake_cards = wake_cards
        self._clock = clock

    async def circle(self, dataset_id: int) -> Circle:
        """The dataset and its helpers; raises NotFound."""
        async with self._store.transaction() as tx:
            return Circle(await existing(tx, dataset_id), tuple(await helpers_of(tx, dataset_id)))

    async def invite(self, dataset_id: int, owner_id: int, user_id: int, agreed: Attestation | None = None) -> Helper:
        """Let a member help; of a person's dataset the owner must have `agreed` to SHARING, and the helper agrees next.

        Doing it again changes nothing. Raises NotFound, NotYours, Refused.
        """
        async with self._store.transaction() as tx:
            dataset = await owned(tx, dataset_id, owner_id)
            if user_id == owner_id:
                raise Refused("The dataset is yours already.")
            if dataset.state != "open":
                raise Refused("This dataset waits for your consent first: /dataset show brings the question back.")
            known = await helper_of(tx, dataset_id, user_id)
            if known is not None:
                return known
            if len(await helpers_of(tx, dataset_id)) >= MOST_HELPERS:
                raise Refused(f"{MOST_HELPERS} helpers is the most. Take one out first.")
            strict = needs_consent(dataset.kind)
            if strict:
                if agreed != SHARING:
                    raise Refused("Pictures of a person are shown to a helper only after you have confirmed it.")
                await insert_consent(tx, dataset_id, owner_id, SHARING, self._clock())
            await put_helper(tx, dataset_id, user_id, "asked" if strict else "active", self._clock())
            await (self._ask if strict else self._welcome)(tx, dataset, user_id)
            return await self._changed(tx, dataset_id, user_id)

    async def asked(self, dataset_id: int, user_id: int) -> Dataset:
        """The dataset whose owner waits for the member's answer; raises NotFound, Refused."""
        async with self._store.transaction() as tx:
            dataset = await existing(tx, dataset_id)
            helper = await helper_of(tx, dataset_id, user_id)
        if helper is None:
            raise NotFound("You are not asked to help with this dataset.")
        if helper.state == "active":
            raise Refused(f"You have agreed already; the dataset is here: <#{dataset.thread_id}>")
        return dataset

    async def agree(self, dataset_id: int, user_id: int) -> Dataset:
        """The member who was asked agrees to HELPING and helps from now on; doing it again changes nothing."""
        async with self._store.transaction() as tx:
            dataset = await existing(tx, dataset_id)
            helper = await helper_of(tx, dataset_id, user_id)
            if helper is None:
                raise NotFound("You are not asked to help with this dataset any more.")
            if helper.state == "asked":
                await insert_consent(tx, dataset_id, user_id, HELPING, self._clock())
                await helper_agreed(tx, dataset_id, user_id)
                await self._welcome(tx, dataset, user_id)
                await self._changed(tx, dataset_id, user_id)
            return dataset

    async def remove(self, dataset_id: int, actor_id: int, user_id: int) -> Dataset:
        """Take a helper out: the owner anybody, everybody themselves. From here on the member sees nothing more.

        Raises NotFound, NotYours.
        """
        async with self._store.transaction() as tx:
            dataset = await existing(tx, dataset_id)
            if actor_id != user_id:
                await owned(tx, dataset_id, actor_id)
            if not await remove_helper(tx, dataset_id, user_id):
                raise NotFound("That member does not help with this dataset.")
            await mark_dirty(tx, "dataset", dataset_id, urgent=True)
        self._wake_cards()
        return dataset

    async def _ask(self, tx: Connection, dataset: Dataset, user_id: int) -> None:
        """Where everybody reads: so without the dataset's name, and not in its thread, which a mention would open."""
        values = {"user": user_id, "owner": dataset.owner_id, "dataset": dataset.id}
        await add_post(tx, dataset.channel_id, "asked", None, values, self._clock())

    async def _welcome(self, tx: Connection, dataset: Dataset, user_id: int) -> None:
        """In the thread: what the helper may do there."""
        if dataset.thread_id is not None:
            await add_post(tx, dataset.thread_id, "helps", None, {"user": user_id}, self._clock())

    async def _changed(self, tx: Connection, dataset_id: int, user_id: int) -> Helper:
        await mark_dirty(tx, "dataset", dataset_id, urgent=True)
        self._wake_cards()
        helper = await helper_of(tx, dataset_id, user_id)
        assert helper is not None
        return helper
