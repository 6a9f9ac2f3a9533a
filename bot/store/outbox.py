"""The outbox: posts that must reach Discord once. Written in the transaction that decides them, sent afterwards.

waiting → sending → sent, or given-up after a clear refusal. A row found in `sending` (crash, lost response) may be in
the channel already: the sender looks there before it sends again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bot.store.database import Connection
from bot.store.rows import Post


async def add_post(
    tx: Connection, channel_id: int, kind: str, job_id: str | None, values: Mapping[str, Any], now: float
) -> int:
    """Decide a post; returns its id, which is its nonce at Discord."""
    cursor = await tx.execute(
        "INSERT INTO outbox (channel_id, kind, job_id, payload, created_at) VALUES (?, ?, ?, ?, ?)",
        (channel_id, kind, job_id, json.dumps(dict(values), ensure_ascii=True), now),
    )
    if cursor.lastrowid is None:
        raise AssertionError("an INSERT has a row id")
    return cursor.lastrowid


async def due_posts(tx: Connection, now: float) -> list[Post]:
    """The oldest unsent post of each channel whose time has come: a channel's posts keep their order."""
    rows = await tx.execute_fetchall(
        "SELECT * FROM outbox WHERE id IN"
        " (SELECT min(id) FROM outbox WHERE state IN ('waiting', 'sending') GROUP BY channel_id)"
        " AND next_try_at <= ? ORDER BY id",
        (now,),
    )
    return [Post.of(row) for row in rows]


async def posts_of(tx: Connection, job_id: str) -> list[Post]:
    """All posts of a job, oldest first."""
    rows = await tx.execute_fetchall("SELECT * FROM outbox WHERE job_id = ? ORDER BY id", (job_id,))
    return [Post.of(row) for row in rows]


async def post_sending(tx: Connection, post_id: int, now: float) -> None:
    """A try begins; from now on the message may be in the channel."""
    await tx.execute(
        "UPDATE outbox SET state = 'sending', first_try_at = coalesce(first_try_at, ?) WHERE id = ?",
        (now, post_id),
    )


async def post_sent(tx: Connection, post_id: int, message_id: int) -> None:
    """The message is there."""
    await tx.execute("UPDATE outbox SET state = 'sent', message_id = ?, error = '' WHERE id = ?", (message_id, post_id))


async def post_later(tx: Connection, post_id: int, next_try_at: float, error: str) -> None:
    """Nobody knows whether it is there, or Discord was not reachable: look and try again later."""
    await tx.execute(
        "UPDATE outbox SET tries = tries + 1, next_try_at = ?, error = ? WHERE id = ?", (next_try_at, error, post_id)
    )


async def post_given_up(tx: Connection, post_id: int, error: str) -> None:
    """Discord clearly refused it (no permission, channel gone)."""
    await tx.execute("UPDATE outbox SET state = 'given-up', error = ? WHERE id = ?", (error, post_id))


async def move_posts(tx: Connection, old_channel_id: int, new_channel_id: int) -> None:
    """A thread was deleted: its jobs' posts go to another one; how a job ended is said again there if need be."""
    await tx.execute(
        "UPDATE outbox SET channel_id = ?, state = 'waiting', first_try_at = NULL, next_try_at = 0 WHERE channel_id = ?"
        " AND (state IN ('waiting', 'sending')"
        " OR (state = 'given-up' AND kind IN ('finished', 'stopped', 'failed', 'disk-full')))",
        (new_channel_id, old_channel_id),
    )


async def retry_now(tx: Connection) -> None:
    """At the bot's start every open post is tried without the old waiting time."""
    await tx.execute("UPDATE outbox SET next_try_at = 0 WHERE state IN ('waiting', 'sending')")


async def remove_sent(tx: Connection, before: float) -> int:
    """Forget posts that ended long ago; returns how many."""
    cursor = await tx.execute("DELETE FROM outbox WHERE state IN ('sent', 'given-up') AND created_at < ?", (before,))
    return cursor.rowcount
