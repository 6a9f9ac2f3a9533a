"""The outbox's sender: every decided post reaches its channel once, whatever is lost on the way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from bot.errors import PostRefused, PostUnclear
from bot.services.posting.flights import Flights
from bot.services.posting.messages import Outgoing, Poster, marker_of
from bot.store.cards import mark_dirty
from bot.store.database import Store
from bot.store.datasets import thread_goes
from bot.store.outbox import due_posts, post_given_up, post_later, post_sending, post_sent, retry_now
from bot.store.rows import Post

log = logging.getLogger(__name__)

CLOCK_SLACK_SECONDS = 300.0
"""Discord's clock may differ from ours by less than this; the search for a lost post begins this much earlier."""
LONGEST_WAIT_SECONDS = 300.0


class Composer(Protocol):
    """Finds the words of a post."""

    async def __call__(self, post: Post, *, attach: bool = True) -> Outgoing | None:
        """Words and file of a post, as things are now; None when there is nothing to say any more."""


class Outbox:
    """Sends what waits in the outbox, in order within a channel."""

    def __init__(self, store: Store, poster: Poster, compose: Composer, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._poster = poster
        self._compose = compose
        self._clock = clock
        self._flights = Flights()

    async def start(self) -> None:
        """After a start nothing waits for an old back-off."""
        async with self._store.transaction() as tx:
            await retry_now(tx)

    async def send_due(self) -> int:
        """Try the posts whose time has come; returns how many were tried."""
        async with self._store.transaction() as tx:
            posts = [post for post in await due_posts(tx, self._clock()) if post.channel_id not in self._flights]
        await self._flights.go((post.channel_id, self._send(post)) for post in posts)
        return len(posts)

    async def close(self) -> None:
        """Break off what is still being sent; the next start looks what became of it."""
        await self._flights.close()

    async def _send(self, post: Post) -> None:
        try:
            message_id = await self._look_for(post) if post.state == "sending" else None
            if message_id is None:
                message_id = await self._post(post)
        except PostUnclear as error:
            wait = min(2.0 ** min(post.tries + 1, 10), LONGEST_WAIT_SECONDS)
            log.warning(
                "post %s (%s) to channel %s: %s; next try in %.0f s", post.id, post.kind, post.channel_id, error, wait
            )
            async with self._store.transaction() as tx:
                await post_later(tx, post.id, self._clock() + wait, str(error))
            return
        except PostRefused as error:
            await self._give_up(post, str(error))
            if not await self._goes(post.channel_id):
                log.error("post %s (%s) to channel %s is given up: %s", post.id, post.kind, post.channel_id, error)
            return
        if message_id is None:
            await self._give_up(post, "there was nothing to say any more")
            return
        async with self._store.transaction() as tx:
            await post_sent(tx, post.id, message_id)

    async def _look_for(self, post: Post) -> int | None:
        """A try whose end nobody saw may have succeeded."""
        since = (post.first_try_at or post.created_at) - CLOCK_SLACK_SECONDS
        found = await self._poster.find(post.channel_id, marker_of(post), since)
        if found is not None:
            log.info("post %s was in channel %s already, as message %s", post.id, post.channel_id, found)
        return found

    async def _post(self, post: Post) -> int | None:
        message = await self._compose(post)
        if message is None:
            return None
        async with self._store.transaction() as tx:
            await post_sending(tx, post.id, self._clock())
        try:
            return await self._poster.send(post.channel_id, message)
        except PostRefused as error:  # too large, or files are not allowed here: the words must arrive all the same
            if message.file is None:
                raise
            log.warning("post %s (%s) goes without its file: %s", post.id, post.kind, error)
            without = await self._compose(post, attach=False)
            return None if without is None else await self._poster.send(post.channel_id, without)

    async def _goes(self, thread_id: int) -> bool:
        async with self._store.transaction() as tx:
            return await thread_goes(tx, thread_id)

    async def _give_up(self, post: Post, error: str) -> None:
        async with self._store.transaction() as tx:
            await post_given_up(tx, post.id, error)
            if post.job_id is not None:
                await mark_dirty(tx, "job", post.job_id)
