"""Losses so far, kept on the device until somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

SMOOTHING = 0.98
"""Share of the smoothed loss kept at each step: an average over about the last 50 steps (over all, while fewer)."""

PATIENCE_FP16 = 32
"""Steps in a row that may be skipped with a scaled loss: each halves the scale, from 2^16 down to 2^-16."""


@dataclass(slots=True)
class Tally:
    """What became of the steps; every tensor is a scalar on the device, and each step has new ones."""

    patience: int
    """The run is unsound once this many steps in a row gave no numbers."""
    loss: Tensor
    """Of the last step that gave numbers; 0 before the first."""
    smoothed: Tensor
    """Running average of the losses; 0 before the first."""
    counted: Tensor
    """Steps that gave numbers."""
    skipped: Tensor
    """Steps in a row, up to now, whose loss or gradient was not a number."""
    sound: Tensor
    """False once `patience` of them came in a row."""

    @classmethod
    def begin(cls, device: torch.device, patience: int = 1) -> Tally:
        """A tally of no steps."""
        none = torch.zeros((), device=device)
        return cls(patience, none, none, none.long(), none.long(), none == 0)

    def add(self, loss: Tensor, gradient_norm: Tensor) -> None:
        """Count a step in: its loss, and the gradient's norm before clipping."""
        good = torch.isfinite(loss) & torch.isfinite(gradient_norm)
        self.counted = self.counted + good
        self.skipped = torch.where(good, 0, self.skipped + 1)
        self.sound = self.sound & (self.skipped < self.patience)
        self.loss = torch.where(good, loss, self.loss)
        fresh = torch.clamp(1.0 / self.counted, 1.0 - SMOOTHING, 1.0)
        self.smoothed = torch.where(good, torch.lerp(self.smoothed, self.loss, fresh), self.smoothed)

    def state(self) -> dict[str, Tensor]:
        """What a resumed run goes on from."""
        return {"loss": self.loss, "smoothed": self.smoothed, "counted": self.counted, "skipped": self.skipped}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state. Raises KeyError when it is none."""
        device = self.loss.device
        self.loss, self.smoothed = state["loss"].to(device), state["smoothed"].to(device)
        self.counted, self.skipped = state["counted"].to(device), state["skipped"].to(device)


def is_sound(sound: Tensor, weights: Iterable[Tensor]) -> bool:
    """Whether a run with this `Tally.sound` and these weights (at least one) is worth keeping: all of them are numbers.

    Waits for the device.
    """
    norms = torch.stack([norm.float() for norm in torch._foreach_norm([weight.detach() for weight in weights])])
    return bool(sound) and bool(torch.isfinite(norms).all())
