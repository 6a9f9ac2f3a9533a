"""SQL of bulk edits of captions: offers, and the history they become."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.rules.bulk.operations import Change
from bot.store.database import Connection
from bot.store.rows import CaptionEdit


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEdit:
    """A bulk edit about to be stored."""

    dataset_id: int
    user_id: int
    title: str
    operation: str
    mark: str
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """One line of a dataset's history."""

    edit: CaptionEdit
    captions: int
    """It changed, of pictures that are still there."""
    later: tuple[str, ...] | None = ()
    """Titles of later edits that must be undone before it can be; None: it cannot, by whatever order."""

    @property
    def can_be_undone(self) -> bool:
        """Whether undoing it would bring a caption back."""
        return self.edit.undone_at is None and self.captions > 0 and self.later == ()


@dataclass(frozen=True, slots=True)
class Since:
    """What later bulk edits made of the captions of one."""

    traced: Mapping[int, str]
    """Caption by picture, as bulk edits alone would have left it; a picture that none has touched is left out."""
    touched: Mapping[int, Sequence[int]]
    """Ids of these edits, by picture."""
    titles: Mapping[int, str]
    """Of those that were not undone, by id, the latest first."""


async def insert_edit(tx: Connection, new: NewEdit, changes: Iterable[Change], now: float) -> CaptionEdit:
    """A new offer with its captions."""
    rows = await tx.execute_fetchall(
        "INSERT INTO caption_edit (dataset_id, user_id, title, operation, mark, notes, offered_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING *",
        (new.dataset_id, new.user_id, new.title, new.operation, new.mark, _as_json(new.notes), now),
    )
    edit = _edits(rows)[0]
    await _insert_items(tx, edit.id, changes)
    return edit


async def renew_edit(tx: Connection, edit_id: int, mark: str, notes: Sequence[str], changes: Iterable[Change]) -> None:
    """Put freshly worked out captions in the place of an offer's."""
    await tx.execute("UPDATE caption_edit SET mark = ?, notes = ? WHERE id = ?", (mark, _as_json(notes), edit_id))
    await tx.execute("DELETE FROM caption_edit_item WHERE edit_id = ?", (edit_id,))
    await _insert_items(tx, edit_id, changes)


async def edit_by_id(tx: Connection, edit_id: int) -> CaptionEdit | None:
    """The bulk edit, offered or applied."""
    found = _edits(await tx.execute_fetchall("SELECT * FROM caption_edit WHERE id = ?", (edit_id,)))
    return found[0] if found else None


async def latest_edit(tx: Connection, dataset_id: int, user_id: int) -> CaptionEdit | None:
    """What the member had worked out last, offered or applied."""
    query = "SELECT * FROM caption_edit WHERE dataset_id = ? AND user_id = ? ORDER BY id DESC LIMIT 1"
    found = _edits(await tx.execute_fetchall(query, (dataset_id, user_id)))
    return found[0] if found else None


async def changes_of(tx: Connection, edit_id: int) -> list[Change]:
    """Its captions, of the pictures that are still in its dataset, in the order of their numbers."""
    rows = await tx.execute_fetchall(
        "SELECT item.picture_id, before, after, (SELECT count(*) FROM picture AS earlier"
        " WHERE earlier.dataset_id = picture.dataset_id AND earlier.id <= picture.id) AS number"
        " FROM caption_edit_item AS item JOIN caption_edit ON caption_edit.id = edit_id"
        " JOIN picture ON picture.id = item.picture_id AND picture.dataset_id = caption_edit.dataset_id"
        " WHERE edit_id = ? ORDER BY item.picture_id",
        (edit_id,),
    )
    return [Change(row["picture_id"], row["number"], row["before"], row["after"]) for row in rows]


async def waiting_of(tx: Connection, edit_id: int) -> set[int]:
    """Pictures whose captions the tagger had still to write when the edit came."""
    query = "SELECT picture_id FROM caption_edit_item WHERE edit_id = ? AND tagged = 0"
    return {int(row[0]) for row in await tx.execute_fetchall(query, (edit_id,))}


async def since_edit(tx: Connection, edit: CaptionEdit) -> Since:
    """What was done in bulk to its captions after it; it must have been applied."""
    traced: dict[int, str] = {}
    touched: dict[int, list[int]] = {}
    later = "dataset_id = ? AND (applied_at, id) > (?, ?)"
    which = (edit.dataset_id, edit.applied_at, edit.id)
    query = (
        "SELECT item.edit_id, item.picture_id, item.before, item.after, own.after AS start FROM caption_edit"
        " JOIN caption_edit_item AS item ON item.edit_id = id JOIN caption_edit_item AS own"
        f" ON own.edit_id = ? AND own.picture_id = item.picture_id WHERE {later} ORDER BY applied_at, id"
    )
    async with tx.execute(query, (edit.id, *which)) as items:  # one by one: fifty edits hold many captions
        async for row in items:
            picture_id = int(row["picture_id"])
            touched.setdefault(picture_id, []).append(int(row["edit_id"]))
            if row["before"] == traced.setdefault(picture_id, row["start"]):
                traced[picture_id] = row["after"]
    titles = await tx.execute_fetchall(
        f"SELECT id, title FROM caption_edit WHERE {later} AND undone_at IS NULL ORDER BY applied_at DESC, id DESC",
        which,
    )
    return Since(traced, touched, {int(row["id"]): str(row["title"]) for row in titles})


async def edit_applied(tx: Connection, edit_id: int, user_id: int, now: float) -> None:
    """It is done, by whom and when; what it was worked out from is not needed any more."""
    await tx.execute(
        "UPDATE caption_edit SET applied_at = ?, user_id = ?, operation = '' WHERE id = ?", (now, user_id, edit_id)
    )


async def edit_undone(tx: Connection, edit_id: int, user_id: int, now: float) -> None:
    """It was taken back, by whom and when."""
    await tx.execute("UPDATE caption_edit SET undone_at = ?, undone_by = ? WHERE id = ?", (now, user_id, edit_id))


async def past_edits(tx: Connection, dataset_id: int, limit: int, offset: int = 0) -> list[Past]:
    """What was done to the dataset's captions, the latest first."""
    rows = await tx.execute_fetchall(
        "SELECT caption_edit.*, (SELECT count(*) FROM caption_edit_item AS item JOIN picture ON picture.id = picture_id"
        " WHERE edit_id = caption_edit.id AND picture.dataset_id = caption_edit.dataset_id) AS captions"
        " FROM caption_edit WHERE dataset_id = ? AND applied_at IS NOT NULL ORDER BY applied_at DESC, id DESC"
        " LIMIT ? OFFSET ?",
        (dataset_id, limit, offset),
    )
    return [Past(CaptionEdit.of(row), int(row["captions"])) for row in rows]


async def count_past(tx: Connection, dataset_id: int) -> int:
    """How many bulk edits the dataset's history holds."""
    rows = await tx.execute_fetchall(
        "SELECT count(*) FROM caption_edit WHERE dataset_id = ? AND applied_at IS NOT NULL", (dataset_id,)
    )
    return int(next(iter(rows))[0])


async def forget_edits(tx: Connection, dataset_id: int, offered_before: float, keep: int) -> None:
    """Drop offers nobody took up, and of the history all but the latest `keep`."""
    await tx.execute(
        "DELETE FROM caption_edit WHERE dataset_id = ? AND applied_at IS NULL AND offered_at < ?",
        (dataset_id, offered_before),
    )
    await tx.execute(
        "DELETE FROM caption_edit WHERE dataset_id = ? AND applied_at IS NOT NULL AND id NOT IN (SELECT id"
        " FROM caption_edit WHERE dataset_id = ? AND applied_at IS NOT NULL ORDER BY applied_at DESC, id DESC LIMIT ?)",
        (dataset_id, dataset_id, keep),
    )


async def forget_more_offers(tx: Connection, dataset_id: int, user_id: int, keep: int) -> None:
    """Drop what was offered to the member and not taken up, all but the latest `keep`."""
    await tx.execute(
        "DELETE FROM caption_edit WHERE dataset_id = ? AND user_id = ? AND applied_at IS NULL AND id NOT IN (SELECT id"
        " FROM caption_edit WHERE dataset_id = ? AND user_id = ? AND applied_at IS NULL ORDER BY id DESC LIMIT ?)",
        (dataset_id, user_id, dataset_id, user_id, keep),
    )


async def forget_offers(tx: Connection, before: float) -> None:
    """Drop every dataset's offers that nobody took up."""
    await tx.execute("DELETE FROM caption_edit WHERE applied_at IS NULL AND offered_at < ?", (before,))


async def _insert_items(tx: Connection, edit_id: int, changes: Iterable[Change]) -> None:
    """A picture that was removed while its caption was worked out is left out."""
    await tx.executemany(
        "INSERT INTO caption_edit_item (edit_id, picture_id, before, after, tagged)"
        " SELECT ?, id, ?, ?, tagged FROM picture WHERE id = ?",
        [(edit_id, each.before, each.after, each.picture_id) for each in changes],
    )


def _as_json(sentences: Sequence[str]) -> str:
    return json.dumps(list(sentences), ensure_ascii=False)


def _edits(rows: Iterable[sqlite3.Row]) -> list[CaptionEdit]:
    return [CaptionEdit.of(row) for row in rows]
