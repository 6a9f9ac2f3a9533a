"""One optimizer step: the base frozen, the LoRA learning. Nothing here waits for the device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor
from torch.nn import Parameter

from trainer.contract.config import TrainConfig
from trainer.data.dataset import TrainingSet
from trainer.data.sampler import Batch
from trainer.model.base import BaseModel
from trainer.model.device import Numbers, autocast, device_errors
from trainer.training.loss import Diffusion, draw_noise

SMOOTHING = 0.98
"""Share of the smoothed loss kept at each step: an average over about the last 50 steps."""


@dataclass(slots=True)
class Tally:
    """Losses so far, kept on the device until somebody asks."""

    loss: Tensor
    smoothed: Tensor | None
    sound: Tensor
    """False once any loss or gradient was not a number."""

    def add(self, loss: Tensor, gradient_norm: Tensor) -> None:
        """Count a step in."""
        self.loss = loss
        self.smoothed = loss if self.smoothed is None else torch.lerp(loss, self.smoothed, SMOOTHING)
        self.sound = self.sound & torch.isfinite(loss) & torch.isfinite(gradient_norm)


class Learner:
    """The UNet with its LoRA, the optimizer, and the training set."""

    def __init__(
        self,
        base: BaseModel,
        weights: Mapping[str, Parameter],
        data: TrainingSet,
        config: TrainConfig,
        numbers: Numbers,
    ) -> None:
        self.weights = dict(weights)
        self.device: torch.device = base.unet.device
        self._unet = base.unet
        self._data = data
        self._config = config
        self._numbers = numbers
        self._diffusion = Diffusion(base.scheduler_config, base.prediction_type, self.device)
        self.optimizer = torch.optim.AdamW(
            self.weights.values(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=self.device.type == "cuda",
        )
        self.tally = Tally(
            torch.zeros((), device=self.device), None, torch.ones((), dtype=torch.bool, device=self.device)
        )
        # Under autocast the LoRA's inputs are cast where they are used; PEFT's own cast to fp32 would only copy them.
        for module in self._unet.modules():
            if isinstance(module, LoraLayer):
                module.cast_input_dtype_enabled = numbers.autocast is None
        if config.gradient_checkpointing:
            self._unet.enable_gradient_checkpointing()

    def step(self, batches: Sequence[Batch], step: int, rate: float) -> None:
        """Optimizer step number `step` (from 1) over the batches; every picture counts alike, however they are cut."""
        pictures = sum(map(len, batches))
        if not self._unet.training:
            self._unet.train()
        with device_errors(self._config.batch_size):
            total = torch.zeros((), device=self.device)
            first = 0
            for batch in batches:
                loss = self._losses(batch, step, first).sum() / pictures
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
                first += len(batch)
            norm = torch.nn.utils.clip_grad_norm_(self.weights.values(), self._config.max_grad_norm or math.inf)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self.tally.add(total, norm)

    def _losses(self, batch: Batch, step: int, first: int) -> Tensor:
        """Loss of each picture of the batch, `(b,)`."""
        seen = self._data.batch(batch, step, first)
        noise = draw_noise(seen.latents.shape, self._config, step, first, self.device)
        noised = self._diffusion.noised(seen.latents, noise)
        with self.forward():
            prediction = self._unet(
                noised.to(self._numbers.base),
                noise.timesteps,
                encoder_hidden_states=seen.text.to(self._numbers.base),
                added_cond_kwargs={"text_embeds": seen.pooled.to(self._numbers.base), "time_ids": seen.time_ids},
            ).sample
        return self._diffusion.loss(prediction, seen.latents, noise, self._config.min_snr_gamma)

    def forward(self) -> AbstractContextManager[None]:
        """The number formats of the UNet's forward passes, in training and in samples alike."""
        return autocast(self.device, self._numbers)

    def is_sound(self) -> bool:
        """False once a loss, a gradient or a weight was not a number. Waits for the device."""
        norms = torch.stack(torch._foreach_norm([weight.detach() for weight in self.weights.values()]))
        return bool(self.tally.sound & torch.isfinite(norms).all())
