"""Posts in datasets' threads: in order, each taken once, also those that came while the bot was away.

Per dataset the database remembers up to which post the bot has looked. A new session with Discord (a start, or a
connection that could not be resumed) has missed posts, so each thread is read on from there first. A post that is seen
twice is harmless: its id is the hand-over's source. Only runs where the host lets the bot read messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import weakref

import aiohttp
import discord

from bot.cards.text import listing
from bot.errors import LoreleiError, NotFound, StoreError
from bot.rules.access import MAY
from bot.services.dataset.datasets import Datasets
from bot.services.intake.posts import Posts, incoming, sentences
from bot.store.database import Store
from bot.store.datasets import datasets_in_state, set_read_until
from bot.store.facts import read_fact, write_fact
from bot.store.rows import Dataset

log = logging.getLogger(__name__)

READ_AT_ONCE = 1000
"""Most messages of one thread that are looked through after a pause; the next post there goes on with the rest."""
SINCE_FACT = "posts-read-since"
"""Since when (as a message id) the host lets the bot read: what was posted before was not meant for it. Empty: off."""


class ThreadPosts:
    """Takes the pictures that owners and helpers post in their datasets' threads."""

    def __init__(self, client: discord.Client, store: Store, datasets: Datasets, posts: Posts) -> None:
        self._client = client
        self._store = store
        self._datasets = datasets
        self._posts = posts
        self._since = 0
        self._current: set[int] = set()  # threads of which this session has missed nothing
        self._locks: weakref.WeakValueDictionary[int, asyncio.Lock] = weakref.WeakValueDictionary()

    async def at_start(self, *, reading: bool) -> None:
        """Note since when posts are read; whether they are is the host's setting."""
        async with self._store.transaction() as tx:
            known = await read_fact(tx, SINCE_FACT) or ""
            since = (known or str(discord.utils.time_snowflake(dt.datetime.now(dt.UTC)))) if reading else ""
            await write_fact(tx, SINCE_FACT, since)
        self._since = int(since or 0)

    def lost_touch(self) -> None:
        """The connection broke: from now on posts may be missed."""
        self._current.clear()

    async def catch_up(self) -> None:
        """Look through the threads of all datasets for posts that were missed."""
        async with self._store.transaction() as tx:
            waiting = [each for each in await datasets_in_state(tx, "open") if each.thread_id is not None]
        for dataset in waiting:
            with contextlib.suppress(NotFound):  # deleted meanwhile
                async with self._lock(dataset.thread_id or 0):
                    await self._read_on(dataset.id)

    async def received(self, message: discord.Message) -> None:
        """A post somewhere: taken if the owner or a helper posted pictures in the dataset's thread."""
        if not message.attachments:
            return
        with self._posts.under_way:  # before anything is asked of the database: a bot that stops waits for all of it
            try:
                await self._received(message)
            except StoreError as error:  # stopping, or the disk is full: it is read again with the next post or start
                self._current.discard(message.channel.id)
                log.warning("a post waits: %s", error, extra={"message_id": message.id})

    async def _received(self, message: discord.Message) -> None:
        dataset = await self._datasets.for_thread(message.channel.id)
        if dataset is None or not await self._may_add(dataset, message):
            return
        typing = asyncio.create_task(_show_typing(message))  # beside the work: pictures wait for no sign of it
        try:
            with contextlib.suppress(NotFound):
                async with self._lock(message.channel.id):
                    await self._in_turn(dataset.id, message)
        finally:
            typing.cancel()

    async def _may_add(self, dataset: Dataset, message: discord.Message) -> bool:
        try:
            return "add" in MAY[await self._datasets.role(dataset.id, message.author.id)]
        except NotFound:  # deleted meanwhile
            return False

    async def _in_turn(self, dataset_id: int, message: discord.Message) -> None:
        await self._read_on(dataset_id)
        dataset = await self._datasets.get(dataset_id)
        if message.id <= dataset.read_until:
            return  # found by reading on
        await self._take(dataset, message)
        if message.channel.id in self._current:
            await self._mark(dataset_id, message.id)

    async def _read_on(self, dataset_id: int) -> None:
        """Take what was posted since the last look, if anything can have been missed. Hold the thread's lock."""
        dataset = await self._datasets.get(dataset_id)
        thread_id = dataset.thread_id
        if thread_id is None or thread_id in self._current:
            return
        behind = discord.Object(max(dataset.read_until, self._since, thread_id))
        history = self._client.get_partial_messageable(thread_id).history(
            limit=READ_AT_ONCE, after=behind, oldest_first=True
        )
        seen, last = 0, behind.id
        try:
            async for message in history:
                if message.attachments and await self._may_add(dataset, message):
                    with self._posts.under_way:
                        await self._take(dataset, message)
                        await self._mark(dataset_id, message.id)
                seen, last = seen + 1, message.id
        except (discord.Forbidden, discord.NotFound) as error:
            log.warning("posts in thread %s that came meanwhile cannot be read: %s", thread_id, error)
        except (discord.HTTPException, aiohttp.ClientError, TimeoutError) as error:
            log.warning("posts in thread %s are read later: %s", thread_id, error)
            return
        await self._mark(dataset_id, last)
        if seen < READ_AT_ONCE:
            self._current.add(thread_id)

    async def _take(self, dataset: Dataset, message: discord.Message) -> None:
        try:
            report = await self._posts.hand_over(
                dataset.id, message.author.id, f"message:{message.id}", incoming(message)
            )
        except StoreError:
            raise  # nothing could be written, so nothing is answered either
        except LoreleiError as error:
            log.warning("a post was not taken: %s", error, extra={"message_id": message.id})
            await _reply(message, str(error)[:2000])
            return
        if report.batch is None:
            await _reply(message, listing(sentences(report)))

    async def _mark(self, dataset_id: int, message_id: int) -> None:
        async with self._store.transaction() as tx:
            await set_read_until(tx, dataset_id, message_id)

    def _lock(self, thread_id: int) -> asyncio.Lock:
        """One post of a thread at a time, so that what is marked as read has been read."""
        return self._locks.setdefault(thread_id, asyncio.Lock())


async def _reply(message: discord.Message, words: str) -> None:
    try:
        await message.reply(words, mention_author=False)
    except (discord.HTTPException, aiohttp.ClientError) as error:  # deleted, or the bot may not write here
        log.warning("could not answer a post: %s", error, extra={"message_id": message.id})


async def _show_typing(message: discord.Message) -> None:
    with contextlib.suppress(discord.HTTPException, aiohttp.ClientError):
        await message.channel.typing()
