"""One optimizer step: the base frozen, the LoRA learning. Nothing here waits for the device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor
from torch.nn import Parameter, functional

from trainer.contract.config import TrainConfig
from trainer.data.dataset import Conditioned, TrainingSet
from trainer.data.sampler import Batch
from trainer.model.base import BaseModel
from trainer.model.device import Numbers, autocast, device_errors
from trainer.model.lora import lora_weight
from trainer.training.loss import Diffusion, Noise, draw_noise
from trainer.training.preservation import rows_to_preserve

SMOOTHING = 0.98
"""Share of the smoothed loss kept at each step: an average over about the last 50 steps."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the UNet is shown in one forward pass."""

    noised: Tensor
    """`(b, 4, h/8, w/8)` fp32."""
    timesteps: Tensor
    """`(b,)` int64."""
    text: Tensor
    """`(b, n, c)`."""
    pooled: Tensor
    """`(b, p)`."""
    time_ids: Tensor
    """`(b, 6)` fp32."""

    @classmethod
    def of(cls, diffusion: Diffusion, seen: Conditioned, noise: Noise) -> Shown:
        """The batch under its noise."""
        noised = diffusion.noised(seen.latents, noise)
        return cls(noised, noise.timesteps, seen.text, seen.pooled, seen.time_ids)

    def fits(self, other: Shown) -> bool:
        """True where both can go through the UNet together: their texts are equally long."""
        return self.text.shape[1] == other.text.shape[1]

    def joined(self, other: Shown) -> Shown:
        """Both, one below the other."""
        parts = zip(_parts(self), _parts(other), strict=True)
        return Shown(*(torch.cat(pair) for pair in parts))


def _parts(shown: Shown) -> tuple[Tensor, ...]:
    return shown.noised, shown.timesteps, shown.text, shown.pooled, shown.time_ids


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
                losses, preserved = self._losses(batch, step, first)
                loss = losses.sum() / pictures
                whole = loss + self._config.preservation_weight * preserved.sum() / pictures
                whole.backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
                first += len(batch)
            norm = torch.nn.utils.clip_grad_norm_(self.weights.values(), self._config.max_grad_norm or math.inf)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self.tally.add(total, norm)

    def _losses(self, batch: Batch, step: int, first: int) -> tuple[Tensor, Tensor]:
        """Loss of each picture of the batch `(b,)`, and of each one shown once more for preservation `(k,)`."""
        seen = self._data.batch(batch, step, first)
        noise = draw_noise(seen.latents.shape[1:], range(first, first + len(batch)), step, self._config, self.device)
        shown = Shown.of(self._diffusion, seen, noise)
        rows = rows_to_preserve(batch, step, first, self._config, self._data.is_preserved)
        if rows:
            answer, drift = self._with_preserved(shown, self._shown_again(batch, rows, step, first))
        else:
            answer, drift = self._predict(shown), torch.zeros((0,), device=self.device)
        return self._diffusion.loss(answer, seen.latents, noise, self._config.min_snr_gamma), drift

    def _with_preserved(self, shown: Shown, again: Shown) -> tuple[Tensor, Tensor]:
        """The answer to what is shown, and how far each answer to what is shown once more is from the base's `(k,)`."""
        with torch.no_grad(), lora_weight(self._unet, 0.0):
            kept = self._predict(again)
        if shown.fits(again):
            both, rows = self._predict(shown.joined(again)), len(shown.timesteps)
            answer, moved = both[:rows], both[rows:]
        else:
            answer, moved = self._predict(shown), self._predict(again)
        return answer, functional.mse_loss(moved.float(), kept.float(), reduction="none").mean(dim=(1, 2, 3))

    def _shown_again(self, batch: Batch, rows: Sequence[int], step: int, first: int) -> Shown:
        """The rows' pictures captioned without the trigger word, under noise of their own."""
        places = [first + row for row in rows]
        seen = self._data.preserved([batch[row] for row in rows], step, places)
        noise = draw_noise(seen.latents.shape[1:], places, step, self._config, self.device, "preserved noise")
        return Shown.of(self._diffusion, seen, noise)

    def _predict(self, shown: Shown) -> Tensor:
        """What the UNet says, `(b, 4, h/8, w/8)`."""
        numbers = self._numbers.base
        with self.forward():
            answer: Tensor = self._unet(
                shown.noised.to(numbers),
                shown.timesteps,
                encoder_hidden_states=shown.text.to(numbers),
                added_cond_kwargs={"text_embeds": shown.pooled.to(numbers), "time_ids": shown.time_ids},
            ).sample
        return answer

    def forward(self) -> AbstractContextManager[None]:
        """The number formats of the UNet's forward passes, in training and in samples alike."""
        return autocast(self.device, self._numbers)

    def is_sound(self) -> bool:
        """False once a loss, a gradient or a weight was not a number. Waits for the device."""
        norms = torch.stack(torch._foreach_norm([weight.detach() for weight in self.weights.values()]))
        return bool(self.tally.sound & torch.isfinite(norms).all())
