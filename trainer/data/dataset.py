"""The training set in memory: what each picture contributes to a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.contract.spec import JobSpec
from trainer.data.buckets import Bucket, Fit, bucket_for, fit
from trainer.data.caption import caption_for_step
from trainer.data.latents import encode_latent
from trainer.data.pictures import upright_size
from trainer.data.preserved import without_trigger
from trainer.data.randomness import generator
from trainer.data.texts import TextCache
from trainer.model.device import send


@dataclass(frozen=True, slots=True)
class Conditioned:
    """One batch, on the device."""

    latents: Tensor
    """`(b, 4, h/8, w/8)` fp32: fresh draws from the VAE's posterior, times its scaling factor."""
    text: Tensor
    """`(b, 77, c)`: both encoders' hidden states."""
    pooled: Tensor
    """`(b, p)`: the second encoder's projection."""
    time_ids: Tensor
    """`(b, 6)` fp32: original (h, w), crop (top, left), target (h, w) in pixels."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """All pictures of a job, encoded; indexed by their place in the spec."""

    captions: Sequence[str]
    fits: Sequence[Fit]
    latents: Sequence[Tensor]
    """Mean and deviation `(2, 4, h/8, w/8)` of each, fp32 on the device."""
    texts: TextCache
    scaling_factor: float
    """Of the VAE: what brings its latents to about unit variance (0.13025 for SDXL)."""
    config: TrainConfig
    trigger: str = ""
    """The word that stands for the subject."""

    @property
    def buckets(self) -> list[Bucket]:
        """The bucket of each picture."""
        return [fitted.bucket for fitted in self.fits]

    def batch(self, pictures: Sequence[int], step: int, first: int) -> Conditioned:
        """The pictures as the UNet sees them in this step; `first` is the place of the first one in the step."""
        places = range(first, first + len(pictures))
        latents = self._draw(pictures, step, places)
        return self._conditioned(pictures, latents, self._captions(pictures, step, places))

    def is_preserved(self, picture: int) -> bool:
        """True where the caption holds the trigger word: without it there is another caption to keep as it is."""
        return without_trigger(self.captions[picture], self.trigger) != self.captions[picture]

    def preserved(self, pictures: Sequence[int], step: int, places: Sequence[int]) -> Conditioned:
        """Pictures of this step as `batch` draws them at their places, captioned without the trigger word.

        A caption left out in this step comes whole: the empty one is not what is to be kept.
        """
        shown = self._captions(pictures, step, places)
        captions = [
            without_trigger(caption or self.captions[picture], self.trigger)
            for picture, caption in zip(pictures, shown, strict=True)
        ]
        return self._conditioned(pictures, self._draw(pictures, step, places), captions)

    def _captions(self, pictures: Sequence[int], step: int, places: Sequence[int]) -> list[str]:
        return [
            caption_for_step(self.captions[picture], self.config, step, place)
            for picture, place in zip(pictures, places, strict=True)
        ]

    def _conditioned(self, pictures: Sequence[int], latents: Tensor, captions: Sequence[str]) -> Conditioned:
        text, pooled = self.texts.embeddings(captions)
        time_ids = torch.tensor([self.fits[picture].time_ids for picture in pictures], dtype=torch.float32)
        return Conditioned(latents, text, pooled, send(time_ids, latents.device))

    def _draw(self, pictures: Sequence[int], step: int, places: Sequence[int]) -> Tensor:
        """A fresh draw from each picture's posterior, scaled: `(b, 4, h/8, w/8)`."""
        mean, deviation = torch.stack([self.latents[picture] for picture in pictures]).unbind(1)
        noise = torch.stack(
            [torch.randn(mean.shape[1:], generator=generator(self.config.seed, "latent", step, i)) for i in places]
        )
        return (mean + deviation * send(noise, mean.device)) * self.scaling_factor


def fits_of(paths: Sequence[Path], config: TrainConfig) -> list[Fit]:
    """How each picture comes into its bucket; raises BadPicture."""
    sizes = [upright_size(path) for path in paths]
    return [
        fit(*size, bucket_for(*size, config.resolution, config.bucket_step, square=config.square)) for size in sizes
    ]


def encode_all(
    spec: JobSpec,
    paths: Sequence[Path],
    config: TrainConfig,
    vae: AutoencoderKL,
    texts: TextCache,
    progress: Callable[[int, int], None],
) -> TrainingSet:
    """Encode every picture and every caption known beforehand; calls `progress(done, total)` after each picture.

    Raises BadPicture; whatever `progress` raises ends it.
    """
    fits = fits_of(paths, config)
    captions = [picture.caption for picture in spec.pictures]
    if config.caption_dropout:
        texts.keep("")
    latents = []
    for path, fitted, caption in zip(paths, fits, captions, strict=True):
        latents.append(encode_latent(vae, path, fitted))
        if not config.shuffle_caption:
            texts.keep(caption)
            if config.preservation_weight:
                texts.keep(without_trigger(caption, spec.trigger))
        progress(len(latents), len(paths))
    return TrainingSet(captions, fits, latents, texts, vae.config.scaling_factor, config, spec.trigger)
