"""Who trains next on a shared GPU: fair share with decay, explainable in one sentence, no money, no randomness.

Every member has a usage: GPU seconds burnt, halved every three days. The waiting job of the member with the least usage
goes first. Picking a job charges its estimate, so that eight jobs queued at once do not all count as the first. Nobody
gets a second running job while somebody else waits, and a job older than a day goes before younger ones.
Method and measurements: fair-share scheduling as in Slurm's multifactor plugin and Kueue's admission fair sharing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

HALF_LIFE_SECONDS = 3 * 86_400.0
AGE_GUARD_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits for a service."""

    job_id: str
    owner_id: int
    submitted_at: float
    """Unix time, seconds."""
    seconds: float = 0.0
    """Estimated time to train, charged when the job is picked."""
    interrupted: bool = False
    """It had a service and lost it through no fault of its member: it goes on first."""


@dataclass(frozen=True, slots=True)
class Burnt:
    """GPU time a member has used."""

    owner_id: int
    seconds: float
    at: float
    """When it was used (its end), Unix time."""


def decayed_usage(burnt: Iterable[Burnt], now: float) -> dict[int, float]:
    """GPU seconds per member, halved for every three days since they were used."""
    usage: dict[int, float] = {}
    for part in burnt:
        share = part.seconds * 0.5 ** (max(now - part.at, 0.0) / HALF_LIFE_SECONDS)
        usage[part.owner_id] = usage.get(part.owner_id, 0.0) + share
    return usage


def in_order(
    waiting: Iterable[Waiting], usage: Mapping[int, float], training: Collection[int], now: float
) -> list[Waiting]:
    """The jobs in the order in which they get a service; `training` are the members who have one now."""
    charged = dict(usage)
    served = set(training)
    rest = sorted(waiting, key=lambda job: (job.submitted_at, job.job_id))
    order: list[Waiting] = []
    while rest:
        first = min(rest, key=lambda job: _rank(job, charged, served, now))
        rest.remove(first)
        order.append(first)
        charged[first.owner_id] = charged.get(first.owner_id, 0.0) + first.seconds
    return order


def _rank(job: Waiting, usage: Mapping[int, float], training: set[int], now: float) -> tuple[object, ...]:
    old = now - job.submitted_at > AGE_GUARD_SECONDS
    return (
        not job.interrupted,
        job.owner_id in training,
        not old,
        0.0 if old or job.interrupted else usage.get(job.owner_id, 0.0),
        job.submitted_at,
        job.job_id,
    )
