"""The loss of a batch: pictures drawn, disturbed, shown to the UNet, its answer judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.data.dataset import Conditioned, TrainingSet
from trainer.data.randomness import derive, generator
from trainer.data.sampler import Batch
from trainer.data.texts import trains_text
from trainer.model.base import BaseModel
from trainer.model.device import Numbers, send
from trainer.model.lora import adapted_layers, lora_weight
from trainer.training.objective.diffusion import Diffusion
from trainer.training.objective.loss import picture_losses
from trainer.training.objective.noise import Noise, draw_noise, timestep_at
from trainer.training.objective.preservation import drift, rows_to_preserve

VALIDATION_TIMESTEPS = 4
"""Timesteps each picture is measured at: the middles of as many equal shares of those that training draws."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the UNet is shown in one forward pass."""

    noised: Tensor
    """`(b, 4, h/8, w/8)` fp32."""
    timesteps: Tensor
    """`(b,)` int64."""
    text: Tensor
    """`(b, 77 n, c)`."""
    pooled: Tensor
    """`(b, p)`."""
    time_ids: Tensor
    """`(b, 6)` fp32."""

    def fits(self, other: Shown) -> bool:
        """True where both can go through the UNet together: their texts are equally long."""
        return self.text.shape[1] == other.text.shape[1]

    def joined(self, other: Shown) -> Shown:
        """Both, one below the other."""
        return Shown(*(torch.cat(pair) for pair in zip(self._parts(), other._parts(), strict=True)))

    def _parts(self) -> tuple[Tensor, ...]:
        return self.noised, self.timesteps, self.text, self.pooled, self.time_ids


class Objective:
    """What the LoRA learns: a picture's loss in a step, and on the pictures held back."""

    def __init__(self, base: BaseModel, data: TrainingSet, config: TrainConfig, numbers: Numbers) -> None:
        """Over a base `as_configured`. Raises BadBase."""
        self._base = base
        self._layers = adapted_layers(base)
        self._data = data
        self._config = config
        self._numbers = numbers
        self._diffusion = Diffusion(base)
        self._trains_text = trains_text(config)

    def losses(self, whole: Batch, step: int, place: int, rows: range | None = None) -> tuple[Tensor, Tensor]:
        """Loss of each picture of the batch `(b,)`, and of each one shown once more for preservation `(k,)`.

        `place` is that of the batch's first picture in the step. With `rows` only those pictures are shown, as they
        would be among the others; but what dropout leaves out is drawn for them alone.
        """
        rows = range(len(whole)) if rows is None else rows
        batch, first = whole[rows.start : rows.stop], place + rows.start
        if self._config.dropout:
            # What is left out belongs to the step and the place as well, so that a resumed run leaves out the same.
            torch.manual_seed(derive(self._config.seed, "dropout", step, first))
        seen = self._data.batch(batch, step, first)
        noise = draw_noise(seen.latents, range(first, first + len(batch)), step, self._config)
        shown = self._shown(seen, noise)
        drawn = rows_to_preserve(whole, step, place, self._config, self._data.is_preserved)
        again = [row - rows.start for row in drawn if row in rows]
        if again:
            answer, drifted = self._with_preserved(shown, batch, again, step, first)
        else:
            answer, drifted = self._predict(shown), shown.noised.new_zeros(0)
        return self._judge(answer, seen, noise) * seen.weights, drifted

    def validation_loss(self, picture: int) -> Tensor:
        """Loss of a picture held back, a scalar: always the same noise and timesteps, nothing left out."""
        config, count = self._config, VALIDATION_TIMESTEPS
        seen = self._data.measured([picture] * count)
        shape, device = seen.latents.shape[1:], seen.latents.device
        drawn = [torch.randn(shape, generator=generator(config.seed, "validation", picture, i)) for i in range(count)]
        timesteps = torch.tensor([timestep_at((i + 0.5) / count, config) for i in range(count)])
        noise = send(torch.stack(drawn), device)
        disturbed = Noise(noise, noise, send(timesteps, device))
        return self._judge(self._predict(self._shown(seen, disturbed)), seen, disturbed).mean()

    def _judge(self, answer: Tensor, seen: Conditioned, noise: Noise) -> Tensor:
        errors = answer.float() - self._diffusion.target(seen.latents, noise).float()
        return picture_losses(errors, noise.timesteps, self._diffusion, self._config, seen.masks)

    def _with_preserved(
        self, shown: Shown, batch: Batch, rows: Sequence[int], step: int, first: int
    ) -> tuple[Tensor, Tensor]:
        """The answer to what is shown, and how far each answer to what is shown once more is from the base's `(k,)`."""
        again = self._shown_again(batch, rows, step, first)
        with torch.no_grad(), lora_weight(self._layers, 0.0):
            # A trained text encoder has to read the captions without its LoRA as well.
            kept = self._predict(self._shown_again(batch, rows, step, first) if self._trains_text else again)
        if shown.fits(again):
            both, count = self._predict(shown.joined(again)), len(batch)
            answer, moved = both[:count], both[count:]
        else:
            answer, moved = self._predict(shown), self._predict(again)
        return answer, drift(moved.float(), kept.float())

    def _shown_again(self, batch: Batch, rows: Sequence[int], step: int, first: int) -> Shown:
        """The rows' pictures captioned without the trigger word, under noise of their own."""
        places = [first + row for row in rows]
        seen = self._data.preserved([batch[row] for row in rows], step, places)
        return self._shown(seen, draw_noise(seen.latents, places, step, self._config, "preserved noise"))

    def _shown(self, seen: Conditioned, noise: Noise) -> Shown:
        noised = self._diffusion.noised(seen.latents, noise)
        return Shown(noised, noise.timesteps, seen.text, seen.pooled, seen.time_ids)

    def _predict(self, shown: Shown) -> Tensor:
        """What the UNet says, `(b, 4, h/8, w/8)`."""
        numbers = self._numbers.base
        answer: Tensor = self._base.unet(
            shown.noised.to(numbers),
            shown.timesteps,
            encoder_hidden_states=shown.text.to(numbers),
            added_cond_kwargs={"text_embeds": shown.pooled.to(numbers), "time_ids": shown.time_ids},
            return_dict=False,
        )[0]
        return answer
