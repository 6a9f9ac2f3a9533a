"""The learning rate's shape: a pure function of the step, so that a resumed run needs no scheduler's memory."""

from __future__ import annotations

import math

from trainer.contract.config import TrainConfig


def rate_share(step: int, steps: int, config: TrainConfig) -> float:
    """Share (0 to 1) of its peak that every rate has in optimizer step `step` (from 1) of `steps`.

    First a linear rise over the warm-up, the longer of `warmup_steps` and `warmup_share`. Then with p from 0 to just
    below 1:
    - `constant`: 1;
    - `linear`: 1 - p;
    - `polynomial`: (1 - p)^schedule_power;
    - `cosine`: (1 + cos(pi p)) / 2;
    - `cosine-restarts`: the same `schedule_cycles` times over, p being the place in its cycle.
    All but `constant` would reach 0 just after the last step. After an extension the shape follows the new length.
    """
    warmup = max(config.warmup_steps, round(config.warmup_share * steps))
    if step <= warmup:
        return step / warmup
    progress = min(1.0, (step - 1 - warmup) / max(1, steps - warmup))
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "linear":
        return 1.0 - progress
    if config.schedule == "polynomial":
        return float((1.0 - progress) ** config.schedule_power)
    if config.schedule == "cosine-restarts":
        progress = (progress * config.schedule_cycles) % 1.0
    return 0.5 * (1.0 + math.cos(math.pi * progress))
