"""Threads of datasets, on Discord's side: made, found again, taken away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Literal

import discord

from bot.errors import Refused
from bot.poster import mapped
from bot.services.dataset.datasets import Datasets
from bot.services.posting.outbox import CLOCK_SLACK_SECONDS
from bot.store.cards import add_batch_cards, add_card, add_report_card, mark_dirty, move_cards
from bot.store.database import Store
from bot.store.jobs import move_jobs
from bot.store.outbox import move_posts
from bot.store.rows import Dataset

log = logging.getLogger(__name__)

THREAD_NAME_LIMIT = 100
WEEK_MINUTES: Literal[10080] = 10080
"""Discord's longest time until a quiet thread is archived."""
HOUR_MINUTES: Literal[60] = 60
"""Its shortest."""


class Threads:
    """Gives each dataset its thread and the card in it."""

    def __init__(
        self, client: discord.Client, store: Store, datasets: Datasets, wake_cards: Callable[[], None]
    ) -> None:
        self._client = client
        self._store = store
        self._datasets = datasets
        self._wake_cards = wake_cards
        self._making = asyncio.Lock()  # a double press makes one thread

    async def ensure(self, dataset_id: int) -> Dataset:
        """The dataset with a thread that exists and its owner and helpers in it, its card wanted anew.

        Raises NotFound, Refused, discord.HTTPException; whatever failed is made up for by the next call.
        """
        async with self._making:
            dataset = await self._datasets.get(dataset_id)
            thread = await self._find(dataset) or await self._make(dataset)
        if thread.archived:  # nobody can be added to it then
            await thread.edit(archived=False)
        await thread.add_user(discord.Object(dataset.owner_id))
        for helper in (await self._datasets.overview(dataset_id)).helpers:
            with contextlib.suppress(discord.Forbidden, discord.NotFound):  # left the server
                await thread.add_user(discord.Object(helper))
        async with self._store.transaction() as tx:
            await add_card(tx, "dataset", dataset_id, thread.id)
            await add_batch_cards(tx, dataset_id, thread.id)
            await add_report_card(tx, dataset_id, thread.id)
            await mark_dirty(tx, "dataset", dataset_id, urgent=True)
        self._wake_cards()
        return await self._datasets.get(dataset_id)

    async def let_out(self, dataset: Dataset, user_id: int) -> bool:
        """Take a former helper out of the thread; whether the member is out. Raises PostUnclear, PostRefused."""
        with mapped():
            thread = await self._find(dataset)
            if thread is None:
                return True
            if thread.archived:
                await thread.edit(archived=False)
            try:
                await thread.remove_user(discord.Object(user_id))
            except discord.Forbidden:
                return False
            except discord.NotFound:
                pass
            return True

    async def follow(self, dataset: Dataset) -> None:
        """Give the thread the dataset's name; one that was put away leaves the channel's list after a quiet hour.

        (Not at once: drawing its card would open it again.) Raises PostUnclear, PostRefused.
        """
        quiet: Literal[60, 10080] = WEEK_MINUTES if dataset.archived_at is None else HOUR_MINUTES
        name = thread_name(dataset.name)
        with mapped():
            thread = await self._find(dataset)
            if thread is not None and thread.archived:
                await thread.edit(archived=False)
            if thread is not None and (thread.name, thread.auto_archive_duration) != (name, quiet):
                await thread.edit(name=name, auto_archive_duration=quiet)
        async with self._store.transaction() as tx:
            await mark_dirty(tx, "dataset", dataset.id, urgent=True)
        self._wake_cards()

    async def remove(self, dataset: Dataset) -> bool:
        """Delete the thread, or where Discord forbids it the bot's own messages; whether all of it is gone.

        Raises PostUnclear when Discord cannot say now.
        """
        with mapped():
            try:
                thread = await self._find(dataset)
            except discord.Forbidden:  # the bot was sent away, or may not see it any more
                return False
            if thread is None:
                return True
            try:
                await thread.delete()
            except discord.Forbidden:
                await self._remove_own_messages(thread)
                return False
            except discord.NotFound:
                pass
            return True

    async def _remove_own_messages(self, thread: discord.Thread) -> None:
        async for message in thread.history(limit=None):
            if self._client.user is not None and message.author.id == self._client.user.id:
                with contextlib.suppress(discord.HTTPException):
                    await message.delete()

    async def _find(self, dataset: Dataset) -> discord.Thread | None:
        """The dataset's thread; None when there is none or somebody deleted it."""
        if dataset.thread_id is None:
            return None
        try:
            thread = await self._client.fetch_channel(dataset.thread_id)
        except discord.NotFound:
            return None
        return thread if isinstance(thread, discord.Thread) else None

    async def _make(self, dataset: Dataset) -> discord.Thread:
        channel = await self._client.fetch_channel(dataset.channel_id)
        if not isinstance(channel, discord.TextChannel):
            raise Refused("A dataset's thread needs a text channel; use this command in one.")
        thread = await self._unheard_of(dataset, channel) or await _create(dataset, channel)
        await self._datasets.attach_thread(dataset.id, thread.id)
        if dataset.thread_id is not None:
            log.info("a dataset's thread was deleted; its cards move to a new one", extra={"dataset": dataset.id})
            async with self._store.transaction() as tx:
                await move_cards(tx, dataset.thread_id, thread.id)
                await move_jobs(tx, dataset.thread_id, thread.id)
                await move_posts(tx, dataset.thread_id, thread.id)
        return thread

    async def _unheard_of(self, dataset: Dataset, channel: discord.TextChannel) -> discord.Thread | None:
        """The thread that an earlier try made without hearing of it: the answer was lost, or the bot died."""
        for thread in await channel.guild.active_threads():
            if (
                (thread.parent_id, thread.name) == (channel.id, thread_name(dataset.name))
                and self._client.user is not None
                and thread.owner_id == self._client.user.id
                and discord.utils.snowflake_time(thread.id).timestamp() > dataset.created_at - CLOCK_SLACK_SECONDS
                and await self._datasets.for_thread(thread.id) is None
            ):
                log.info("found the thread of an earlier try", extra={"dataset": dataset.id, "thread_id": thread.id})
                return thread
        return None


async def _create(dataset: Dataset, channel: discord.TextChannel) -> discord.Thread:
    private = dataset.kind == "person"
    return await channel.create_thread(
        name=thread_name(dataset.name),
        type=discord.ChannelType.private_thread if private else discord.ChannelType.public_thread,
        auto_archive_duration=WEEK_MINUTES,
        invitable=not private,
    )


def thread_name(name: str) -> str:
    """The dataset's name, short enough; Discord shows a thread's name as plain text."""
    return name if len(name) <= THREAD_NAME_LIMIT else name[: THREAD_NAME_LIMIT - 1] + "…"


def missing_permission(permissions: discord.Permissions, *, private: bool) -> str:
    """What to tell when the bot lacks a permission that a new dataset needs; empty when it has all."""
    needed = {
        "View Channel": permissions.view_channel,
        "Create Private Threads": permissions.create_private_threads or not private,
        "Create Public Threads": permissions.create_public_threads or private,
        "Send Messages in Threads": permissions.send_messages_in_threads,
        "Attach Files": permissions.attach_files,
    }
    missing = [name for name, given in needed.items() if not given]
    if not missing:
        return ""
    return (
        f"I need the permission {', '.join(missing)} in this channel. Whoever manages this server can give it to me "
        "under Edit Channel > Permissions; then use the command again."
    )
