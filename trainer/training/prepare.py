"""Before the first step: the base model loaded, the pictures encoded, the LoRA attached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from trainer.contract.cache import CacheOptions
from trainer.contract.config import TrainConfig
from trainer.contract.errors import InvalidJob
from trainer.contract.estimates import total_steps
from trainer.contract.spec import JobSpec
from trainer.data.caption import tags_change
from trainer.data.dataset import TrainingSet, encode_all
from trainer.data.latent_cache import LatentCache
from trainer.data.latents import LatentEncoder
from trainer.data.sampler import Sampler
from trainer.data.texts import texts_for, trains_text
from trainer.model.base import BaseModel, load_base
from trainer.model.device import Numbers, device_errors, pick_numbers, prepare_device, release_cached
from trainer.model.lora import attach_lora
from trainer.parallel.team import Team
from trainer.planning.way import Way, Ways
from trainer.training.learner import Learner
from trainer.training.lifeline import LOADING
from trainer.training.objective.diffusion import as_configured
from trainer.training.tuning import kinds_of, tune

ENCODING = "encoding the pictures"
"""What the preparation is at once the base is loaded."""
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a training consists of."""

    base: BaseModel
    numbers: Numbers
    data: TrainingSet
    learner: Learner


class Progress:
    """Hears how far the preparation is; what it raises ends it. This one does nothing."""

    def doing(self, what: str) -> None:
        """This begins now."""

    def encoded(self, done: int, total: int) -> None:
        """So many pictures are encoded."""


def prepare(
    spec: JobSpec,
    config: TrainConfig,
    device: torch.device,
    file: Callable[[str], Path],
    progress: Progress,
    *,
    cache: CacheOptions | None,
    team: Team,
    ways: Ways = Ways(),  # noqa: B008 - frozen
) -> Prepared:
    """Load, encode, attach; `file` gives the path of a picture or mask by its name, `ways` how steps are done.

    The UNet comes onto the device when the encoders have left it, so that the largest of both decides, not their sum.

    Raises InvalidJob, BadBase, BadPicture, OutOfMemory.
    """
    if config.batch_size > spec.images_per_epoch:
        raise InvalidJob(
            f"batch_size {config.batch_size} is more than the {spec.images_per_epoch} pictures of an epoch"
        )
    numbers = pick_numbers(config.precision, device)
    prepare_device(device)
    with device_errors(config.batch_size):
        progress.doing(LOADING)
        base = as_configured(load_base(spec.base, device=_CPU, dtype=numbers.base, vae=spec.vae), config)
        progress.doing(ENCODING)
        for encoders in (base.vae, base.text_encoder, base.text_encoder_2):
            encoders.to(device)
        encoder = LatentEncoder(base.vae, config.vae_precision, LatentCache(cache) if cache else None)
        data = encode_all(spec, file, config, encoder, texts_for(base, spec, config), progress.encoded)
        _put_away_encoders(base, config, device)
        base.unet.to(device)
        progress.doing("attaching the LoRA")
        _tune(base, data, config, device, ways.now)
        weights = attach_lora(base, config, config.seed, dtype=numbers.lora)
        return Prepared(base, numbers, data, Learner(base, weights, data, config, numbers, team, ways))


def _tune(base: BaseModel, data: TrainingSet, config: TrainConfig, device: torch.device, way: Way) -> None:
    sampler = Sampler.of(data.buckets, data.repeats, config)
    batches = [batch for step in sampler.epoch(1) for batch in step]
    kinds = kinds_of(batches, data.buckets, way)
    tune(base.unet, kinds, config, device, total_steps(sampler.steps_per_epoch, config))


def _put_away_encoders(base: BaseModel, config: TrainConfig, device: torch.device) -> None:
    """Take off the GPU what is not needed any more; texts that change from step to step need their encoders."""
    base.vae.to("cpu")
    if not tags_change(config) and not trains_text(config):
        base.text_encoder.to("cpu")
        base.text_encoder_2.to("cpu")
    release_cached(device)
