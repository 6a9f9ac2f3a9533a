"""Jobs and their attempts."""

from __future__ import annotations

import dataclasses
from typing import Any

from bot.store.database import Connection
from bot.store.rows import ACTIVE, Attempt, Job

_ACTIVE = "('" + "', '".join(ACTIVE) + "')"


async def insert_job(tx: Connection, job: Job) -> None:
    """Accept a job; sqlite3.IntegrityError when the dataset has an active one already."""
    values = dataclasses.asdict(job)
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    await tx.execute(f"INSERT INTO job ({names}) VALUES ({marks})", values)


async def get_job(tx: Connection, job_id: str) -> Job | None:
    """A job, or None."""
    return await _one_job(tx, "WHERE id = ?", job_id)


async def active_job_of(tx: Connection, dataset_id: int) -> Job | None:
    """The dataset's queued, running or stopping job, or None."""
    return await _one_job(tx, f"WHERE dataset_id = ? AND state IN {_ACTIVE}", dataset_id)


async def latest_job_of(tx: Connection, dataset_id: int) -> Job | None:
    """The dataset's newest job, or None."""
    return await _one_job(tx, "WHERE dataset_id = ? ORDER BY submitted_at DESC, id DESC", dataset_id)


async def active_jobs(tx: Connection) -> list[Job]:
    """Jobs that are queued, running or stopping, oldest first."""
    return await _jobs(tx, f"WHERE state IN {_ACTIVE} ORDER BY submitted_at, id")


async def jobs_used_since(tx: Connection, since: float) -> list[Job]:
    """Jobs that burnt GPU time and are active or ended after `since`."""
    return await _jobs(tx, f"WHERE gpu_seconds > 0 AND (state IN {_ACTIVE} OR ended_at > ?)", since)


async def ended_jobs_before(tx: Connection, before: float) -> list[Job]:
    """Jobs that ended before a time, oldest first."""
    return await _jobs(tx, f"WHERE state NOT IN {_ACTIVE} AND ended_at < ? ORDER BY ended_at, id", before)


async def job_ids(tx: Connection) -> set[str]:
    """Ids of all jobs the database knows."""
    return {str(row["id"]) for row in await tx.execute_fetchall("SELECT id FROM job")}


async def update_job(tx: Connection, job_id: str, **values: Any) -> None:
    """Set some columns of a job (names are the caller's, never a member's text)."""
    names = ", ".join(f"{name} = :{name}" for name in values)
    await tx.execute(f"UPDATE job SET {names} WHERE id = :job_id", {**values, "job_id": job_id})


async def move_jobs(tx: Connection, old_thread_id: int, new_thread_id: int) -> None:
    """Jobs of a thread that was deleted belong to another one."""
    await tx.execute("UPDATE job SET thread_id = ? WHERE thread_id = ?", (new_thread_id, old_thread_id))


async def open_attempts(tx: Connection) -> list[Attempt]:
    """Attempts that have not ended, oldest first."""
    rows = await tx.execute_fetchall("SELECT * FROM attempt WHERE ended_at IS NULL ORDER BY assigned_at, job_id")
    return [Attempt.of(row) for row in rows]


async def get_attempt(tx: Connection, job_id: str, number: int) -> Attempt | None:
    """An attempt, or None."""
    rows = list(await tx.execute_fetchall("SELECT * FROM attempt WHERE job_id = ? AND number = ?", (job_id, number)))
    return Attempt.of(rows[0]) if rows else None


async def attempts_of(tx: Connection, job_id: str) -> list[Attempt]:
    """All attempts of a job, first first."""
    rows = await tx.execute_fetchall("SELECT * FROM attempt WHERE job_id = ? ORDER BY number", (job_id,))
    return [Attempt.of(row) for row in rows]


async def insert_attempt(tx: Connection, job_id: str, number: int, service: str, now: float) -> None:
    """A new attempt, assigned to a service."""
    await tx.execute(
        "INSERT INTO attempt (job_id, number, service, assigned_at) VALUES (?, ?, ?, ?)",
        (job_id, number, service, now),
    )


async def move_attempt(tx: Connection, attempt: Attempt, offset: int, seq: int, now: float) -> None:
    """Events up to `seq`, ending at byte `offset`, are applied."""
    await tx.execute(
        "UPDATE attempt SET event_offset = ?, event_seq = ?, last_event_at = ? WHERE job_id = ? AND number = ?",
        (offset, seq, now, attempt.job_id, attempt.number),
    )


async def end_attempt(tx: Connection, attempt: Attempt, outcome: str, now: float) -> None:
    """The attempt has ended; `outcome` is one word for the host (finished, paused, failed, lost, withdrawn)."""
    await tx.execute(
        "UPDATE attempt SET ended_at = ?, outcome = ? WHERE job_id = ? AND number = ?",
        (now, outcome, attempt.job_id, attempt.number),
    )


async def set_last_version(tx: Connection, dataset_id: int, version: int) -> None:
    """Remember the version number the dataset's newest job got."""
    await tx.execute("UPDATE dataset SET last_version = ? WHERE id = ?", (version, dataset_id))


async def _one_job(tx: Connection, where: str, *values: Any) -> Job | None:
    jobs = await _jobs(tx, f"{where} LIMIT 1", *values)
    return jobs[0] if jobs else None


async def _jobs(tx: Connection, where: str, *values: Any) -> list[Job]:
    return [Job.of(row) for row in await tx.execute_fetchall(f"SELECT * FROM job {where}", values)]
