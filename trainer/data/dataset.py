"""The training set in memory: what each picture contributes to a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.contract.epoch import held_back, repeats_in_epoch
from trainer.contract.spec import JobSpec
from trainer.data.buckets import Bucket, Fit, fit_picture
from trainer.data.caption import caption_for_step, tags_change
from trainer.data.latents import LatentEncoder
from trainer.data.pictures import open_mask, to_mask, upright_size
from trainer.data.preserved import KeptCaptions
from trainer.data.randomness import derive, generator
from trainer.data.texts import Texts
from trainer.errors import BadPicture
from trainer.model.device import send


@dataclass(frozen=True, slots=True)
class Conditioned:
    """One batch, on the device."""

    latents: Tensor
    """`(b, 4, h/8, w/8)` fp32: fresh draws from the VAE's posterior, times its scaling factor."""
    text: Tensor
    """`(b, 77 n, c)`: both encoders' hidden states, of n chunks."""
    pooled: Tensor
    """`(b, p)`: the second encoder's projection."""
    time_ids: Tensor
    """`(b, 6)` fp32: original (h, w), crop (top, left), target (h, w) in pixels."""
    weights: Tensor
    """`(b,)` fp32: how much each picture counts in the loss: `prior_weight` for regularisation pictures, else 1."""
    masks: Tensor | None
    """`(b, 1, h/8, w/8)` fp32, 0 to 1: where the loss counts; None where it counts everywhere."""


@dataclass(frozen=True, slots=True)
class View:
    """A picture in its bucket, one way round, as the VAE sees it."""

    fit: Fit
    latent: Tensor
    """Mean and deviation `(2, 4, h/8, w/8)`, fp32 on the device."""
    mask: Tensor | None = None
    """`(1, h/8, w/8)` fp32 on the device, 0 to 1: where the loss counts; None for everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One picture of the set."""

    caption: str
    views: tuple[View, ...]
    """As it is; where pictures are flipped, mirrored too."""
    repeats: int = 1
    """How often it comes in one epoch; 0 for one that is held back, or not needed."""
    held_back: bool = False
    weight: float = 1.0
    """How much it counts in the loss."""


@dataclass(frozen=True)
class TrainingSet:
    """All pictures of a job, encoded; indexed by their place in the spec."""

    pictures: Sequence[Encoded]
    texts: Texts
    scaling_factor: float
    """Of the VAE: what brings its latents to about unit variance (0.13025 for SDXL)."""
    config: TrainConfig
    kept: KeptCaptions
    """The captions without the trigger word."""

    @property
    def buckets(self) -> list[Bucket]:
        """The bucket of each picture."""
        return [picture.views[0].fit.bucket for picture in self.pictures]

    @property
    def repeats(self) -> list[int]:
        """How often each picture comes in one epoch; 0 for those held back."""
        return [picture.repeats for picture in self.pictures]

    @cached_property
    def training(self) -> list[int]:
        """Numbers of the pictures to train on."""
        return [number for number, picture in enumerate(self.pictures) if picture.repeats]

    @cached_property
    def validation(self) -> list[int]:
        """Numbers of the pictures held back to measure on."""
        return [number for number, picture in enumerate(self.pictures) if picture.held_back]

    def batch(self, pictures: Sequence[int], step: int, first: int) -> Conditioned:
        """The pictures as the UNet sees them in this step; `first` is the place of the first one in the step."""
        places = range(first, first + len(pictures))
        return self._drawn(pictures, step, places, self._captions(pictures, step, places))

    def measured(self, pictures: Sequence[int]) -> Conditioned:
        """The pictures as a loss is measured on them: nothing drawn, mirrored or left out, so it is always the same."""
        views = [self.pictures[picture].views[0] for picture in pictures]
        latents = torch.stack([view.latent[0] for view in views]) * self.scaling_factor
        return self._conditioned(pictures, views, latents, [self.pictures[picture].caption for picture in pictures])

    def is_preserved(self, picture: int) -> bool:
        """True where the caption holds the trigger word: without it there is another caption to keep as it is."""
        return self.kept.concerns(self.pictures[picture].caption)

    def preserved(self, pictures: Sequence[int], step: int, places: Sequence[int]) -> Conditioned:
        """Pictures of this step as `batch` draws them at their places, captioned without the trigger word.

        A caption left out in this step comes whole: the empty one is not what is to be kept.
        """
        shown = self._captions(pictures, step, places)
        captions = [
            self.kept.at(caption or self.pictures[picture].caption, picture, step, place)
            for picture, caption, place in zip(pictures, shown, places, strict=True)
        ]
        return self._drawn(pictures, step, places, captions)

    def _captions(self, pictures: Sequence[int], step: int, places: Sequence[int]) -> list[str]:
        return [
            caption_for_step(self.pictures[picture].caption, self.config, step, place)
            for picture, place in zip(pictures, places, strict=True)
        ]

    def _drawn(self, pictures: Sequence[int], step: int, places: Sequence[int], captions: Sequence[str]) -> Conditioned:
        """Each picture the way round it is shown at its place, with a fresh draw from its posterior."""
        views = [
            self.pictures[picture].views[-1 if self._is_mirrored(step, place) else 0]
            for picture, place in zip(pictures, places, strict=True)
        ]
        mean, deviation = torch.stack([view.latent for view in views]).unbind(1)
        noise = torch.stack(
            [torch.randn(mean.shape[1:], generator=generator(self.config.seed, "latent", step, i)) for i in places]
        )
        latents = (mean + deviation * send(noise, mean.device)) * self.scaling_factor
        return self._conditioned(pictures, views, latents, captions)

    def _is_mirrored(self, step: int, place: int) -> bool:
        return self.config.flip and derive(self.config.seed, "flip", step, place) % 2 == 1

    def _conditioned(
        self, pictures: Sequence[int], views: Sequence[View], latents: Tensor, captions: Sequence[str]
    ) -> Conditioned:
        text, pooled = self.texts.embeddings(captions)
        time_ids = torch.tensor([view.fit.time_ids for view in views], dtype=torch.float32)
        weights = torch.tensor([self.pictures[picture].weight for picture in pictures], dtype=torch.float32)
        return Conditioned(
            latents, text, pooled, send(time_ids, latents.device), send(weights, latents.device), _masks(views)
        )


def _masks(views: Sequence[View]) -> Tensor | None:
    """The views' masks `(b, 1, h/8, w/8)`, white for those without; None where nobody has one."""
    if all(view.mask is None for view in views):
        return None
    return torch.stack([torch.ones_like(view.latent[0, :1]) if view.mask is None else view.mask for view in views])


def encode_all(
    spec: JobSpec,
    file: Callable[[str], Path],
    config: TrainConfig,
    encoder: LatentEncoder,
    texts: Texts,
    progress: Callable[[int, int], None],
) -> TrainingSet:
    """Encode every picture and every caption known beforehand; calls `progress(done, total)` after each picture.

    `file` gives the path of a picture or mask by its name. Raises BadPicture; whatever `file` and `progress` raise
    ends it.
    """
    paths = [file(picture.file) for picture in spec.pictures]
    fits = [
        fit_picture(*upright_size(path), config, picture.focus)
        for path, picture in zip(paths, spec.pictures, strict=True)
    ]
    held = held_back(spec.pictures, config.validation_share, config.seed)
    repeats = repeats_in_epoch(spec.pictures, held)
    kept = KeptCaptions.of(spec.trigger, spec.kind, config.seed, len(spec.pictures))
    _keep_texts(spec, config, kept, texts)
    pictures: list[Encoded] = []
    for number, picture in enumerate(spec.pictures):
        mask = open_mask(file(picture.mask), paths[number]) if config.masked_loss and picture.mask else None
        sides = (fits[number], fits[number].mirror()) if config.flip else (fits[number],)
        pictures.append(
            Encoded(
                caption=picture.caption,
                views=tuple(_view(encoder, paths[number], side, mask) for side in sides),
                repeats=repeats[number],
                held_back=number in held,
                weight=config.prior_weight if picture.regularisation else 1.0,
            )
        )
        progress(len(pictures), len(paths))
    encoder.close()
    return TrainingSet(pictures, texts, encoder.scaling_factor, config, kept)


def _view(encoder: LatentEncoder, path: Path, fitted: Fit, mask: Image.Image | None) -> View:
    """The picture that way round; raises BadPicture."""
    latent = encoder.encode(path, fitted)
    if mask is None:
        return View(fitted, latent)
    share = to_mask(mask, fitted)
    if not share.any():
        raise BadPicture(path.name[:12], "has a mask that hides all that is shown of it")
    return View(fitted, latent, send(share, latent.device))


def _keep_texts(spec: JobSpec, config: TrainConfig, kept: KeptCaptions, texts: Texts) -> None:
    """Encode the captions that are known beforehand."""
    if config.caption_dropout:
        texts.keep("")
    if tags_change(config):
        return
    for number, picture in enumerate(spec.pictures):
        texts.keep(picture.caption)
        if config.preservation_weight and kept.concerns(picture.caption):
            for caption in kept.all_of(picture.caption, number):
                texts.keep(caption)
