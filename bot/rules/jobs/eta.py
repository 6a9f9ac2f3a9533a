"""When a job will start and end: the real rule of the queue replayed forward over what is known now.

Not covered: jobs that come later and go first. The forecast of a waiting job is therefore the earliest honest time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from bot.rules.jobs.fairness import Waiting


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected times of a job, Unix seconds."""

    starts_at: float
    ends_at: float | None
    """None when its length is not known."""


def forecast(order: Iterable[Waiting], free_at: Iterable[float], now: float) -> dict[str, Forecast]:
    """Start and end of every waiting job, by job id.

    `free_at` holds one time per trainer service whose present job's end is known. The forecast stops behind the first
    job whose length is not known (seconds 0), for nothing after it can be told, and is empty without a service.
    """
    heap = [max(time, now) for time in free_at]
    heapq.heapify(heap)
    times: dict[str, Forecast] = {}
    for job in order:
        if not heap:
            break
        start = heapq.heappop(heap)
        if job.seconds <= 0:
            times[job.job_id] = Forecast(start, None)
            break
        heapq.heappush(heap, start + job.seconds)
        times[job.job_id] = Forecast(start, start + job.seconds)
    return times
