"""Clocks for work on a device."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

Work = Callable[[], object]

MATMUL_SIDE = {"cuda": 8192, "cpu": 1024}
"""Side of the square matrices whose product is timed: large enough that the rate no longer grows."""
RAMP_SECONDS = 1.0
"""How long products are multiplied before one is timed."""


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


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP a second of a large product of square matrices in this number format: the most that training can reach."""
    side = MATMUL_SIDE[device.type]
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    spent = 0.0
    while spent < RAMP_SECONDS:  # a card that idled raises its clock only under load
        spent += seconds(lambda: one @ other, device)
    fastest = min(seconds(lambda: one @ other, device) for _ in range(12))
    return 2 * side**3 / fastest
