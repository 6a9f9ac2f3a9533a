"""Dispatch: brings waiting jobs to free trainer services, follows what they tell, and sees when one is lost.

The database is the truth. Inboxes and desired.json are made to agree with it at every round, so a crash between any two
writes heals by itself. Assignment: attempt row, then the attempt's folder, then the file in the service's inbox.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable

from bot.config import ProgressConfig
from bot.errors import LoreleiError
from bot.rules.jobs.progress import Progress
from bot.runners.local import LocalRunner
from bot.services.jobs.ending import Ending, trained
from bot.services.jobs.follow import Follower
from bot.services.jobs.queue import Queue
from bot.store.cards import mark_dirty, queue_moved
from bot.store.database import Connection, Store
from bot.store.jobs import active_jobs, get_attempt, get_job, insert_attempt, open_attempts, update_job
from bot.store.rows import Attempt, Job
from trainer.contract.durable import reach
from trainer.contract.errors import ContractError, InvalidJob, StaleAttempt

log = logging.getLogger(__name__)

AWAY_SECONDS = 60.0
"""More time than this between two rounds is an absence of the bot, not silence of a trainer."""
UNCLAIMED_SECONDS = 30.0
"""An attempt that a service which is gone has not claimed goes back into the queue after this."""


class Dispatch:
    """One round at a time (`round`); the clockwork of Services repeats it."""

    def __init__(
        self,
        store: Store,
        runner: LocalRunner,
        queue: Queue,
        follower: Follower,
        ending: Ending,
        config: ProgressConfig,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._runner = runner
        self._queue = queue
        self._follower = follower
        self._ending = ending
        self._config = config
        self._clock = clock
        self._heard_since = self._round_at = clock()
        self._round = asyncio.Lock()

    async def round(self) -> None:
        """Follow, heal, assign; also called by whoever wants its change to have effect at once."""
        async with self._round:
            self._note_absence()
            for job, attempt in await self._open():
                await self._attend(job, attempt)
            await self._assign()

    def _note_absence(self) -> None:
        """A machine that slept, or a clock that was set, passes over time in which nobody could be heard."""
        now = self._clock()
        if abs(now - self._round_at) > AWAY_SECONDS:
            self._heard_since = now
        self._round_at = now

    async def _open(self) -> list[tuple[Job, Attempt]]:
        async with self._store.transaction() as tx:
            jobs = {job.id: job for job in await active_jobs(tx)}
            return [(jobs[a.job_id], a) for a in await open_attempts(tx) if a.job_id in jobs]

    async def _attend(self, job: Job, attempt: Attempt) -> None:
        """Everything about one attempt under way."""
        try:
            # Asked before the log is read: a service lets go only after the last event, so an attempt that nobody
            # holds and that has told nothing was never handed over.
            held = await asyncio.to_thread(self._runner.holds, attempt.service, job.id, attempt.number)
            current: tuple[Job, Attempt] | None = (job, attempt)
            while current is not None and await self._follower.follow(*current):
                current = await self._reread(*current)
            if current is not None and (current := await self._reread(*current)) is not None:
                await self._heal(*current, held=held)
        except (InvalidJob, StaleAttempt) as error:
            log.error("job %s (%s): %s", job.id, job.name, error)
            await self._ending.lost(job, attempt, "its files on the trainer's disk cannot be used")
        except (ContractError, LoreleiError) as error:
            log.warning("job %s (%s): %s; trying again", job.id, job.name, error)

    async def _reread(self, job: Job, attempt: Attempt) -> tuple[Job, Attempt] | None:
        async with self._store.transaction() as tx:
            fresh, known = await get_job(tx, job.id), await get_attempt(tx, job.id, attempt.number)
        return (fresh, known) if fresh and known and known.ended_at is None else None

    async def _heal(self, job: Job, attempt: Attempt, *, held: bool) -> None:
        """Make inbox and desired.json agree with the database; give up on an attempt that tells nothing."""
        stopping = job.state == "stopping"
        untouched = attempt.event_seq == 0
        if stopping and untouched and not trained(Progress.from_json(job.progress)):
            if not held or await self._withdraw(job, attempt):
                await self._ending.withdrawn(job, attempt)
                return
        elif untouched and not held:
            await self._hand_over(job, attempt)
            return
        if stopping:
            await asyncio.to_thread(self._runner.ask_to_stop, job.id, attempt.number)
        if await self._is_abandoned(attempt) and await self._withdraw(job, attempt):
            await self._ending.withdrawn(job, attempt)
            return
        if self._silence(attempt) > self._config.stall_seconds:
            await self._ending.lost(job, attempt, "the trainer said nothing for a long time")

    async def _is_abandoned(self, attempt: Attempt) -> bool:
        """True when a service that is gone has left an attempt unclaimed for a while."""
        if attempt.event_seq > 0 or self._silence(attempt) <= UNCLAIMED_SECONDS:
            return False
        return not await asyncio.to_thread(self._runner.is_served, attempt.service)

    def _silence(self, attempt: Attempt) -> float:
        """Seconds since the attempt was heard of; what happened while the bot was away is not held against it."""
        return self._clock() - max(attempt.last_event_at or attempt.assigned_at, self._heard_since)

    async def _withdraw(self, job: Job, attempt: Attempt) -> bool:
        return await asyncio.to_thread(self._runner.withdraw, attempt.service, job.id, attempt.number)

    async def _hand_over(self, job: Job, attempt: Attempt) -> None:
        stop = job.state == "stopping"
        await asyncio.to_thread(self._runner.hand_over, attempt.service, job.id, attempt.number, stop=stop)

    async def _assign(self) -> None:
        """Give every free service the next job in line."""
        free = await asyncio.to_thread(self._runner.free)
        for service in free:
            chosen = await self._choose(service)
            if chosen is None:
                continue
            reach("bot.attempt-decided")
            job, attempt = chosen
            try:
                await self._hand_over(job, attempt)
            except InvalidJob as error:
                log.error("job %s (%s): %s", job.id, job.name, error)
                await self._ending.lost(job, attempt, "its files cannot be used")
            except ContractError as error:  # the next round hands it over again
                log.warning("job %s (%s) is not handed over yet: %s", job.id, job.name, error)
            reach("bot.attempt-handed-over")

    async def _choose(self, service: str) -> tuple[Job, Attempt] | None:
        """Decide the next attempt for a service, in one transaction; None when nothing waits or it has one."""
        now = self._clock()
        async with self._store.transaction() as tx:
            if any(attempt.service == service for attempt in await open_attempts(tx)):
                return None
            waiting = (place.job for place in (await self._queue.look(tx)).waiting)
            job = next((job for job in waiting if Progress.from_json(job.progress).wait_until <= now), None)
            if job is None:
                return None
            await self._open_attempt(tx, job, service, now)
            fresh, attempt = await get_job(tx, job.id), await get_attempt(tx, job.id, job.attempt + 1)
        return (fresh, attempt) if fresh and attempt else None

    @staticmethod
    async def _open_attempt(tx: Connection, job: Job, service: str, now: float) -> None:
        progress = dataclasses.replace(Progress.from_json(job.progress), phase="starting", last_at=None)
        await insert_attempt(tx, job.id, job.attempt + 1, service, now)
        await update_job(
            tx,
            job.id,
            attempt=job.attempt + 1,
            state="stopping" if job.state == "stopping" else "running",
            started_at=job.started_at or now,
            progress=progress.to_json(),
        )
        await mark_dirty(tx, "job", job.id, urgent=True)
        await queue_moved(tx)
