"""Clocks for work on a device: medians of repeated runs, and of pairs run in turn so that a busy machine slows both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

Work = Callable[[], object]

MATMUL_SIDE = {"cuda": 8192, "cpu": 1024}
"""Side of the square matrices whose product is timed: large enough that the rate no longer grows."""


def wait_for(device: torch.device) -> None:
    """Let the device finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Work, device: torch.device) -> float:
    """How long the work takes, the device's part included."""
    wait_for(device)
    begun = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - begun


def median_seconds(work: Work, device: torch.device, runs: int, warm_up: int = 2) -> float:
    """Median over so many runs, after others that do not count."""
    for _ in range(warm_up):
        work()
    return statistics.median(seconds(work, device) for _ in range(runs))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pieces of work measured in turn."""

    first: float
    """Median seconds of one run."""
    second: float
    ratio: float
    """Median of first / second over the rounds: what slows the machine slows both runs of a round."""


def paired(first: Work, second: Work, device: torch.device, rounds: int, warm_up: int = 2) -> Pair:
    """Run both in turn, the one that begins changing from round to round."""
    for _ in range(warm_up):
        first()
        second()
    times: list[tuple[float, float]] = []
    for number in range(rounds):
        order = (first, second) if number % 2 else (second, first)
        taken = [seconds(work, device) for work in order]
        times.append((taken[0], taken[1]) if number % 2 else (taken[1], taken[0]))
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    return Pair(medians[0], medians[1], statistics.median(one / other for one, other in times))


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP a second of a large product of square matrices in this number format: the most that training can reach."""
    side = MATMUL_SIDE[device.type]
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    fastest = min(seconds(lambda: one @ other, device) for _ in range(12))
    return 2 * side**3 / fastest
