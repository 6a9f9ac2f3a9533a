"""SQL of datasets, consent and what belongs to a dataset."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from bot.rules.consent import Attestation
from bot.store.database import Connection
from bot.store.rows import Dataset, Job
from trainer.contract.spec import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDataset:
    """What a dataset is made of."""

    guild_id: int
    channel_id: int
    """Where its thread will hang."""
    owner_id: int
    name: str
    trigger: str
    class_word: str
    kind: Kind


async def insert_dataset(tx: Connection, new: NewDataset, state: str, created_at: float) -> Dataset:
    """A new dataset; raises sqlite3.IntegrityError when the owner has one of that name in the guild."""
    rows = await tx.execute_fetchall(
        "INSERT INTO dataset (guild_id, channel_id, owner_id, name, trigger, class_word, kind, state, created_at)"
        " VALUES (:guild_id, :channel_id, :owner_id, :name, :trigger, :class_word, :kind, :state, :created_at)"
        " RETURNING *",
        {**dataclasses.asdict(new), "state": state, "created_at": created_at},
    )
    return _datasets(rows)[0]


async def dataset_by_id(tx: Connection, dataset_id: int) -> Dataset | None:
    """The dataset, in whatever state."""
    found = _datasets(await tx.execute_fetchall("SELECT * FROM dataset WHERE id = ?", (dataset_id,)))
    return found[0] if found else None


async def dataset_by_thread(tx: Connection, thread_id: int) -> Dataset | None:
    """The dataset whose thread this is."""
    found = _datasets(await tx.execute_fetchall("SELECT * FROM dataset WHERE thread_id = ?", (thread_id,)))
    return found[0] if found else None


async def datasets_of(tx: Connection, guild_id: int, owner_id: int) -> list[Dataset]:
    """The member's datasets in the guild that are not being deleted, newest first."""
    return _datasets(
        await tx.execute_fetchall(
            "SELECT * FROM dataset WHERE guild_id = ? AND owner_id = ? AND state != 'deleting' ORDER BY id DESC",
            (guild_id, owner_id),
        )
    )


async def datasets_in_state(tx: Connection, state: str) -> list[Dataset]:
    """All datasets in a state, oldest first."""
    return _datasets(await tx.execute_fetchall("SELECT * FROM dataset WHERE state = ? ORDER BY id", (state,)))


async def set_state(tx: Connection, dataset_id: int, state: str) -> None:
    """Move the dataset to another state."""
    await tx.execute("UPDATE dataset SET state = ? WHERE id = ?", (state, dataset_id))


async def set_tag_options(tx: Connection, dataset_id: int, options: str) -> None:
    """Keep how the tagger writes the dataset's captions."""
    await tx.execute("UPDATE dataset SET tag_options = ? WHERE id = ?", (options, dataset_id))


async def copy_options(tx: Connection, source_id: int, target_id: int) -> None:
    """Give a dataset what was chosen for another one: how the tagger writes, and squares or own shapes."""
    await tx.execute(
        "UPDATE dataset SET (tag_options, square) = (SELECT tag_options, square FROM dataset WHERE id = ?)"
        " WHERE id = ?",
        (source_id, target_id),
    )


async def set_name(tx: Connection, dataset_id: int, name: str) -> None:
    """Call the dataset something else; raises sqlite3.IntegrityError when the owner has one of that name."""
    await tx.execute("UPDATE dataset SET name = ? WHERE id = ?", (name, dataset_id))


async def set_archived(tx: Connection, dataset_id: int, archived_at: float | None) -> None:
    """Put the dataset away, or (None) bring it back."""
    await tx.execute("UPDATE dataset SET archived_at = ? WHERE id = ?", (archived_at, dataset_id))


async def set_read_until(tx: Connection, dataset_id: int, message_id: int) -> None:
    """Posts in the dataset's thread up to this message have been looked at."""
    await tx.execute("UPDATE dataset SET read_until = max(read_until, ?) WHERE id = ?", (message_id, dataset_id))


async def set_thread(tx: Connection, dataset_id: int, thread_id: int) -> None:
    """Remember the dataset's thread."""
    await tx.execute("UPDATE dataset SET thread_id = ?, read_until = 0 WHERE id = ?", (thread_id, dataset_id))


async def insert_consent(
    tx: Connection, dataset_id: int, user_id: int, attestation: Attestation, given_at: float
) -> None:
    """Keep who agreed to which text and when."""
    await tx.execute(
        "INSERT INTO consent (dataset_id, user_id, text_version, text_sha256, given_at) VALUES (?, ?, ?, ?, ?)",
        (dataset_id, user_id, attestation.version, attestation.sha256, given_at),
    )


async def jobs_of_dataset(tx: Connection, dataset_id: int) -> list[Job]:
    """Its jobs, oldest first."""
    rows = await tx.execute_fetchall("SELECT * FROM job WHERE dataset_id = ? ORDER BY submitted_at", (dataset_id,))
    return [Job.of(row) for row in rows]


async def thread_goes(tx: Connection, thread_id: int) -> bool:
    """Whether the thread belongs to a dataset that is being deleted: what Discord says about it is no news."""
    query = "SELECT 1 FROM dataset WHERE thread_id = ? AND state = 'deleting'"
    return bool(list(await tx.execute_fetchall(query, (thread_id,))))


async def delete_dataset(tx: Connection, dataset_id: int) -> None:
    """Forget the dataset, its batches, pictures, jobs and cards; consent stays."""
    for kind, table in (("batch", "batch"), ("job", "job")):
        await tx.execute(
            f"DELETE FROM card WHERE kind = ? AND ref IN (SELECT CAST(id AS TEXT) FROM {table} WHERE dataset_id = ?)",
            (kind, dataset_id),
        )
    await tx.execute("DELETE FROM card WHERE kind IN ('dataset', 'report') AND ref = ?", (str(dataset_id),))
    await tx.execute("DELETE FROM dataset WHERE id = ?", (dataset_id,))


def _datasets(rows: Iterable[sqlite3.Row]) -> list[Dataset]:
    return [Dataset.of(row) for row in rows]
