"""Several processes train one job: each its share of every step's pictures, all of them the same weights.

All randomness belongs to the seed, the step and the picture's place in it, so the sum of the shares' gradients is the
gradient one process would have, up to the order of addition. Only the masks of `dropout` are others when a batch is
cut: they are drawn for what goes through the UNet together. After the sum every process makes the same optimizer step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.distributed_c10d import Store
from torch.nn import Parameter

from trainer.contract.events import Failed
from trainer.data.sampler import Batch
from trainer.errors import LostProcess
from trainer.parallel.group import Group
from trainer.planning.way import Ways


class Team:
    """The processes that train one job; this one is number `rank` (from 0) of `size`. By default it is alone."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size
        self._group: Group | None = None

    # --- what only the leader has to do -------------------------------------------------------------------------------
    def start(self, devices: Sequence[torch.device], ways: Ways = Ways()) -> None:  # noqa: B008 - frozen
        """Start the other processes, each for its device of all; all do their steps in the same way."""

    def join(self, check: Callable[[], None]) -> None:
        """Wait until the other processes are ready; what `check` raises meanwhile ends the wait."""

    def begin_load(self, folder: Path) -> None:
        """Have the others go on from the state in a folder, too."""

    def begin_step(self, batches: Sequence[Batch], step: int, share: float) -> None:
        """Have the others make the same optimizer step (see Learner.step)."""

    # --- what every process does --------------------------------------------------------------------------------------
    def share_of(self, pictures: int) -> range:
        """Places of a step's pictures that are this process's: at most one more than another's, perhaps none."""
        return range(self.rank * pictures // self.size, (self.rank + 1) * pictures // self.size)

    def sum(self, weights: Collection[Parameter], loss: Tensor) -> Tensor:
        """Put the sum over all processes into each weight's gradient; returns the sum of the losses (a scalar).

        A weight that no process has a gradient for gets none: optimizers leave it alone, without decay. Raises
        LostProcess.
        """
        if self._group is None:
            return loss
        try:
            flags = self._group.anywhere([weight.grad is not None for weight in weights])
        except RuntimeError as error:
            raise self._lost() from error
        reached = [weight for weight, flag in zip(weights, flags, strict=True) if flag]
        parts = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in reached]
        flat = torch.cat([part.detach().flatten().float() for part in (*parts, loss)])
        try:
            self._group.sum(flat)
        except RuntimeError as error:
            raise self._lost() from error
        *sums, total = torch.split(flat, [part.numel() for part in (*parts, loss)])
        for weight, value in zip(reached, sums, strict=True):
            weight.grad = value.view_as(weight).to(weight.dtype)
        return total.view_as(loss)

    def enter(self, store: Store, device: torch.device) -> None:
        """Meet the others, who come now as well. Raises LostProcess."""
        try:
            self._group = Group(self.rank, self.size, store, device)
        except RuntimeError as error:
            raise self._lost() from error

    def close(self) -> None:
        """Leave the others."""
        if self._group is not None:
            self._group.leave()
            self._group = None

    def _lost(self) -> LostProcess:
        message = "Another process of this training ended; another attempt goes on from the last saved state."
        return LostProcess(Failed(code="crashed", message=message, retry=True))
