"""The queue as members see it: order, reason and expected times, from the same rules that dispatch follows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.rules.jobs.eta import Forecast, forecast
from bot.rules.jobs.fairness import AGE_GUARD_SECONDS, HALF_LIFE_SECONDS, Burnt, Waiting, decayed_usage, in_order
from bot.rules.jobs.progress import Progress
from bot.store.database import Connection
from bot.store.facts import facts_with, write_fact
from bot.store.jobs import active_jobs, jobs_used_since, open_attempts
from bot.store.rows import Job

RATE_FACT = "seconds_per_image:"
"""Facts `seconds_per_image:<service>:<resolution>:<targets>`, learnt from finished jobs."""
USAGE_SECONDS = 7 * HALF_LIFE_SECONDS
"""Use older than this counts for less than a hundredth and is left out."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds for one picture, by service and kind of training."""

    known: dict[str, float]
    """By `<service>:<resolution>:<targets>`."""

    def per_image(self, rate: str) -> float | None:
        """The middle rate of the services for `<resolution>:<targets>`, or None while no job has told."""
        found = [seconds for name, seconds in self.known.items() if name.partition(":")[2] == rate]
        return statistics.median(found) if found else None

    def seconds(self, progress: Progress) -> float:
        """Expected seconds of a job that waits: what is left of it; 0 while unknown."""
        per_image = self.per_image(progress.rate)
        left = 1.0 - progress.step / progress.steps if progress.steps else 1.0
        return 0.0 if per_image is None else per_image * progress.images * left


@dataclass(frozen=True, slots=True)
class Place:
    """A waiting job's place in the queue."""

    job: Job
    position: int
    """From 1."""
    reason: str
    """One short sentence on why it is here."""
    expected: Forecast | None


@dataclass(frozen=True, slots=True)
class Line:
    """The whole queue at one moment."""

    training: tuple[Job, ...]
    waiting: tuple[Place, ...]

    def place(self, job_id: str) -> Place | None:
        """The job's place, or None when it does not wait."""
        return next((place for place in self.waiting if place.job.id == job_id), None)


class Queue:
    """Reads the queue out of a transaction."""

    def __init__(self, services: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self._services = tuple(services)
        self._clock = clock

    async def rates(self, tx: Connection) -> Rates:
        """What finished jobs have taught about this installation's speed."""
        return Rates({name: float(value) for name, value in (await facts_with(tx, RATE_FACT)).items()})

    async def learn(self, tx: Connection, service: str, rate: str, seconds_per_image: float) -> None:
        """Remember the speed of a finished job."""
        await write_fact(tx, f"{RATE_FACT}{service}:{rate}", repr(seconds_per_image))

    async def look(self, tx: Connection) -> Line:
        """Who trains, who waits, in which order and until when."""
        now = self._clock()
        jobs = await active_jobs(tx)
        attempts = {(attempt.job_id, attempt.number): attempt for attempt in await open_attempts(tx)}
        rates = await self.rates(tx)
        busy = {job.id: attempts[job.id, job.attempt] for job in jobs if (job.id, job.attempt) in attempts}
        training = tuple(job for job in jobs if job.id in busy)
        usage = await self._usage(tx, now)
        waiting = [_waiting(job, rates) for job in jobs if job.id not in busy]
        order = in_order(waiting, usage, {job.owner_id for job in training}, now)
        ends = {busy[job.id].service: Progress.from_json(job.progress).eta_at for job in training}
        free_at = [ends.get(service, now) for service in self._services]
        expected = forecast(order, [time for time in free_at if time is not None], now)
        by_id = {job.id: job for job in jobs}
        owners = {job.owner_id for job in training}
        places = tuple(
            Place(by_id[item.job_id], index, _reason(item, usage, owners, now), expected.get(item.job_id))
            for index, item in enumerate(order, 1)
        )
        return Line(training, places)

    async def _usage(self, tx: Connection, now: float) -> dict[int, float]:
        burnt = []
        for job in await jobs_used_since(tx, now - USAGE_SECONDS):
            progress = Progress.from_json(job.progress)
            remaining = max((progress.eta_at or now) - now, 0.0)
            burnt.append(Burnt(job.owner_id, job.gpu_seconds + remaining, job.ended_at or now))
        return decayed_usage(burnt, now)


def _waiting(job: Job, rates: Rates) -> Waiting:
    progress = Progress.from_json(job.progress)
    return Waiting(job.id, job.owner_id, job.submitted_at, rates.seconds(progress), interrupted=job.attempt > 0)


def _reason(item: Waiting, usage: dict[int, float], training: set[int], now: float) -> str:
    if item.interrupted:
        return "it was interrupted and goes on first"
    if item.owner_id in training:
        return "its member has a training running"
    if now - item.submitted_at > AGE_GUARD_SECONDS:
        return "it has waited for more than a day"
    hours = usage.get(item.owner_id, 0.0) / 3600
    return f"its member used {hours:.1f} GPU hours lately" if hours >= 0.05 else "its member used no GPU time lately"
