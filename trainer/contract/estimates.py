"""What a job will cost, told before it starts: steps, checkpoints, size of the file, time where a rate is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.contract.config import TrainConfig

PARAMETERS_PER_RANK = {"kohya": 2_659_840, "attention": 1_451_520}
"""LoRA parameters per rank on SDXL's UNet: sums of in + out features over kohya's 722 modules, or 560 of attention."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Size of a job."""

    steps_per_epoch: int
    steps: int
    checkpoints: int
    samples: int
    file_bytes: int
    """Size of one LoRA file on SDXL, in bytes."""
    seconds: float | None
    """Time to train, or None where this machine's rate is not known yet."""


def steps_per_epoch(images_per_epoch: int, config: TrainConfig) -> int:
    """Optimizer steps in one epoch; a smaller last batch is a step too. Buckets may add a few (see data.buckets)."""
    return math.ceil(images_per_epoch / (config.batch_size * config.gradient_accumulation))


def checkpoint_epochs(config: TrainConfig) -> list[int]:
    """Epochs after which a LoRA file is kept: every n-th, and the last."""
    epochs = list(range(config.checkpoint_every_epochs, config.epochs + 1, config.checkpoint_every_epochs))
    return epochs if epochs[-1:] == [config.epochs] else [*epochs, config.epochs]


def estimate(images_per_epoch: int, config: TrainConfig, seconds_per_image: float | None = None) -> Estimate:
    """The job's size; `seconds_per_image` is this machine's measured rate for the same resolution, if known."""
    per_epoch = steps_per_epoch(images_per_epoch, config)
    checkpoints = len(checkpoint_epochs(config))
    return Estimate(
        steps_per_epoch=per_epoch,
        steps=per_epoch * config.epochs,
        checkpoints=checkpoints,
        samples=checkpoints * config.sample_count,
        file_bytes=2 * config.rank * PARAMETERS_PER_RANK[config.targets],
        seconds=None if seconds_per_image is None else seconds_per_image * images_per_epoch * config.epochs,
    )
