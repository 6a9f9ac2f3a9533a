"""What a picture is disturbed with in a step: noise, and a timestep. All of it belongs to (seed, step, place)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.data.randomness import generator
from trainer.model.device import send


@dataclass(frozen=True, slots=True)
class Noise:
    """What one batch is disturbed with."""

    noise: Tensor
    """`(b, 4, h/8, w/8)` fp32, unit variance (plus the offset): what the UNet should tell apart."""
    added: Tensor
    """The same with the input perturbation on top: what it is shown."""
    timesteps: Tensor
    """`(b,)` int64, 0 (clean) to 999 (noise)."""


def draw_noise(latents: Tensor, places: Sequence[int], step: int, config: TrainConfig, purpose: str = "noise") -> Noise:
    """Noise and timestep for the pictures at these places of a step, with latents `(b, 4, h/8, w/8)`.

    They depend on the seed, the step, the purpose and the picture's place alone, not on how a step is cut into
    batches. Whatever the settings, the first draws are the timestep and the noise, so these stay what they are when
    an offset or a perturbation is switched on.
    """
    shape, device = tuple(latents.shape[1:]), latents.device
    chances = [generator(config.seed, purpose, step, place) for place in places]
    # Doubles: a float32 share of 1000 timesteps would favour some by rounding.
    shares = [torch.rand((), generator=chance, dtype=torch.float64).item() for chance in chances]
    timesteps = torch.tensor([timestep_at(share, config) for share in shares])
    noise = _normal(shape, chances, device)
    if config.noise_offset:
        noise = noise + offset_strength(latents, config) * _normal((shape[0], 1, 1), chances, device)
    added = noise
    if config.input_perturbation:
        added = noise + config.input_perturbation * _normal(shape, chances, device)
    return Noise(noise, added, send(timesteps, device))


def timestep_at(share: float, config: TrainConfig) -> int:
    """The timestep below which this share (0 to 1, 1 excluded) of all draws lies: the inverse of their distribution.

    t = min_timestep + floor((max_timestep - min_timestep) F(share)), with F(u) for
    - `uniform`: u (every SDXL trainer's default);
    - `sigmoid`: 1 / (1 + exp(-z)), z the standard normal's quantile of u (logit-normal, arXiv:2403.03206 eq. 19);
    - `structure`: sqrt(u), so that a timestep's density rises in proportion to it: 2 t / T;
    - `detail`: 1 - sqrt(1 - u), the same mirrored: 2 (1 - t / T).
    """
    place = share
    if config.timestep_sampling == "sigmoid":
        place = 1.0 / (1.0 + math.exp(-NormalDist().inv_cdf(max(share, 2.0**-53))))
    elif config.timestep_sampling == "structure":
        place = math.sqrt(share)
    elif config.timestep_sampling == "detail":
        place = 1.0 - math.sqrt(1.0 - share)
    span = config.max_timestep - config.min_timestep
    return config.min_timestep + min(span - 1, int(span * place))


def offset_strength(latents: Tensor, config: TrainConfig) -> Tensor:
    """How strong each channel's offset is, `(b, 4, 1, 1)`: noise_offset + adaptive_noise_scale |mean|, at least 0.

    sd-scripts' formula (kohya-ss/sd-scripts, library/custom_train_functions.py, apply_noise_offset).
    """
    mean = latents.mean(dim=(2, 3), keepdim=True).abs()
    return (config.noise_offset + config.adaptive_noise_scale * mean).clamp(min=0.0)


def _normal(shape: Sequence[int], chances: Sequence[torch.Generator], device: torch.device) -> Tensor:
    return send(torch.stack([torch.randn(tuple(shape), generator=chance) for chance in chances]), device)
