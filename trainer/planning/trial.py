"""How long the parts of a training take on a device and a disk, tried out on stand-ins of the job's shape."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from trainer.contract.config import TrainConfig
from trainer.contract.limits import LATENT_FACTOR
from trainer.data.buckets import Bucket, fit
from trainer.data.latents import LatentEncoder
from trainer.model.base import BaseModel
from trainer.model.device import Numbers, device_errors, prepare_device, release_cached, without_trials
from trainer.model.lora import attach_lora
from trainer.planning.architecture import Architecture
from trainer.planning.memory import Load
from trainer.planning.stand_in import random_base, random_part, random_picture, random_reader, random_set
from trainer.planning.times import Times
from trainer.planning.way import Ways
from trainer.planning.writing import try_posting, try_writing
from trainer.sampling.conditioning import TOGETHER
from trainer.training.learner import Learner
from trainer.training.tuning import kinds_of, tune

RUNS = 3
"""Times that each part is timed, after the first; but for writing, which is done once: a state is a gigabyte."""
LIMIT = 60.0
"""Seconds after which a part is not tried again: a CPU may take minutes for once."""

GENTLY = 1e-3
"""Share of the learning rates at which steps are tried: whatever these are, weights must stay numbers to be written."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of one part."""

    median: float
    starting: float
    """What the first time took beyond it."""


def try_out(
    base: Architecture, load: Load, numbers: Numbers, device: torch.device, ways: Ways, *, steps: int, folder: Path
) -> Times:
    """Try every part of a run of so many steps; text encoders that are trained are left out.

    Files go into `folder` and out of it again: it should lie on the disk that the job will write to. Raises
    OutOfMemory, OSError and ChannelError.
    """
    trial = _Trial(base, load, numbers, device, steps)
    with (
        TemporaryDirectory(prefix=".trial-", dir=folder) as scratch,
        torch.random.fork_rng(devices=[]),
        device_errors(load.pictures),
    ):
        torch.manual_seed(0)
        return trial.times(ways, Path(scratch))


def try_step(
    base: Architecture, load: Load, numbers: Numbers, device: torch.device, ways: Ways, steps: int = 0
) -> Timed:
    """An optimizer step, done the planned way. Raises OutOfMemory."""
    with torch.random.fork_rng(devices=[]), device_errors(load.pictures):
        torch.manual_seed(0)
        return _Trial(base, load, numbers, device, steps).step(ways).timed


@dataclass(frozen=True, slots=True)
class _Stepped:
    """A learner after a few steps."""

    base: BaseModel
    learner: Learner
    timed: Timed
    attaching: float
    """Seconds until it could take the first one."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """What is tried out, and where."""

    base: Architecture
    load: Load
    numbers: Numbers
    device: torch.device
    steps: int
    """Of the run: a long one is compiled."""

    @property
    def config(self) -> TrainConfig:
        """What is trained in it."""
        return self.load.config.with_overrides({"text_encoder_1": False, "text_encoder_2": False})

    def times(self, ways: Ways, scratch: Path) -> Times:
        """Every part; one by one, so that the largest decides how much memory that takes."""
        picture = random_picture(scratch, self.load.config.resolution)
        attaching, step, file, state = self._training(ways, picture)
        with torch.no_grad():
            self._make_room()
            denoising = self._denoising()
            self._make_room()
            encoding, decoding = self._vae(picture)
            self._make_room()
            read = random_reader(self.base, self.numbers, self.device)
            reading = self._timed(lambda: read(self.load.chunks))
        drawn = self.load.config.sample_count
        return Times(
            step=step.median,
            denoising=denoising.median,
            decoding=decoding.median,
            encoding=encoding.median,
            reading=reading.median,
            file=file,
            state=state,
            posting=try_posting(picture, drawn) if drawn else 0.0,
            starting=attaching + sum(one.starting for one in (step, denoising, decoding, encoding, reading)),
        )

    def _training(self, ways: Ways, picture: Path) -> tuple[float, Timed, float, float]:
        """Seconds of attaching, of a step, of a LoRA file and of a state; nothing of it stays in memory."""
        done = self.step(ways)
        file, state = try_writing(done.base, done.learner, self.config, picture)
        return done.attaching, done.timed, file, state

    def step(self, ways: Ways) -> _Stepped:
        """Optimizer steps, done the planned way."""
        prepare_device(self.device)
        model, learner, attaching = self._learner(ways)
        batches = [tuple(range(self.load.pictures))] * self.load.batches
        return _Stepped(model, learner, self._timed(lambda: learner.step(batches, 1, GENTLY)), attaching)

    def _denoising(self) -> Timed:
        config, numbers = self.load.config, self.numbers
        rows = min(TOGETHER, max(1, config.sample_count)) * (2 if config.sample_guidance > 1 else 1)
        unet = self._learner(Ways())[1].unet.eval()
        seen = random_set(self.base, config, rows, 1, numbers, self.device).batch(range(rows), 1, 0)
        told = {"text_embeds": seen.pooled.to(numbers.base), "time_ids": seen.time_ids}
        latents, text = seen.latents.to(numbers.base), seen.text.to(numbers.base)
        return self._timed(lambda: unet(latents, 500, encoder_hidden_states=text, added_cond_kwargs=told))

    def _vae(self, picture: Path) -> tuple[Timed, Timed]:
        """A picture encoded, and one decoded."""
        vae, side = random_part(self.base, "vae", torch.float32, self.device), self.load.config.resolution
        encoder = LatentEncoder(vae, self.load.config.vae_precision)
        fitted = fit(side, side, Bucket(side, side))
        latents = torch.randn(1, 4, side // LATENT_FACTOR, side // LATENT_FACTOR, device=self.device)
        encoding = self._timed(lambda: encoder.encode(picture, fitted))
        with without_trials():  # as `trainer.sampling.decode` does
            return encoding, self._timed(lambda: vae.decode(latents, return_dict=False)[0])

    def _learner(self, ways: Ways) -> tuple[BaseModel, Learner, float]:
        """A learner over a fresh base, and how long that took beyond the base itself."""
        load, numbers, device = self.load, self.numbers, self.device
        config = self.config
        model = random_base(self.base, numbers, device)
        data = random_set(self.base, config, load.pictures, load.chunks, numbers, device)
        self._wait()
        begun = time.perf_counter()
        tune(model.unet, kinds_of([tuple(range(load.pictures))], data.buckets, ways.now), config, device, self.steps)
        weights = attach_lora(model, config, 0, dtype=numbers.lora)
        learner = Learner(model, weights, data, config, numbers, ways=ways)
        self._wait()
        return model, learner, time.perf_counter() - begun

    def _timed(self, work: Callable[[], object]) -> Timed:
        """The work several times, what the device has to do for it included."""
        seconds: list[float] = []
        for _ in range(1 + RUNS):
            before = time.perf_counter()
            work()
            self._wait()
            seconds.append(time.perf_counter() - before)
            if sum(seconds[1:]) > LIMIT:
                break
        median = statistics.median(seconds[1:])
        return Timed(median, max(0.0, seconds[0] - median))

    def _make_room(self) -> None:
        """Nothing of an earlier part stays on the device; learners hold their networks in circles."""
        gc.collect()
        release_cached(self.device)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
