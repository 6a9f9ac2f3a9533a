"""What every sampler is to the code that draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

Predict = Callable[[Tensor, Tensor], Tensor]
"""The UNet's guided prediction for latents `(n, 4, h, w)` of variance about 1 at a timestep of 0..999."""


class Solver(Protocol):
    """Draws latents from noise."""

    def run(
        self, noise: Tensor, generators: Sequence[torch.Generator], predict: Predict, begin: Callable[[], None]
    ) -> Tensor:
        """Latents `(n, 4, h, w)` in fp32 from standard normal noise; `begin` is called before each step.

        generators: one a picture, on the CPU, for samplers that add noise as they go.
        """
