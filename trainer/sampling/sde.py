"""DPM++ SDE: the stochastic differential equation of diffusion, two calls of the UNet a step.

The formulas are k-diffusion's sample_dpmpp_sde (Lu et al. 2022, arXiv:2211.01095, with noise) for eta 1 and r 1/2,
which A1111 uses. With eta 1 both of its half steps come down to one rule, from noise level a to b:

    x  <-  q x + (1 - q) D + b sqrt(1 - q) n,      q = (b / a)^2,  D the denoised picture,  n standard normal

diffusers' scheduler of that name needs the package torchsde for its noise. A step asks for noise over two intervals
only, which two independent draws give with the same law: see `_brownian`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from trainer.sampling.solver import Predict


@dataclass(frozen=True, slots=True)
class StochasticSolver:
    """DPM++ SDE over given noise levels."""

    sigmas: Tensor
    """`(steps + 1,)`, falling, the last one 0."""
    alphas_cumprod: Tensor
    """`(timesteps,)`, the base's own noise schedule."""
    prediction_type: str
    """`epsilon` or `v_prediction`."""

    def run(
        self, noise: Tensor, generators: Sequence[torch.Generator], predict: Predict, begin: Callable[[], None]
    ) -> Tensor:
        """Latents `(n, 4, h, w)` in fp32 from standard normal noise, as `Solver.run` says."""
        sigmas: list[float] = self.sigmas.tolist()
        x = noise * sigmas[0]
        for start, end in pairwise(sigmas):
            begin()
            denoised = self._denoised(x, start, predict)
            if end == 0:
                return denoised
            middle = (start * end) ** 0.5  # half way in log sigma
            first, whole = _brownian(x, generators, start, middle, end)
            between = _move(x, denoised, start, middle, first)
            x = _move(x, self._denoised(between, middle, predict), start, end, whole)
        return x

    def _denoised(self, x: Tensor, sigma: float, predict: Predict) -> Tensor:
        """The picture without noise that the base sees in `x` at this noise level."""
        variance = 1 + sigma**2
        timestep = torch.tensor(self._timestep(sigma), device=x.device, dtype=torch.float32)
        prediction = predict(x / variance**0.5, timestep)
        denoised: Tensor = x - sigma * prediction
        if self.prediction_type == "v_prediction":
            denoised = x / variance - prediction * (sigma / variance**0.5)
        return denoised

    def _timestep(self, sigma: float) -> float:
        """The timestep of a noise level, with its fraction, in the logarithm as in k-diffusion's sigma_to_t."""
        levels = ((1 - self.alphas_cumprod) / self.alphas_cumprod).sqrt().log().numpy()
        return float(np.interp(np.log(sigma), levels, np.arange(len(levels))))


def _move(x: Tensor, denoised: Tensor, start: float, end: float, noise: Tensor) -> Tensor:
    """From one noise level to a lower one: the rule above."""
    kept: float = (end / start) ** 2
    added: float = end * (1 - kept) ** 0.5
    return torch.lerp(denoised, x, kept) + added * noise


def _brownian(
    like: Tensor, generators: Sequence[torch.Generator], start: float, middle: float, end: float
) -> tuple[Tensor, Tensor]:
    """Noise over (start, middle) and over (start, end), each standard normal.

    They are increments of one Brownian path in sigma, each over the root of its length, so the longer one is the
    shorter one and an independent rest, in proportion to the roots of their lengths.
    """
    first, rest = (
        torch.stack([torch.randn(like.shape[1:], generator=generator) for generator in generators]).to(like.device)
        for _ in range(2)
    )
    whole = ((start - middle) ** 0.5 * first + (middle - end) ** 0.5 * rest) / (start - end) ** 0.5
    return first, whole
