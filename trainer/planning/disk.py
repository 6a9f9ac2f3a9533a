"""How much a run writes."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.contract.config import TrainConfig
from trainer.contract.estimates import estimate
from trainer.errors import DoesNotFit
from trainer.planning.memory import Held
from trainer.planning.room import gigabytes

STATES = 2 + 1
"""Resume states: the newest two, and the one that is being written."""
SAMPLE_BYTES_A_PIXEL = 0.3
"""Of a sample's WEBP, generously; the overview of all of them takes about as much again as they do."""
BESIDE = 64 << 20
"""Bytes for events, plots, TensorBoard's data and a file that is being written."""
_FILE_BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What a run writes, in bytes."""

    checkpoints: float
    states: float
    samples: float
    beside: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.checkpoints + self.states + self.samples + self.beside


def disk_of(held: Held, images_per_epoch: int, config: TrainConfig, *, goes_on: bool = False) -> Disk:
    """What a run writes; one that goes on has written most of it, and is only asked for a checkpoint and its states."""
    size = estimate(images_per_epoch, config)
    averages = 4 * held.trained if config.ema_decay else 0
    state = held.gradients + held.optimizer + averages
    kept = 1 if goes_on else size.checkpoints
    file = held.trained * _FILE_BYTES[config.file_precision]
    picture = SAMPLE_BYTES_A_PIXEL * config.resolution**2
    return Disk(
        checkpoints=file * kept,
        states=state * STATES,
        samples=2 * picture * config.sample_count * kept,
        beside=BESIDE + file,
    )


def check_disk(disk: Disk, free: int) -> None:
    """Raise DoesNotFit where there is less room than that."""
    if disk.total > free:
        raise DoesNotFit(
            f"This training writes about {gigabytes(disk.total)}, and the disk has {gigabytes(free)} free; "
            "make room, or keep fewer checkpoints (a larger checkpoint_every_epochs)."
        )
