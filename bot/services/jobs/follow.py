"""Following an attempt: its new events become rows, posts and card changes, with the read offset, in ONE transaction.

Whatever dies before the commit is read again; a finished file is copied before it, and copying twice is harmless.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from bot.errors import DamagedFile, StorageError
from bot.rules.jobs.progress import Change, Progress, apply_events
from bot.runners.local import LocalRunner
from bot.services.jobs.ending import Ending
from bot.services.jobs.library import Kept, Library
from bot.services.jobs.queue import Queue
from bot.store.cards import mark_dirty
from bot.store.database import Connection, Store
from bot.store.jobs import get_attempt, get_job, move_attempt, update_job
from bot.store.outbox import add_post
from bot.store.rows import Attempt, Job
from trainer.contract.durable import reach
from trainer.contract.errors import ChannelError, InvalidEvent, InvalidJob
from trainer.contract.events import Event, Failed, Finished

log = logging.getLogger(__name__)


class Follower:
    """Reads the logs of attempts."""

    def __init__(
        self,
        store: Store,
        runner: LocalRunner,
        library: Library,
        queue: Queue,
        ending: Ending,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._runner = runner
        self._library = library
        self._queue = queue
        self._ending = ending
        self._clock = clock

    async def follow(self, job: Job, attempt: Attempt) -> bool:
        """Apply the next events of an attempt; False when there are none (or they cannot be read now)."""
        folder = self._runner.folder(job.id)
        try:
            events, offset = await asyncio.to_thread(folder.read_events, attempt.number, attempt.event_offset)
            _check_dense(events, attempt)
        except InvalidEvent as error:
            log.error("job %s (%s), attempt %s: %s", job.id, job.name, attempt.number, error)
            await self._ending.lost(job, attempt, "its log was damaged")
            return False
        except ChannelError as error:
            log.warning("job %s (%s): %s; trying again", job.id, job.name, error)
            return False
        if not events:
            return False
        change = apply_events(Progress.from_json(job.progress), events)
        try:
            change, kept = await self._take_file(job, attempt, change)
        except StorageError as error:
            log.error("job %s: %s", job.id, error)
            return False
        reach("bot.file-kept")
        await self._commit(job, attempt, change, kept, (offset, events[-1].seq))
        reach("bot.events-applied")
        return True

    async def _take_file(self, job: Job, attempt: Attempt, change: Change) -> tuple[Change, Kept | None]:
        """Copy a finished job's file into the library; a damaged one makes the attempt a failed one."""
        end = change.terminal
        if not isinstance(end, Finished) or not end.file:
            return change, None
        try:
            source = self._runner.folder(job.id).file(attempt.number, end.file)
            return change, await asyncio.to_thread(self._library.keep, job.name, job.id, source, end.sha256)
        except (DamagedFile, InvalidJob) as error:
            log.error("job %s (%s): %s", job.id, job.name, error)
            failed = Failed(code="damaged-file", message="The finished file was damaged on disk.", retry=True)
            return dataclasses.replace(change, terminal=failed), None

    async def _commit(
        self, job: Job, attempt: Attempt, change: Change, kept: Kept | None, position: tuple[int, int]
    ) -> None:
        now = self._clock()
        async with self._store.transaction() as tx:
            current = await get_job(tx, job.id)
            known = await get_attempt(tx, job.id, attempt.number)
            if current is None or known is None or known.ended_at is not None:
                return  # deleted, or given to another attempt meanwhile
            if known.event_offset != attempt.event_offset:
                return  # somebody else applied them
            await move_attempt(tx, attempt, *position, now)
            await update_job(
                tx,
                job.id,
                progress=change.progress.to_json(),
                gpu_seconds=current.gpu_seconds + change.gpu_seconds,
                lost_attempts=0 if change.new_state else current.lost_attempts,
            )
            await self._add_posts(tx, current, attempt, change, now)
            await mark_dirty(tx, "job", job.id)
            if change.terminal is not None:
                await self._end(tx, attempt, change, kept)

    async def _end(self, tx: Connection, attempt: Attempt, change: Change, kept: Kept | None) -> None:
        job = await get_job(tx, attempt.job_id)
        if job is None or change.terminal is None:
            return
        if isinstance(change.terminal, Finished) and change.terminal.reason == "complete" and change.progress.images:
            await self._queue.learn(tx, attempt.service, change.progress.rate, job.gpu_seconds / change.progress.images)
        await self._ending.ended(tx, job, attempt, change.terminal, kept)

    @staticmethod
    async def _add_posts(tx: Connection, job: Job, attempt: Attempt, change: Change, now: float) -> None:
        if change.resumed is not None:
            values: dict[str, Any] = {"step": change.resumed.step, "epoch": change.resumed.epoch}
            await add_post(tx, job.thread_id, "resumed", job.id, values, now)
        elif change.restarted:
            await add_post(tx, job.thread_id, "restarted", job.id, {}, now)
        for sample in change.samples:
            grid: dict[str, Any] = {
                "attempt": attempt.number,
                "grid": sample.grid,
                "epoch": sample.epoch,
                "step": sample.step,
                "prompts": list(sample.prompts),
            }
            await add_post(tx, job.thread_id, "sample", job.id, grid, now)


def _check_dense(events: Sequence[Event], attempt: Attempt) -> None:
    """Between two reads the numbers must go on; raises InvalidEvent."""
    if events and events[0].seq != attempt.event_seq + 1:
        raise InvalidEvent(f"event {events[0].seq} stands where {attempt.event_seq + 1} belongs")
