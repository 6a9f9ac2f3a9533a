"""Where a run's memory goes: what is held all the time, and what its phases need beside it.

On a GPU cuDNN's convolutions take a workspace on top: the most algorithms lay their maps anew, what they read and what
they write, so as much as the largest convolution's input and output is planned for. That is reckoned; what a card's
cuDNN really takes has not been measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import torch

from trainer.contract.config import Optimizer, TrainConfig
from trainer.contract.limits import LATENT_FACTOR
from trainer.contract.spec import PictureSpec
from trainer.data.caption import tags_change
from trainer.data.preserved import KeptCaptions
from trainer.data.texts import CHUNK, KEPT, trains_text
from trainer.model.device import Numbers
from trainer.planning.architecture import Architecture
from trainer.planning.meter import measuring
from trainer.planning.simulate import TEXT_LENGTH, Simulation
from trainer.planning.way import Way
from trainer.sampling.conditioning import TOGETHER
from trainer.sampling.decode import TILE
from trainer.training.objective.batch import VALIDATION_TIMESTEPS

MOMENTS: Mapping[Optimizer, float] = MappingProxyType(
    {"adamw": 2, "adamw-8bit": 2, "adafactor": 0, "prodigy": 4, "lion": 1, "schedule-free": 2}
)
"""Numbers an optimizer remembers of each weight; Adafactor's are on its rims."""
_BLOCK = 256
"""Weights of bitsandbytes that share one fp32 scale."""
_LETTERS = 3
"""Letters of a token at least, so that a caption is not taken for shorter than it is; four are usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a run asks of each process."""

    pictures: int
    """Of a batch."""
    again: int
    """Of those, shown once more for preservation."""
    images: int
    """In the training set."""
    chunks: int
    """Of 75 tokens, in the longest caption."""
    config: TrainConfig
    processes: int = 1
    """That share every step."""

    @property
    def batches(self) -> int:
        """Forward and backward passes of a step, where each batch goes through the UNet together."""
        return math.ceil(self.config.gradient_accumulation / self.processes)

    @classmethod
    def of(cls, pictures: tuple[PictureSpec, ...], per_epoch: int, config: TrainConfig, processes: int = 1) -> Load:
        """The load of a training set, of which an epoch shows so many pictures."""
        batch = max(1, min(config.batch_size, per_epoch))
        again = max(1, round(config.preservation_share * batch)) if config.preservation_weight else 0
        longest = max((len(picture.caption) for picture in pictures), default=1)
        chunks = min(int(config.caption_tokens) // CHUNK, math.ceil(longest / _LETTERS / CHUNK))
        # The share is cut from the whole step, so a batch of it may be one process's alone.
        own = min(batch, math.ceil(batch * config.gradient_accumulation / processes))
        return cls(
            pictures=own,
            again=min(again, own),
            images=len(pictures),
            chunks=max(1, chunks),
            config=config,
            processes=processes,
        )

    def with_config(self, config: TrainConfig) -> Load:
        """The same load under other settings that leave the batch alone."""
        return replace(self, config=config)

    def rows(self, way: Way) -> int:
        """Rows of the UNet's largest pass: the pictures that are shown once more may all be in one."""
        pictures = min(self.pictures, way.most_pictures or self.pictures)
        return pictures + min(self.again, pictures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Bytes on the device throughout the training."""

    base: float
    """The UNet, and text encoders that are still asked."""
    encoders: float
    """Text encoders that come only for samples …"""
    asked: float
    """… or that are asked all the time, which `base` counts in."""
    lora: float
    """The LoRA's weights and averages."""
    optimizer: float
    gradients: float
    data: float
    """Latents and texts."""
    trained: int
    """Numbers that are trained."""
    on_gpu: bool
    """Convolutions take workspaces there."""

    @property
    def total(self) -> float:
        """Without gradients, which come and go."""
        return self.base + self.lora + self.optimizer + self.data


def held_of(base: Architecture, simulation: Simulation, load: Load, numbers: Numbers, *, on_gpu: bool) -> Held:
    """What stays on the device. On a CPU everything stays: put away is what is nowhere else."""
    config, weight, lora = load.config, numbers.base.itemsize, numbers.lora.itemsize
    encoders = float(sum(_count(base, part) for part in ("text_encoder", "text_encoder_2")) * weight)
    stay = trains_text(config) or tags_change(config) or not on_gpu
    vae = 0 if on_gpu else _count(base, "vae") * 4
    trained = simulation.lora_weights
    averages = (4 if config.ema_decay else 0) * trained
    return Held(
        base=simulation.unet_weights * weight + vae + encoders * stay,
        encoders=encoders * (not stay),
        asked=encoders * stay,
        lora=trained * lora + averages,
        optimizer=optimizer_bytes(config.optimizer, simulation, lora),
        gradients=trained * lora,
        data=_data(base, load, weight),
        trained=trained,
        on_gpu=on_gpu,
    )


def optimizer_bytes(optimizer: Optimizer, simulation: Simulation, itemsize: int) -> float:
    """What the optimizer remembers of weights of that number format."""
    if optimizer == "adafactor":
        return float(simulation.lora_rims * itemsize)
    size = 1 + 4 / _BLOCK if optimizer == "adamw-8bit" else itemsize
    return MOMENTS[optimizer] * simulation.lora_weights * size


def training_bytes(simulation: Simulation, load: Load, held: Held, way: Way) -> float:
    """Most bytes held in a step."""
    whole = simulation.rows(load.rows(way))
    step = whole.peak(way.recomputed) + held.on_gpu * whole.workspace
    # Of several passes the later ones find the gradients of the first one there.
    found = held.gradients if way.passes(load.pictures) * load.config.gradient_accumulation > 1 else 0.0
    # Processes add up their gradients in one fp32 tensor beside them (see `Team.sum`).
    met = held.gradients + (4.0 * held.trained if load.processes > 1 else 0.0)
    return held.total + max(step + found, met)


def sampling_bytes(base: Architecture, simulation: Simulation, load: Load, held: Held) -> float:
    """Most bytes held while samples are drawn or the loss is validated, decoding apart: see `decoding_bytes`."""
    config = load.config
    drawn = min(TOGETHER, config.sample_count) * (2 if config.sample_guidance > 1 else 1)
    rows = max(drawn, VALIDATION_TIMESTEPS if config.validation_share else 0)
    if not rows:
        return 0.0
    workspace = held.on_gpu * simulation.rows(rows).workspace
    return held.total + max(held.encoders, simulation.forward_peak(rows) + workspace)


@lru_cache(maxsize=64)
def vae_bytes(base: Architecture, side: int, way: str, *, on_gpu: bool) -> float:
    """Most bytes of the VAE, weights included, while it encodes or decodes (`way`) one square picture, in fp32."""
    vae: Any = base.build("vae")
    with torch.device("meta"):
        pixels = torch.zeros(1, 3, side, side)
        latents = torch.zeros(1, vae.config.latent_channels, side // LATENT_FACTOR, side // LATENT_FACTOR)
    with torch.no_grad(), measuring(vae, (), (pixels, latents)) as meter:
        _ = vae.encode(pixels) if way == "encode" else vae.decode(latents)
    return _count(base, "vae") * 4 + meter.stretches[0].rise + on_gpu * meter.workspace


def decoding_bytes(base: Architecture, load: Load, held: Held, room: float) -> float:
    """Most bytes while a sample is decoded: whole where that fits into the room, else in tiles as `decode` does."""
    if not load.config.sample_count:
        return 0.0
    sides = (load.config.resolution, min(load.config.resolution, TILE))
    whole, tiled = (held.total + vae_bytes(base, side, "decode", on_gpu=held.on_gpu) for side in sides)
    return whole if whole <= room else tiled


def encoding_bytes(base: Architecture, load: Load, held: Held) -> float:
    """Most bytes while pictures and texts are encoded: on a GPU the UNet is not there yet."""
    vae = vae_bytes(base, load.config.resolution, "encode", on_gpu=held.on_gpu)
    if held.on_gpu:
        return held.encoders + held.asked + held.data + vae
    return held.base + held.data + vae - _count(base, "vae") * 4


@lru_cache(maxsize=16)
def _count(base: Architecture, part: str) -> int:
    return sum(weight.numel() for weight in base.build(part).parameters())


def _data(base: Architecture, load: Load, itemsize: int) -> float:
    """Mean and deviation of every picture, both ways round where it is mirrored, and the texts that are kept."""
    config, unet = load.config, base.config("unet")
    side = config.resolution // LATENT_FACTOR
    latents = 2 * unet.get("in_channels", 4) * side * side * 4 * (2 if config.flip else 1) * load.images
    captions = 0 if trains_text(config) else KEPT // load.chunks if tags_change(config) else load.images
    if config.preservation_weight:
        captions *= 2 + KeptCaptions.of("", "person", 0, load.images).each
    return float(latents + captions * load.chunks * TEXT_LENGTH * unet["cross_attention_dim"] * itemsize)
