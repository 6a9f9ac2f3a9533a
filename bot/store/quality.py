"""SQL of what is known about pictures' quality: measures, twins, dropped pictures, and the squares members chose."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.rules.pictures.measures import VERSION, Alike, Box, Measures
from bot.store.database import Connection
from bot.store.rows import Dataset, Picture

_EDITS = "caption_edits"
"""Where a dropped picture's row keeps what bulk edits did to its caption; no column has that name."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Pictures that were dropped together."""

    dropped_at: float
    pictures: int

    @property
    def number(self) -> int:
        """Names the drop in a button: microseconds, for a custom_id has no room for a point."""
        return round(self.dropped_at * 1e6)


async def unmeasured(tx: Connection, limit: int) -> list[Picture]:
    """Pictures of open datasets whose file was never measured in today's way, oldest first."""
    rows = await tx.execute_fetchall(
        "SELECT picture.* FROM picture JOIN dataset ON dataset.id = picture.dataset_id"
        " LEFT JOIN measure ON measure.file = picture.file AND measure.version = ?"
        " WHERE measure.file IS NULL AND dataset.state = 'open' ORDER BY picture.id LIMIT ?",
        (VERSION, limit),
    )
    return [Picture.of(row) for row in rows]


async def write_measures(tx: Connection, file: str, measures: Measures | None) -> None:
    """Keep a picture's measures (None: it cannot be measured), unless it was removed meanwhile."""
    await tx.execute(
        "INSERT INTO measure (file, version, data) SELECT ?1, ?2, ?3"
        " WHERE EXISTS (SELECT 1 FROM picture WHERE file = ?1)"
        " ON CONFLICT (file) DO UPDATE SET version = ?2, data = ?3",
        (file, VERSION, measures.to_json() if measures else ""),
    )


async def measures_of(tx: Connection, dataset_id: int) -> dict[int, Measures | None]:
    """Measures by picture id of those of the dataset's pictures that were looked at; None where it was in vain."""
    rows = await tx.execute_fetchall(
        "SELECT picture.id, data FROM picture JOIN measure ON measure.file = picture.file AND version = ?"
        " WHERE dataset_id = ?",
        (VERSION, dataset_id),
    )
    return {int(row["id"]): Measures.from_json(row["data"]) if row["data"] else None for row in rows}


async def count_unmeasured(tx: Connection, dataset_id: int) -> int:
    """Pictures of the dataset that still have to be measured or compared."""
    rows = list(
        await tx.execute_fetchall(
            "SELECT COUNT(*) FROM picture LEFT JOIN measure ON measure.file = picture.file AND version = ?"
            " WHERE dataset_id = ? AND (measure.file IS NULL OR compared = 0)",
            (VERSION, dataset_id),
        )
    )
    return int(rows[0][0])


async def datasets_to_compare(tx: Connection) -> list[Dataset]:
    """Open datasets with pictures that were not compared with the others, oldest first."""
    rows = await tx.execute_fetchall(
        "SELECT * FROM dataset WHERE state = 'open'"
        " AND EXISTS (SELECT 1 FROM picture WHERE dataset_id = dataset.id AND compared = 0) ORDER BY id"
    )
    return [Dataset.of(row) for row in rows]


async def write_compared(tx: Connection, dataset_id: int, picture_ids: Iterable[int], pairs: Iterable[Alike]) -> None:
    """These pictures were compared with the others; what left the dataset meanwhile is left out."""
    for pair in pairs:
        await tx.execute(
            "INSERT OR REPLACE INTO twin (first, second, likeness, mirrored) SELECT ?1, ?2, ?3, ?4"
            " WHERE (SELECT COUNT(*) FROM picture WHERE id IN (?1, ?2) AND dataset_id = ?5) = 2",
            (pair.first, pair.second, pair.likeness, pair.mirrored, dataset_id),
        )
    await tx.executemany(
        "UPDATE picture SET compared = 1 WHERE id = ? AND dataset_id = ?", [(each, dataset_id) for each in picture_ids]
    )


async def twins_of(tx: Connection, dataset_id: int) -> list[Alike]:
    """Pairs of the dataset's pictures that are alike."""
    rows = await tx.execute_fetchall(
        "SELECT twin.* FROM twin JOIN picture ON picture.id = first WHERE dataset_id = ?", (dataset_id,)
    )
    return [Alike(row["first"], row["second"], row["likeness"], bool(row["mirrored"])) for row in rows]


async def set_square(tx: Connection, dataset_id: int, square: bool) -> None:
    """Train the dataset on squares, or on its pictures' own shapes."""
    await tx.execute("UPDATE dataset SET square = ? WHERE id = ?", (int(square), dataset_id))


async def set_focus(tx: Connection, picture_id: int, box: Box | None) -> None:
    """The square a member chose for the picture; None goes back to the suggested one."""
    await tx.execute("UPDATE picture SET focus = ? WHERE id = ?", (json.dumps(box) if box else "", picture_id))


async def drop(tx: Connection, pictures: Sequence[Picture], user_id: int, now: float) -> None:
    """Take the pictures out; their rows and files are kept until `forget_dropped`."""
    for picture in pictures:
        rows = list(await tx.execute_fetchall("SELECT * FROM picture WHERE id = ?", (picture.id,)))
        # Whole rows, whatever columns later versions add: an undo must lose nothing.
        row = json.dumps({**dict(rows[0]), _EDITS: await _edits_of(tx, picture.id)}, ensure_ascii=False)
        await tx.execute(
            "INSERT INTO dropped (picture_id, dataset_id, file, row, dropped_by, dropped_at) VALUES (?, ?, ?, ?, ?, ?)",
            (picture.id, picture.dataset_id, picture.file, row, user_id, now),
        )
        await tx.execute("DELETE FROM picture WHERE id = ?", (picture.id,))


async def last_drop(tx: Connection, dataset_id: int, picture_id: int | None = None) -> Drop | None:
    """The newest drop that can be undone, or that of the picture."""
    rows = list(
        await tx.execute_fetchall(
            "SELECT dropped_at, COUNT(*) AS pictures FROM dropped WHERE dataset_id = ?1 AND (?2 IS NULL OR dropped_at ="
            " (SELECT dropped_at FROM dropped WHERE picture_id = ?2)) GROUP BY dropped_at ORDER BY dropped_at DESC"
            " LIMIT 1",
            (dataset_id, picture_id),
        )
    )
    return Drop(rows[0]["dropped_at"], rows[0]["pictures"]) if rows else None


async def bring_back(tx: Connection, dataset_id: int, drop: Drop) -> list[int]:
    """Undo a drop; ids of the pictures that are back. One that was added again meanwhile stays as it was added."""
    rows = await tx.execute_fetchall(
        "SELECT picture_id, row FROM dropped WHERE dataset_id = ? AND dropped_at = ? ORDER BY picture_id",
        (dataset_id, drop.dropped_at),
    )
    known = {str(column["name"]) for column in await tx.execute_fetchall("PRAGMA table_info(picture)")}
    back = []
    for row in rows:
        values = {name: value for name, value in json.loads(row["row"]).items() if name in known}
        values["compared"] = 0  # with the pictures that came meanwhile
        names = list(values)
        cursor = await tx.execute(
            f"INSERT OR IGNORE INTO picture ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
            [values[name] for name in names],
        )
        if cursor.rowcount == 1:
            back.append(int(row["picture_id"]))
            edits = json.loads(row["row"]).get(_EDITS, [])
            await _give_back_edits(tx, int(row["picture_id"]), drop.dropped_at, edits)
    # Only now: a measure goes with the last row of its file.
    await tx.execute("DELETE FROM dropped WHERE dataset_id = ? AND dropped_at = ?", (dataset_id, drop.dropped_at))
    return back


async def _edits_of(tx: Connection, picture_id: int) -> list[tuple[int, str, str, int, str]]:
    """What bulk edits did, or would do, to the picture's caption: they go with its row."""
    query = (
        "SELECT edit_id, before, after, tagged, mark FROM caption_edit_item"
        " JOIN caption_edit ON caption_edit.id = edit_id WHERE picture_id = ?"
    )
    return [tuple(row) for row in await tx.execute_fetchall(query, (picture_id,))]


async def _give_back_edits(tx: Connection, picture_id: int, dropped_at: float, edits: Iterable[Sequence[Any]]) -> None:
    """So that a bulk edit can still be undone, or done; one that is no longer kept is left out.

    So is one that was worked out anew, or done, while the picture was away: it has not changed this caption.
    """
    await tx.executemany(
        "INSERT INTO caption_edit_item (edit_id, picture_id, before, after, tagged)"
        " SELECT id, ?2, ?3, ?4, ?5 FROM caption_edit WHERE id = ?1"
        " AND (applied_at <= ?7 OR (applied_at IS NULL AND mark = ?6))",
        [
            (edit_id, picture_id, before, after, *(rest or (1, "")), dropped_at)  # older rows end here
            for edit_id, before, after, *rest in edits
        ],
    )


async def dropped_files(tx: Connection, dataset_id: int) -> set[str]:
    """Files that are kept only because a drop could be undone."""
    rows = await tx.execute_fetchall("SELECT file FROM dropped WHERE dataset_id = ?", (dataset_id,))
    return {str(row["file"]) for row in rows}


async def forget_dropped(tx: Connection, before: float) -> None:
    """Drops older than this can no longer be undone; the files are the sweep's."""
    await tx.execute("DELETE FROM dropped WHERE dropped_at < ?", (before,))
