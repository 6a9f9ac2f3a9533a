"""What a job will cost, told before it starts: steps, checkpoints, size of the file, time where a rate is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from trainer.contract.config import TrainConfig

PARAMETERS_PER_RANK: Mapping[str, int] = MappingProxyType({"kohya": 2_659_840, "attention": 1_451_520})
"""LoRA parameters per rank on SDXL's UNet: sums of in + out features over kohya's 722 modules, or 560 of attention."""
CONVOLUTIONS_PER_RANK = 355_840
"""On its 3x3 convolutions in residual blocks and samplers: 9 in + out channels each."""
BESIDE_CONVOLUTIONS_PER_RANK = 58_560
"""On the residual blocks' time projections and 1x1 convolutions, which LoCon takes along at the LoRA's own rank."""
TEXT_ENCODER_1_PER_RANK, TEXT_ENCODER_2_PER_RANK = 165_888, 737_280
"""On the text encoders: in + out features of q, k, v, out and both layers of the MLP, 12 and 32 times."""
_BYTES: Mapping[str, int] = MappingProxyType({"fp16": 2, "bf16": 2, "fp32": 4})


@dataclass(frozen=True, slots=True)
class Estimate:
    """Size of a job."""

    steps_per_epoch: int
    steps: int
    epochs: int
    checkpoints: int
    samples: int
    file_bytes: int
    """Size of one LoRA file on SDXL, in bytes."""
    seconds: float | None
    """Time to train, or None where this machine's rate is not known yet."""


def steps_per_epoch(images_per_epoch: int, config: TrainConfig) -> int:
    """Optimizer steps in one epoch; a smaller last batch is a step too. Buckets may add a few (see data.buckets)."""
    return math.ceil(images_per_epoch / (config.batch_size * config.gradient_accumulation))


def total_steps(per_epoch: int, config: TrainConfig) -> int:
    """Optimizer steps of the whole run: all epochs', or `max_steps` where that ends it earlier."""
    steps = per_epoch * config.epochs
    return min(steps, config.max_steps) if config.max_steps else steps


def total_epochs(per_epoch: int, config: TrainConfig) -> int:
    """Epochs of the whole run; `max_steps` may cut the last one short."""
    return math.ceil(total_steps(per_epoch, config) / per_epoch)


def checkpoint_epochs(epochs: int, every: int) -> list[int]:
    """Epochs after which a LoRA file is kept: every n-th, and the last."""
    kept = list(range(every, epochs + 1, every))
    return kept if kept[-1:] == [epochs] else [*kept, epochs]


def file_bytes(config: TrainConfig) -> int:
    """Size of one LoRA file on SDXL, in bytes, without the header and DoRA's magnitudes (below 2 % at rank 32)."""
    parameters = config.rank * PARAMETERS_PER_RANK[config.targets] + config.conv_rank * CONVOLUTIONS_PER_RANK
    parameters += config.rank * BESIDE_CONVOLUTIONS_PER_RANK * bool(config.conv_rank)
    parameters += config.rank * TEXT_ENCODER_1_PER_RANK * config.text_encoder_1
    parameters += config.rank * TEXT_ENCODER_2_PER_RANK * config.text_encoder_2
    return parameters * _BYTES[config.file_precision]


def estimate(images_per_epoch: int, config: TrainConfig, seconds_per_image: float | None = None) -> Estimate:
    """The job's size; `seconds_per_image` is this machine's measured rate for the same resolution, if known."""
    per_epoch = steps_per_epoch(images_per_epoch, config)
    steps, epochs = total_steps(per_epoch, config), total_epochs(per_epoch, config)
    checkpoints = len(checkpoint_epochs(epochs, config.checkpoint_every_epochs))
    return Estimate(
        steps_per_epoch=per_epoch,
        steps=steps,
        epochs=epochs,
        checkpoints=checkpoints,
        samples=checkpoints * config.sample_count,
        file_bytes=file_bytes(config),
        seconds=None if seconds_per_image is None else seconds_per_image * images_per_epoch * steps / per_epoch,
    )
