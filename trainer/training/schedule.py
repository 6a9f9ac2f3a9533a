"""The learning rate: a pure function of the step, so that a resumed run needs no scheduler's memory."""

from __future__ import annotations

import math

from trainer.contract.config import TrainConfig


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Rate of optimizer step `step` (from 1) of `steps`: a linear rise over the warm-up, then the schedule's shape.

    `cosine` and `linear` fall to 0 just after the last step. After an extension the shape follows the new length.
    """
    if step <= config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    progress = min(1.0, (step - 1 - config.warmup_steps) / max(1, steps - config.warmup_steps))
    if config.schedule == "linear":
        return config.learning_rate * (1.0 - progress)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
