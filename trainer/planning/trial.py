"""How long a step takes on a device, tried out: the job's UNet with random weights, a few real steps as planned."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainer.contract.limits import LATENT_FACTOR
from trainer.data.buckets import Bucket, fit
from trainer.data.dataset import Encoded, TrainingSet, View
from trainer.data.preserved import KeptCaptions
from trainer.model.base import BaseModel
from trainer.model.device import Numbers, device_errors, prepare_device
from trainer.model.lora import attach_lora
from trainer.planning.architecture import Architecture
from trainer.planning.memory import Load
from trainer.planning.simulate import TEXT_LENGTH
from trainer.planning.way import Ways
from trainer.training.learner import Learner

STEPS = 3
"""Steps that are timed, after one in which kernels are chosen."""
LIMIT = 60.0
"""Seconds after which no further step is begun: a CPU may take minutes for one."""
VAE_SCALE = 0.13025
_TRIGGER = "trigger"


def try_step(base: Architecture, load: Load, numbers: Numbers, device: torch.device, ways: Ways) -> float:
    """Seconds of an optimizer step. Text encoders that are trained are left out. Raises OutOfMemory."""
    config = load.config.with_overrides({"text_encoder_1": False, "text_encoder_2": False})
    prepare_device(device)
    with torch.random.fork_rng(devices=[]), device_errors(load.pictures):
        torch.manual_seed(0)
        model = _random(base, numbers, device)
        data = TrainingSet(
            _pictures(load, device), _Texts(base, load.chunks, numbers, device), VAE_SCALE, config, _KEPT
        )
        learner = Learner(model, attach_lora(model, config, 0, dtype=numbers.lora), data, config, numbers, ways=ways)
        batches = [tuple(range(load.pictures))] * config.gradient_accumulation
        begun, seconds = time.perf_counter(), []
        for step in range(1, STEPS + 2):
            before = time.perf_counter()
            learner.step(batches, step, 1.0)
            bool(learner.tally.sound)  # waits for the device
            seconds.append(time.perf_counter() - before)
            if time.perf_counter() - begun > LIMIT:
                break
    return statistics.median(seconds[1:] or seconds)


_KEPT = KeptCaptions(_TRIGGER)


def _random(base: Architecture, numbers: Numbers, device: torch.device) -> BaseModel:
    """The base's UNet with small random weights, and nothing beside it."""
    unet: Any = base.build("unet", numbers.base).to_empty(device=device)
    for tensor in (*unet.parameters(), *unet.buffers()):
        tensor.data.normal_(std=0.02)
    nothing: Any = nn.Identity()
    return BaseModel(
        unet=unet,
        vae=nothing,
        text_encoder=nothing,
        text_encoder_2=nothing,
        tokenizer=None,
        tokenizer_2=None,
        scheduler_config={"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
        prediction_type="epsilon",
        zeros_for_empty_prompt=True,
        name="trial",
        sha256="",
    )


def _pictures(load: Load, device: torch.device) -> list[Encoded]:
    """One batch of square pictures."""
    side = load.config.resolution
    latent = torch.randn(2, 4, side // LATENT_FACTOR, side // LATENT_FACTOR, device=device)
    view = View(fit(side, side, Bucket(side, side)), latent)
    return [Encoded(caption=f"{_TRIGGER}, {number}", views=(view, view)) for number in range(load.pictures)]


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
