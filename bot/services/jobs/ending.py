"""What the end of an attempt means for its job: finished, stopped, failed, or on to the next attempt.

Everything here runs inside the caller's transaction: the attempt's end, the job's state, the post that tells of it and
the card change are one.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

from bot.rules.jobs.progress import Progress, Terminal
from bot.services.jobs.library import Kept
from bot.store.cards import forget_card, mark_dirty, queue_moved
from bot.store.database import Connection, Store
from bot.store.datasets import dataset_by_id
from bot.store.jobs import end_attempt, get_attempt, get_job, update_job
from bot.store.outbox import add_post, posts_of
from bot.store.rows import ACTIVE, Attempt, Job
from trainer.contract.events import Failed, Finished, Paused

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""Wait before the second and later attempts after a loss; the first comes at once."""
DISK_FULL_SECONDS = 300.0
"""Wait before the next attempt when the trainer's disk was full."""
SHUTDOWN_NOTE = "The trainer was shut down. Training goes on when it is back."
LOST_NOTE = "The trainer was interrupted. Training goes on as soon as it can."
DISK_NOTE = "The trainer's disk is full. Training goes on by itself once the host has made room."


class Ending:
    """Ends attempts and jobs."""

    def __init__(self, store: Store, max_attempts: int, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._max_attempts = max_attempts
        self._clock = clock

    async def ended(self, tx: Connection, job: Job, attempt: Attempt, end: Terminal, kept: Kept | None) -> None:
        """Apply an attempt's last event; `kept` is the finished file, already in the library."""
        match end:
            case Finished():
                await end_attempt(tx, attempt, "finished", self._clock())
                await self._finished(tx, job, end, kept)
            case Paused():
                await end_attempt(tx, attempt, "paused", self._clock())
                await self._paused(tx, job, end)
            case Failed(retry=True):
                await end_attempt(tx, attempt, "failed", self._clock())
                log.warning("job %s (%s), attempt %s: %s %s", job.id, job.name, attempt.number, end.code, end.message)
                await self._again(tx, job, end.message)
            case Failed():
                await end_attempt(tx, attempt, "failed", self._clock())
                log.error("job %s (%s) failed: %s %s", job.id, job.name, end.code, end.message)
                await self.fail(tx, job, end.message)

    async def lost(self, job: Job, attempt: Attempt, why: str) -> None:
        """The attempt tells nothing any more (`why` continues "the training was lost because …")."""
        async with self._store.transaction() as tx:
            known = await get_attempt(tx, job.id, attempt.number)
            current = await get_job(tx, job.id)
            if known is None or known.ended_at is not None or current is None:
                return
            log.error("job %s (%s), attempt %s is lost: %s", job.id, job.name, attempt.number, why)
            await end_attempt(tx, known, "lost", self._clock())
            await self._again(tx, current, f"The training was lost because {why}.")

    async def withdrawn(self, job: Job, attempt: Attempt) -> None:
        """The attempt was taken back before any service began with it: the job waits again, nothing is lost."""
        async with self._store.transaction() as tx:
            known = await get_attempt(tx, job.id, attempt.number)
            current = await get_job(tx, job.id)
            if known is None or known.ended_at is not None or current is None:
                return
            await end_attempt(tx, known, "withdrawn", self._clock())
            await self._wait(tx, current)

    async def fail(self, tx: Connection, job: Job, message: str) -> None:
        """The job is over without a file; `message` tells the member why."""
        await self._over(tx, job, "failed", {"message": message}, error=message)

    async def stop_at_once(self, tx: Connection, job: Job) -> None:
        """The job is over before it trained anything."""
        await self._over(tx, job, "stopped", {"step": 0})

    async def _finished(self, tx: Connection, job: Job, end: Finished, kept: Kept | None) -> None:
        state = "finished" if end.reason == "complete" else "stopped"
        file = {} if kept is None else {"lora_file": kept.file, "lora_sha256": kept.sha256, "lora_bytes": kept.bytes}
        values: dict[str, Any] = {"step": end.step, "epoch": end.epoch, "training_seconds": end.training_seconds}
        if end.message:
            values["message"] = end.message
        await self._over(tx, job, state, values, **file)

    async def _over(self, tx: Connection, job: Job, state: str, values: dict[str, Any], **columns: Any) -> None:
        if job.state not in ACTIVE:
            return
        now = self._clock()
        await update_job(tx, job.id, state=state, ended_at=now, **columns)
        await queue_moved(tx)
        dataset = await dataset_by_id(tx, job.dataset_id)
        if dataset is None or dataset.state == "deleting":  # its thread goes; there is nobody to tell
            await forget_card(tx, "job", job.id)
            return
        await add_post(tx, job.thread_id, state, job.id, values, now)
        await mark_dirty(tx, "job", job.id, urgent=True)
        await mark_dirty(tx, "dataset", job.dataset_id)

    async def _paused(self, tx: Connection, job: Job, end: Paused) -> None:
        if end.reason != "disk-full":
            await self._wait(tx, job, SHUTDOWN_NOTE)
            return
        log.error("job %s (%s) paused: %s", job.id, job.name, end.message)
        if all(post.kind != "disk-full" for post in await posts_of(tx, job.id)):
            await add_post(tx, job.thread_id, "disk-full", job.id, {"step": end.step}, self._clock())
        await self._wait(tx, job, DISK_NOTE, seconds=DISK_FULL_SECONDS)

    async def _again(self, tx: Connection, job: Job, reason: str) -> None:
        """After a loss: another attempt, unless too many were lost in a row without getting any further."""
        lost = job.lost_attempts + 1
        await update_job(tx, job.id, lost_attempts=lost)
        if lost >= self._max_attempts:
            await self.fail(tx, job, f"{reason} It was tried {lost} times and did not get further; ask the host.")
            return
        await self._wait(tx, job, LOST_NOTE, seconds=RETRY_SECONDS if lost > 1 else 0.0)

    async def _wait(self, tx: Connection, job: Job, note: str = "", seconds: float = 0.0) -> None:
        """Back into the queue; a job that is to stop and has trained nothing stops here."""
        progress = Progress.from_json(job.progress)
        if job.state == "stopping" and not trained(progress):
            await self.stop_at_once(tx, job)
            return
        progress = dataclasses.replace(
            progress, phase="waiting", doing="", eta_at=None, note=note, wait_until=self._clock() + seconds
        )
        state = "stopping" if job.state == "stopping" else "queued"
        await update_job(tx, job.id, state=state, progress=progress.to_json())
        await mark_dirty(tx, "job", job.id, urgent=True)
        await queue_moved(tx)


def trained(progress: Progress) -> bool:
    """True when some attempt has made a step or a state: there is something to keep."""
    return progress.step > 0 or progress.state_step > 0
