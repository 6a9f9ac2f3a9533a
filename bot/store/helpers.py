"""SQL of helpers: members whom a dataset's owner lets edit it."""

from __future__ import annotations

from bot.store.database import Connection
from bot.store.rows import Dataset, Helper, HelperState


async def helper_of(tx: Connection, dataset_id: int, user_id: int) -> Helper | None:
    """The member as a helper of the dataset, or None."""
    rows = list(
        await tx.execute_fetchall("SELECT * FROM helper WHERE dataset_id = ? AND user_id = ?", (dataset_id, user_id))
    )
    return Helper.of(rows[0]) if rows else None


async def helpers_of(tx: Connection, dataset_id: int) -> list[Helper]:
    """The dataset's helpers in the order they were added."""
    rows = await tx.execute_fetchall(
        "SELECT * FROM helper WHERE dataset_id = ? ORDER BY added_at, user_id", (dataset_id,)
    )
    return [Helper.of(row) for row in rows]


async def put_helper(tx: Connection, dataset_id: int, user_id: int, state: HelperState, added_at: float) -> None:
    """Add the member; one who helps already keeps the place and state."""
    await tx.execute(
        "INSERT INTO helper (dataset_id, user_id, state, added_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (dataset_id, user_id, state, added_at),
    )


async def helper_agreed(tx: Connection, dataset_id: int, user_id: int) -> None:
    """The member who was asked helps from now on."""
    await tx.execute("UPDATE helper SET state = 'active' WHERE dataset_id = ? AND user_id = ?", (dataset_id, user_id))


async def remove_helper(tx: Connection, dataset_id: int, user_id: int) -> bool:
    """Take the member out; whether there was such a helper."""
    cursor = await tx.execute("DELETE FROM helper WHERE dataset_id = ? AND user_id = ?", (dataset_id, user_id))
    return cursor.rowcount == 1


async def datasets_helped(tx: Connection, guild_id: int, user_id: int) -> list[Dataset]:
    """Datasets of others in the guild that the member helps with or is asked to, newest first."""
    rows = await tx.execute_fetchall(
        "SELECT dataset.* FROM dataset JOIN helper ON helper.dataset_id = dataset.id"
        " WHERE guild_id = ? AND user_id = ? AND dataset.state != 'deleting' ORDER BY dataset.id DESC",
        (guild_id, user_id),
    )
    return [Dataset.of(row) for row in rows]
