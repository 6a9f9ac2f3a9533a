"""SQL of batches and pictures."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.store.database import Connection
from bot.store.rows import Batch, Picture


@dataclass(frozen=True, slots=True)
class NewPicture:
    """A picture about to be stored."""

    file: str
    source_sha256: str
    file_name: str
    width: int
    height: int
    caption: str
    warnings: tuple[str, ...]
    tagged: bool = False
    """The caption came with it."""


async def batch_by_source(tx: Connection, dataset_id: int, source: str) -> Batch | None:
    """The batch that this message or interaction already made."""
    rows = list(
        await tx.execute_fetchall("SELECT * FROM batch WHERE dataset_id = ? AND source = ?", (dataset_id, source))
    )
    return Batch.of(rows[0]) if rows else None


@dataclass(frozen=True, slots=True)
class BatchPlace:
    """Where a batch's card is."""

    batch_id: int
    pictures: int
    added_at: float
    channel_id: int
    message_id: int | None


async def batch_places(tx: Connection, dataset_id: int) -> list[BatchPlace]:
    """The dataset's batches that still hold pictures, with their cards, newest first."""
    rows = await tx.execute_fetchall(
        "SELECT batch.id AS batch_id, count(*) AS pictures, batch.added_at, channel_id, message_id FROM batch"
        " JOIN picture ON picture.batch_id = batch.id JOIN card ON card.kind = 'batch' AND card.ref = batch.id"
        " WHERE batch.dataset_id = ? GROUP BY batch.id ORDER BY batch.id DESC",
        (dataset_id,),
    )
    return [BatchPlace(**dict(row)) for row in rows]


async def batch_by_id(tx: Connection, batch_id: int) -> Batch | None:
    """The batch."""
    rows = list(await tx.execute_fetchall("SELECT * FROM batch WHERE id = ?", (batch_id,)))
    return Batch.of(rows[0]) if rows else None


async def insert_batch(tx: Connection, dataset_id: int, added_by: int, added_at: float, source: str) -> Batch:
    """A new batch."""
    rows = list(
        await tx.execute_fetchall(
            "INSERT INTO batch (dataset_id, added_by, added_at, source) VALUES (?, ?, ?, ?) RETURNING *",
            (dataset_id, added_by, added_at, source),
        )
    )
    return Batch.of(rows[0])


async def write_notes(tx: Connection, batch_id: int, sentences: Sequence[str]) -> None:
    """Keep what the batch's card says about files that were not added."""
    await tx.execute(
        "UPDATE batch SET notes = ? WHERE id = ?", (json.dumps(list(sentences), ensure_ascii=False), batch_id)
    )


async def insert_picture(tx: Connection, batch: Batch, new: NewPicture) -> Picture:
    """A new picture of the batch."""
    rows = await tx.execute_fetchall(
        "INSERT INTO picture (dataset_id, batch_id, file, source_sha256, file_name, width, height, caption, tagged,"
        " warnings, added_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
        (
            batch.dataset_id,
            batch.id,
            new.file,
            new.source_sha256,
            new.file_name,
            new.width,
            new.height,
            new.caption,
            int(new.tagged),
            json.dumps(new.warnings, ensure_ascii=False),
            batch.added_at,
        ),
    )
    return _pictures(rows)[0]


async def same_picture(tx: Connection, dataset_id: int, source_sha256: str, file: str = "") -> Picture | None:
    """The dataset's picture with these bytes as they came, or with this stored file."""
    found = _pictures(
        await tx.execute_fetchall(
            "SELECT * FROM picture WHERE dataset_id = ? AND (source_sha256 = ? OR file = ?)",
            (dataset_id, source_sha256, file),
        )
    )
    return found[0] if found else None


async def picture_by_id(tx: Connection, picture_id: int) -> Picture | None:
    """The picture."""
    found = _pictures(await tx.execute_fetchall("SELECT * FROM picture WHERE id = ?", (picture_id,)))
    return found[0] if found else None


async def pictures_of_batch(tx: Connection, batch_id: int) -> list[Picture]:
    """Pictures of the batch in the order they came."""
    return _pictures(await tx.execute_fetchall("SELECT * FROM picture WHERE batch_id = ? ORDER BY id", (batch_id,)))


async def pictures_of_dataset(tx: Connection, dataset_id: int) -> list[Picture]:
    """Pictures of the dataset in the order they came."""
    return _pictures(await tx.execute_fetchall("SELECT * FROM picture WHERE dataset_id = ? ORDER BY id", (dataset_id,)))


async def number_of(tx: Connection, picture: Picture) -> int:
    """The picture's place in its dataset, from 1."""
    return await _count(
        tx, "SELECT COUNT(*) FROM picture WHERE dataset_id = ? AND id <= ?", (picture.dataset_id, picture.id)
    )


async def count_pictures(tx: Connection, dataset_id: int) -> int:
    """How many pictures the dataset holds."""
    return await _count(tx, "SELECT COUNT(*) FROM picture WHERE dataset_id = ?", (dataset_id,))


async def count_untagged(tx: Connection, dataset_id: int) -> int:
    """How many of them still have the provisional caption."""
    return await _count(tx, "SELECT COUNT(*) FROM picture WHERE dataset_id = ? AND tagged = 0", (dataset_id,))


async def batches_with_untagged(tx: Connection) -> list[int]:
    """Batches of open datasets that wait for the tagger: those without any caption first, then the oldest."""
    rows = await tx.execute_fetchall(
        "SELECT batch_id FROM picture JOIN dataset ON dataset.id = picture.dataset_id WHERE dataset.state = 'open'"
        " GROUP BY batch_id HAVING min(tagged) = 0 ORDER BY max(tagged), batch_id"
    )
    return [int(row[0]) for row in rows]


async def write_tagged(tx: Connection, picture_id: int, caption: str) -> bool:
    """Store the tagger's caption unless a person was faster; whether it was stored."""
    cursor = await tx.execute(
        "UPDATE picture SET caption = ?, tagged = 1 WHERE id = ? AND tagged = 0", (caption, picture_id)
    )
    return cursor.rowcount == 1


async def write_edit(tx: Connection, picture_id: int, caption: str, revision: int) -> Picture | None:
    """Store a person's caption on top of `revision`; None when it has moved on since."""
    found = _pictures(
        await tx.execute_fetchall(
            "UPDATE picture SET caption = ?, tagged = 1, revision = revision + 1 WHERE id = ? AND revision = ?"
            " RETURNING *",
            (caption, picture_id, revision),
        )
    )
    return found[0] if found else None


async def write_bulk(tx: Connection, picture_id: int, caption: str, *, waiting: bool = False) -> None:
    """Store the caption a bulk edit made; the same transaction has looked at the one it replaces.

    `waiting` has the tagger write it once more, as before an edit that was undone.
    """
    await tx.execute(
        "UPDATE picture SET caption = ?, tagged = ?, revision = revision + 1 WHERE id = ?",
        (caption, int(not waiting), picture_id),
    )


async def copy_picture(tx: Connection, picture: Picture, batch: Batch) -> None:
    """The same picture, with its caption and all that is known of it, in a batch of another dataset."""
    place = {"id": None, "dataset_id": batch.dataset_id, "batch_id": batch.id, "added_at": batch.added_at}
    place["compared"] = 0  # with the pictures of that dataset
    values = {field.name: getattr(picture, field.name) for field in dataclasses.fields(picture)} | place
    names = ", ".join(values)
    await tx.execute(f"INSERT INTO picture ({names}) VALUES ({', '.join('?' * len(values))})", tuple(values.values()))


async def move_picture(tx: Connection, picture_id: int, batch: Batch, caption: str) -> None:
    """Put the picture into a batch of another dataset, under a caption that fits there."""
    await tx.execute("DELETE FROM twin WHERE first = ?1 OR second = ?1", (picture_id,))
    await tx.execute(
        "UPDATE picture SET dataset_id = ?, batch_id = ?, caption = ?, revision = revision + 1, compared = 0"
        " WHERE id = ?",
        (batch.dataset_id, batch.id, caption, picture_id),
    )


async def delete_picture(tx: Connection, picture_id: int) -> None:
    """Forget the picture."""
    await tx.execute("DELETE FROM picture WHERE id = ?", (picture_id,))


async def referenced_files(tx: Connection, without_dataset: int | None = None) -> set[str]:
    """Stored files that some picture needs, dropped ones too; those of one dataset may be left out."""
    rows = await tx.execute_fetchall(
        "SELECT file FROM picture WHERE dataset_id IS NOT ?1 UNION SELECT file FROM dropped WHERE dataset_id IS NOT ?1",
        (without_dataset,),
    )
    return {str(row[0]) for row in rows}


async def is_referenced(tx: Connection, file: str) -> bool:
    """Whether some picture, or a dropped one, needs the stored file."""
    query = "SELECT (SELECT COUNT(*) FROM picture WHERE file = ?1) + (SELECT COUNT(*) FROM dropped WHERE file = ?1)"
    return await _count(tx, query, (file,)) > 0


async def _count(tx: Connection, sql: str, values: Sequence[int | str]) -> int:
    rows = list(await tx.execute_fetchall(sql, values))
    return int(rows[0][0])


def _pictures(rows: Iterable[sqlite3.Row]) -> list[Picture]:
    return [Picture.of(row) for row in rows]
