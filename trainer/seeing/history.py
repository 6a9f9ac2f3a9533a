"""What a run has shown so far: losses, rates, checkpoints, validations. It is part of every resume state.

So a resumed attempt's plot and TensorBoard show the whole run, and nothing of the steps that were lost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from trainer.contract.events import Step

POINTS_KEPT = 2000
"""More points than this are thinned out by half: a plot has fewer pixels."""


@dataclass(frozen=True, slots=True)
class Point:
    """One reported step."""

    step: int
    epoch: int
    loss: float
    smoothed: float
    rates: Mapping[str, float]
    """Learning rate of each group of weights."""
    images_per_second: float
    vram_bytes: int
    at: float
    """Unix time, seconds."""

    @classmethod
    def of(cls, body: Step, rates: Mapping[str, float], at: float) -> Self:
        """The point of an event."""
        return cls(
            step=body.step,
            epoch=body.epoch,
            loss=body.loss,
            smoothed=body.smoothed_loss,
            rates=dict(rates),
            images_per_second=body.images_per_second,
            vram_bytes=body.vram_bytes,
            at=at,
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of an epoch at which something happened."""

    step: int
    epoch: int
    loss: float | None = None
    """The validation loss, where it was measured."""


@dataclass(slots=True)
class History:
    """All of a run, over all its attempts; what is told again of a step takes the place of what was told before."""

    points: list[Point] = field(default_factory=list)
    checkpoints: list[Mark] = field(default_factory=list)
    validations: list[Mark] = field(default_factory=list)

    def add(self, point: Point) -> None:
        """Add a reported step."""
        _put(self.points, point)
        if len(self.points) > POINTS_KEPT:
            del self.points[1:-1:2]  # the first and the last always stay

    def add_checkpoint(self, mark: Mark) -> None:
        """A LoRA file was kept."""
        _put(self.checkpoints, mark)

    def add_validation(self, mark: Mark) -> None:
        """The loss on the pictures held back was measured."""
        _put(self.validations, mark)

    def copy(self) -> Self:
        """As it is now; what is told later is not in it."""
        return type(self)(list(self.points), list(self.checkpoints), list(self.validations))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The history of plain values; raises KeyError or TypeError when they are none."""
        return cls(
            [Point(**point) for point in value["points"]],
            [Mark(**mark) for mark in value["checkpoints"]],
            [Mark(**mark) for mark in value["validations"]],
        )


def _put(items: list[Any], item: Point | Mark) -> None:
    while items and items[-1].step >= item.step:
        items.pop()
    items.append(item)
