"""Cards: messages that are edited in place. A change makes a card dirty; drawing it makes it clean again.

`dirty` counts the changes since the last drawing, so that a change that comes while the card is being drawn stays.
"""

from __future__ import annotations

from bot.store.database import Connection
from bot.store.rows import Card, CardKind


async def get_card(tx: Connection, kind: CardKind, ref: str | int) -> Card | None:
    """The card of a dataset, batch or job, or None."""
    rows = list(await tx.execute_fetchall("SELECT * FROM card WHERE kind = ? AND ref = ?", (kind, str(ref))))
    return Card.of(rows[0]) if rows else None


async def add_card(tx: Connection, kind: CardKind, ref: str | int, channel_id: int) -> None:
    """Want a card in a channel or thread; it is posted by the next drawing. A card that is there stays as it is."""
    await tx.execute(
        "INSERT INTO card (kind, ref, channel_id) VALUES (?, ?, ?) ON CONFLICT (kind, ref) DO NOTHING",
        (kind, str(ref), channel_id),
    )


async def add_batch_cards(tx: Connection, dataset_id: int, channel_id: int) -> None:
    """Want a card for each batch of the dataset that holds pictures and has none (of a copy, for example)."""
    await tx.execute(
        "INSERT INTO card (kind, ref, channel_id) SELECT DISTINCT 'batch', CAST(batch_id AS TEXT), ? FROM picture"
        " WHERE dataset_id = ? ON CONFLICT (kind, ref) DO NOTHING",
        (channel_id, dataset_id),
    )


async def add_report_card(tx: Connection, dataset_id: int, channel_id: int) -> None:
    """Want the report on pictures that are compared already: those of a copy are, before its thread is made."""
    await tx.execute(
        "INSERT INTO card (kind, ref, channel_id) SELECT 'report', ?1, ?2"
        " WHERE EXISTS (SELECT 1 FROM picture WHERE dataset_id = ?3 AND compared = 1)"
        " ON CONFLICT (kind, ref) DO NOTHING",
        (str(dataset_id), channel_id, dataset_id),
    )


async def mark_dirty(tx: Connection, kind: CardKind, ref: str | int, *, urgent: bool = False) -> None:
    """What the card shows has changed; `urgent` shows it without waiting for the edit interval."""
    await tx.execute(
        "UPDATE card SET dirty = dirty + 1, urgent = max(urgent, ?) WHERE kind = ? AND ref = ?",
        (int(urgent), kind, str(ref)),
    )


async def mark_batches_dirty(tx: Connection, dataset_id: int, *, urgent: bool = False) -> None:
    """What the cards of all the dataset's batches show has changed."""
    await tx.execute(
        "UPDATE card SET dirty = dirty + 1, urgent = max(urgent, ?) WHERE kind = 'batch'"
        " AND ref IN (SELECT CAST(id AS TEXT) FROM batch WHERE dataset_id = ?)",
        (int(urgent), dataset_id),
    )


async def dirty_cards(tx: Connection) -> list[Card]:
    """Cards with changes nobody has drawn yet, the longest undrawn first."""
    rows = await tx.execute_fetchall(
        "SELECT * FROM card WHERE dirty > 0 ORDER BY coalesce(edited_at, posted_at, 0), kind, ref"
    )
    return [Card.of(row) for row in rows]


async def card_posting(tx: Connection, card: Card, now: float) -> None:
    """A post of the card begins; from now on it may be in the channel although nobody knows its id."""
    await tx.execute(
        "UPDATE card SET posting_at = coalesce(posting_at, ?) WHERE kind = ? AND ref = ?",
        (now, card.kind, card.ref),
    )


async def card_posted(tx: Connection, kind: CardKind, ref: str | int, message_id: int, now: float) -> None:
    """The card is the message `message_id`."""
    await tx.execute(
        "UPDATE card SET message_id = ?, posting_at = NULL, posted_at = ?, error = '' WHERE kind = ? AND ref = ?",
        (message_id, now, kind, str(ref)),
    )


async def card_drawn(tx: Connection, card: Card, now: float) -> None:
    """The message shows the state that was there when `card` was read; newer changes stay to be drawn."""
    await tx.execute(
        "UPDATE card SET edited_at = ?, urgent = CASE WHEN dirty = ? THEN 0 ELSE urgent END,"
        " dirty = CASE WHEN dirty = ? THEN 0 ELSE dirty END, error = '' WHERE kind = ? AND ref = ?",
        (now, card.dirty, card.dirty, card.kind, card.ref),
    )


async def card_refused(tx: Connection, card: Card, error: str) -> None:
    """Discord will never take it (no permission, channel gone): leave it until the next change."""
    await tx.execute(
        "UPDATE card SET dirty = 0, urgent = 0, posting_at = NULL, error = ? WHERE kind = ? AND ref = ?",
        (error, card.kind, card.ref),
    )


async def queue_moved(tx: Connection) -> None:
    """Positions in the queue may have changed: the cards of all queued jobs are to be drawn again."""
    await tx.execute(
        "UPDATE card SET dirty = dirty + 1 WHERE kind = 'job' AND ref IN (SELECT id FROM job WHERE state = 'queued')"
    )


async def forget_card(tx: Connection, kind: CardKind, ref: str | int) -> None:
    """Drop a card whose subject is gone."""
    await tx.execute("DELETE FROM card WHERE kind = ? AND ref = ?", (kind, str(ref)))


async def move_cards(tx: Connection, old_channel_id: int, new_channel_id: int) -> None:
    """A thread was deleted with the cards in it: post them anew in another one."""
    await tx.execute(
        "UPDATE card SET channel_id = ?, message_id = NULL, posting_at = NULL, dirty = dirty + 1, urgent = 1"
        " WHERE channel_id = ?",
        (new_channel_id, old_channel_id),
    )


async def move_to_end(tx: Connection, kind: CardKind, ref: str | int, now: float) -> None:
    """Have the card posted anew at the end of its thread; the old message goes then."""
    await tx.execute(
        "UPDATE card SET posting_at = coalesce(posting_at, ?), dirty = dirty + 1, urgent = 1"
        " WHERE kind = ? AND ref = ?",
        (now, kind, str(ref)),
    )


async def set_page(tx: Connection, kind: CardKind, ref: str | int, page: int) -> None:
    """Remember which page a pager shows."""
    await tx.execute("UPDATE card SET page = ? WHERE kind = ? AND ref = ?", (page, kind, str(ref)))


async def set_shown(tx: Connection, kind: CardKind, ref: str | int, shows: str) -> None:
    """Remember which of its pictures a pager shows, from the first of them on."""
    await tx.execute("UPDATE card SET shows = ?, page = 0 WHERE kind = ? AND ref = ?", (shows, kind, str(ref)))
