"""How long the parts of a training take on a device, tried out on stand-ins of the job's shape."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainer.contract.estimates import Estimate
from trainer.contract.limits import LATENT_FACTOR
from trainer.model.device import Numbers, device_errors, prepare_device, release_cached
from trainer.model.lora import attach_lora
from trainer.planning.architecture import Architecture
from trainer.planning.memory import Load
from trainer.planning.stand_in import random_base, random_part, random_set
from trainer.planning.way import Ways
from trainer.sampling.conditioning import TOGETHER
from trainer.training.learner import Learner
from trainer.training.tuning import kinds_of, tune

RUNS = 3
"""Times that each part is timed, after the first."""
LIMIT = 60.0
"""Seconds after which a part is not tried again: a CPU may take minutes for once."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of one part."""

    median: float
    starting: float
    """What the first time took beyond it."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of a training's parts."""

    step: float
    """An optimizer step; of several processes each one's own part, before they meet."""
    denoising: float
    """One denoising step of the samples that are drawn at once."""
    decoding: float
    """A sample's latents to its pixels."""
    encoding: float
    """A picture's pixels to its latents."""
    starting: float = 0.0
    """What the first time of each part takes beyond the later ones: kernels are chosen, memory is taken, and on a GPU
    the blocks of a long run are compiled."""

    def whole(self, load: Load, size: Estimate) -> float:
        """Of the whole training, but for loading the base; files are written meanwhile."""
        config = load.config
        rounds = math.ceil(config.sample_count / TOGETHER)
        samples = rounds * config.sample_steps * self.denoising + config.sample_count * self.decoding
        views = load.images * (2 if config.flip else 1)
        return self.starting + size.steps * self.step + size.checkpoints * samples + views * self.encoding


def try_out(
    base: Architecture, load: Load, numbers: Numbers, device: torch.device, ways: Ways, steps: int = 0
) -> Times:
    """Try every part of a run of so many steps; text encoders that are trained are left out. Raises OutOfMemory."""
    step = try_step(base, load, numbers, device, ways, steps)
    release_cached(device)
    with torch.random.fork_rng(devices=[]), device_errors(load.pictures), torch.no_grad():
        torch.manual_seed(0)
        denoising = _try_denoising(base, load, numbers, device, steps)
        release_cached(device)
        vae = random_part(base, "vae", torch.float32, device)
        side = load.config.resolution
        pixels = torch.rand(1, 3, side, side, device=device)
        latents = torch.randn(1, 4, side // LATENT_FACTOR, side // LATENT_FACTOR, device=device)
        encoding = _timed(lambda: vae.encode(pixels).latent_dist.mean, device)
        decoding = _timed(lambda: vae.decode(latents, return_dict=False)[0], device)
    return Times(
        step=step.median,
        denoising=denoising.median,
        decoding=decoding.median,
        encoding=encoding.median,
        starting=sum(part.starting for part in (step, denoising, decoding, encoding)),
    )


def try_step(
    base: Architecture, load: Load, numbers: Numbers, device: torch.device, ways: Ways, steps: int = 0
) -> Timed:
    """An optimizer step, done the planned way. Raises OutOfMemory."""
    prepare_device(device)
    with torch.random.fork_rng(devices=[]), device_errors(load.pictures):
        torch.manual_seed(0)
        learner = _learner(base, load, numbers, device, ways, steps)
        batches = [tuple(range(load.pictures))] * load.batches
        return _timed(lambda: learner.step(batches, 1, 1.0), device)


def _try_denoising(base: Architecture, load: Load, numbers: Numbers, device: torch.device, steps: int) -> Timed:
    config = load.config
    rows = min(TOGETHER, max(1, config.sample_count)) * (2 if config.sample_guidance > 1 else 1)
    unet = _learner(base, load, numbers, device, Ways(), steps).unet.eval()
    seen = random_set(base, config, rows, 1, numbers, device).batch(range(rows), 1, 0)
    told = {"text_embeds": seen.pooled.to(numbers.base), "time_ids": seen.time_ids}
    latents, text = seen.latents.to(numbers.base), seen.text.to(numbers.base)
    return _timed(lambda: unet(latents, 500, encoder_hidden_states=text, added_cond_kwargs=told), device)


def _learner(base: Architecture, load: Load, numbers: Numbers, device: torch.device, ways: Ways, steps: int) -> Learner:
    config = load.config.with_overrides({"text_encoder_1": False, "text_encoder_2": False})
    model = random_base(base, numbers, device)
    data = random_set(base, config, load.pictures, load.chunks, numbers, device)
    tune(model.unet, kinds_of([tuple(range(load.pictures))], data.buckets, ways.now), config, device, steps)
    return Learner(model, attach_lora(model, config, 0, dtype=numbers.lora), data, config, numbers, ways=ways)


def _timed(work: Callable[[], object], device: torch.device) -> Timed:
    """The work several times, what the device has to do for it included."""
    seconds: list[float] = []
    for _ in range(1 + RUNS):
        before = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - before)
        if sum(seconds[1:]) > LIMIT:
            break
    median = statistics.median(seconds[1:])
    return Timed(median, max(0.0, seconds[0] - median))
