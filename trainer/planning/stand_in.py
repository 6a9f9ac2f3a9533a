"""Stand-ins of full size: a UNet with random weights, and pictures and texts of random numbers.

Speed and memory do not depend on what numbers say, so a card can be tried out before the base model is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from trainer.contract.config import TrainConfig
from trainer.contract.durable import sha256_file
from trainer.contract.limits import LATENT_FACTOR
from trainer.data.buckets import Bucket, fit
from trainer.data.dataset import Encoded, TrainingSet, View
from trainer.data.preserved import KeptCaptions
from trainer.model.base import BaseModel
from trainer.model.device import Numbers
from trainer.planning.architecture import Architecture
from trainer.planning.simulate import TEXT_LENGTH

VAE_SCALE = 0.13025
"""Of SDXL's latents."""
_TRIGGER = "trigger"


def random_base(base: Architecture, numbers: Numbers, device: torch.device) -> BaseModel:
    """The base's UNet with small random weights, and nothing beside it."""
    nothing: Any = nn.Identity()
    return BaseModel(
        unet=random_part(base, "unet", numbers.base, device),
        vae=nothing,
        text_encoder=nothing,
        text_encoder_2=nothing,
        tokenizer=None,
        tokenizer_2=None,
        scheduler_config={"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
        prediction_type="epsilon",
        zeros_for_empty_prompt=True,
        name="stand-in",
        sha256="",
    )


def random_part(base: Architecture, part: str, dtype: torch.dtype, device: torch.device) -> Any:
    """One of the base's parts with small random weights, made on the device; frozen."""
    model = base.build(part, dtype).to_empty(device=device)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data.normal_(std=0.02)
        else:  # a text encoder's table of places, its only buffer
            tensor.copy_(torch.arange(tensor.shape[-1], device=device).expand_as(tensor))
    return model


def random_reader(base: Architecture, numbers: Numbers, device: torch.device) -> Callable[[int], None]:
    """Both text encoders, which read so many texts of one chunk together. Making tokens of them is left out."""
    encoders = [random_part(base, part, numbers.base, device) for part in ("text_encoder", "text_encoder_2")]

    @torch.no_grad()
    def read(texts: int) -> None:
        tokens = torch.zeros(texts, TEXT_LENGTH, dtype=torch.long, device=device)
        for encoder in encoders:
            encoder(tokens, output_hidden_states=True)

    return read


def random_set(
    base: Architecture, config: TrainConfig, pictures: int, chunks: int, numbers: Numbers, device: torch.device
) -> TrainingSet:
    """A training set of so many square pictures, with texts of so many chunks."""
    side = config.resolution
    latent = torch.randn(2, 4, side // LATENT_FACTOR, side // LATENT_FACTOR, device=device)
    view = View(fit(side, side, Bucket(side, side)), latent)
    encoded = [Encoded(caption=f"{_TRIGGER}, {number}", views=(view, view)) for number in range(pictures)]
    return TrainingSet(encoded, _Texts(base, chunks, numbers, device), VAE_SCALE, config, KeptCaptions(_TRIGGER))


def random_picture(folder: Path, side: int) -> Path:
    """A square picture as a PNG file, named by its sha256: blurred spots of 8 pixels, for noise would be harder to
    compress than a photograph, and one colour far easier.
    """
    spots = Image.effect_noise((side // LATENT_FACTOR, side // LATENT_FACTOR), 64)
    path = folder / "picture.png"
    spots.resize((side, side), Image.Resampling.BICUBIC).convert("RGB").save(path)
    return path.rename(path.with_stem(sha256_file(path)))


class _Texts:
    """Random embeddings of the right size."""

    def __init__(self, base: Architecture, chunks: int, numbers: Numbers, device: torch.device) -> None:
        unet = base.config("unet")
        pooled = unet["projection_class_embeddings_input_dim"] - 6 * unet["addition_time_embed_dim"]
        self._text = torch.randn(1, TEXT_LENGTH * chunks, unet["cross_attention_dim"], device=device).to(numbers.base)
        self._pooled = torch.randn(1, pooled, device=device).to(numbers.base)

    def keep(self, caption: str) -> None:
        """See trainer.data.texts.Texts."""

    def embeddings(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """See trainer.data.texts.Texts."""
        return self._text.expand(len(captions), -1, -1), self._pooled.expand(len(captions), -1)
