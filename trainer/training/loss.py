"""The loss of a diffusion model that predicts noise or velocity (Ho et al. 2020; Salimans and Ho 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.nn import functional

from trainer.contract.config import TrainConfig
from trainer.data.randomness import generator
from trainer.model.device import send


@dataclass(frozen=True, slots=True)
class Noise:
    """What one batch is disturbed with."""

    noise: Tensor
    """`(b, 4, h/8, w/8)` fp32, unit variance (plus the offset)."""
    timesteps: Tensor
    """`(b,)` int64, 0 (clean) to 999 (noise)."""


def draw_noise(
    shape: Sequence[int],
    places: Sequence[int],
    step: int,
    config: TrainConfig,
    device: torch.device,
    purpose: str = "noise",
) -> Noise:
    """Noise and timestep for the pictures at these places of a step, each a latent of `shape` (4, h/8, w/8).

    They depend on the seed, the step, the purpose and the picture's place alone, not on how a step is cut into
    batches. Timesteps are uniform, as in every SDXL trainer.
    """
    noises, timesteps = [], []
    for place in places:
        chance = generator(config.seed, purpose, step, place)
        timesteps.append(torch.randint(0, 1000, (1,), generator=chance))
        noise = torch.randn(tuple(shape), generator=chance)
        if config.noise_offset:
            noise = noise + config.noise_offset * torch.randn((shape[0], 1, 1), generator=chance)
        noises.append(noise)
    return Noise(send(torch.stack(noises), device), send(torch.cat(timesteps), device))


class Diffusion:
    """The forward process of a base model: what is shown to the UNet, what it should say, and how much it counts."""

    def __init__(self, scheduler_config: Mapping[str, Any], prediction_type: str, device: torch.device) -> None:
        known = {key: value for key, value in scheduler_config.items() if key in _NOISE_SCHEDULE}
        self._scheduler = DDPMScheduler(**known, prediction_type=prediction_type)
        self._scheduler.alphas_cumprod = self._scheduler.alphas_cumprod.to(device)
        self._velocity = prediction_type == "v_prediction"

    def noised(self, latents: Tensor, noise: Noise) -> Tensor:
        """sqrt(a) x + sqrt(1 - a) e, with a the product of alphas at each timestep."""
        result: Tensor = self._scheduler.add_noise(latents, noise.noise, noise.timesteps)
        return result

    def target(self, latents: Tensor, noise: Noise) -> Tensor:
        """The noise e, or the velocity sqrt(a) e - sqrt(1 - a) x."""
        if not self._velocity:
            return noise.noise
        result: Tensor = self._scheduler.get_velocity(latents, noise.noise, noise.timesteps)
        return result

    def weights(self, timesteps: Tensor, gamma: float) -> Tensor:
        """Min-SNR weight of each timestep (arXiv:2303.09556): min(snr, gamma) / snr, or / (snr + 1) for velocity."""
        alphas: Tensor = self._scheduler.alphas_cumprod[timesteps]
        snr = alphas / (1.0 - alphas)
        return snr.clamp(max=gamma) / (snr + 1.0 if self._velocity else snr)

    def loss(self, prediction: Tensor, latents: Tensor, noise: Noise, gamma: float) -> Tensor:
        """Each picture's mean squared error `(b,)`, in fp32, min-SNR weighted when `gamma` is above 0."""
        errors = functional.mse_loss(prediction.float(), self.target(latents, noise).float(), reduction="none")
        each = errors.mean(dim=(1, 2, 3))
        return each * self.weights(noise.timesteps, gamma) if gamma > 0 else each


_NOISE_SCHEDULE = frozenset(
    {"beta_start", "beta_end", "beta_schedule", "trained_betas", "num_train_timesteps", "rescale_betas_zero_snr"}
)
"""What of a scheduler's config describes the noise of training; the rest is about sampling."""
