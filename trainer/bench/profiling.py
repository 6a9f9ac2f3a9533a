"""Where a step's time goes: torch's profiler over a few steps of the plain loop and of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import DeviceType, ProfilerActivity, profile

from trainer.bench.steps import Step
from trainer.bench.timing import wait_for

SHOWN = 5
_STEPS = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """An operator's share of a step."""

    name: str
    milliseconds: float
    """Of its own in a step, what it calls left out: on a GPU the card's time, else the CPU's over all threads."""
    share: float
    """Of all operators' time."""
    calls: float
    """In a step."""


def largest_costs(step: Step, device: torch.device) -> list[Cost]:
    """The costliest operators of a step, the costliest first."""
    on_gpu = device.type == "cuda"
    step()
    wait_for(device)
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]
    with profile(activities=activities) as recorded:
        for _ in range(_STEPS):
            step()
        wait_for(device)
    # On a GPU kernels are listed once more beside the operators that launched them, whose time they are.
    operators = [event for event in recorded.key_averages() if event.device_type == DeviceType.CPU]
    events = [(_own_time(event, on_gpu=on_gpu), event) for event in operators]
    total = sum(taken for taken, _ in events) or 1.0
    return [
        Cost(event.key, taken / 1e3 / _STEPS, taken / total, event.count / _STEPS)
        for taken, event in sorted(events, key=lambda one: -one[0])[:SHOWN]
    ]


def _own_time(event: Any, *, on_gpu: bool) -> float:
    """Microseconds."""
    return float(event.self_device_time_total if on_gpu else event.self_cpu_time_total)
