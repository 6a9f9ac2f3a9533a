"""The forward process of a base model that predicts noise or velocity (Ho et al. 2020; Salimans and Ho 2022)."""

from __future__ import annotations

from dataclasses import replace

from diffusers import DDPMScheduler
from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.contract.errors import InvalidConfig
from trainer.errors import BadBase
from trainer.model.base import BaseModel
from trainer.training.objective.noise import Noise

TIMESTEPS = 1000
"""Of SDXL's noise schedule."""

_PREDICTIONS = {"epsilon": "epsilon", "v-prediction": "v_prediction"}
_NOISE_SCHEDULE = frozenset(
    {"beta_start", "beta_end", "beta_schedule", "trained_betas", "num_train_timesteps", "rescale_betas_zero_snr"}
)
"""What of a scheduler's config describes the noise of training; the rest is about sampling."""


def as_configured(base: BaseModel, config: TrainConfig) -> BaseModel:
    """The base with the settings' word on what it predicts and on its noise schedule, in training and samples alike.

    Raises InvalidConfig for a schedule that ends in pure noise (zero terminal SNR) where noise is predicted: there it
    could say nothing but what it is shown.
    """
    prediction = _PREDICTIONS.get(config.prediction, base.prediction_type)
    schedule = {**base.scheduler_config, "prediction_type": prediction}
    if config.zero_terminal_snr:
        schedule["rescale_betas_zero_snr"] = True
    if schedule.get("rescale_betas_zero_snr") and prediction != "v_prediction":
        raise InvalidConfig(
            "zero_terminal_snr", "needs a base that predicts velocity; if this one does, set prediction = v-prediction"
        )
    return replace(base, prediction_type=prediction, scheduler_config=schedule)


class Diffusion:
    """What is shown to the UNet, what it should say, and how much signal there is."""

    def __init__(self, base: BaseModel) -> None:
        """Of a base `as_configured`. Raises BadBase for a noise schedule that is none, or not as long as SDXL's."""
        known = {key: value for key, value in base.scheduler_config.items() if key in _NOISE_SCHEDULE}
        try:
            self._scheduler = DDPMScheduler(**known, prediction_type=base.prediction_type)
        except (TypeError, ValueError, RuntimeError) as error:  # NotImplementedError, for an unknown kind, is the last
            raise BadBase("The base model's noise schedule cannot be read; choose an SDXL base.") from error
        signal = self._scheduler.alphas_cumprod
        if len(signal) != TIMESTEPS:
            raise BadBase(f"The base model's noise schedule has not SDXL's {TIMESTEPS} timesteps; choose an SDXL base.")
        if not (signal[0] < 1.0 and (signal[:-1] > signal[1:]).all() and signal[-1] >= 0.0):  # false for NaN too
            raise BadBase("The base model's noise schedule does not lead from pictures to noise; choose an SDXL base.")
        self._scheduler.alphas_cumprod = self._scheduler.alphas_cumprod.to(base.unet.device)
        self.predicts_velocity = base.prediction_type == "v_prediction"

    def noised(self, latents: Tensor, noise: Noise) -> Tensor:
        """sqrt(a) x + sqrt(1 - a) e, with a the product of alphas at each timestep."""
        result: Tensor = self._scheduler.add_noise(latents, noise.added, noise.timesteps)
        return result

    def target(self, latents: Tensor, noise: Noise) -> Tensor:
        """The noise e, or the velocity sqrt(a) e - sqrt(1 - a) x."""
        if not self.predicts_velocity:
            return noise.noise
        result: Tensor = self._scheduler.get_velocity(latents, noise.noise, noise.timesteps)
        return result

    def snr(self, timesteps: Tensor) -> Tensor:
        """a / (1 - a), the ratio of the signal's power to the noise's `(b,)`; 0 where all is noise."""
        alphas: Tensor = self._scheduler.alphas_cumprod[timesteps]
        return alphas / (1.0 - alphas)
