"""What a job costs beside its steps: encoding or reading pictures, drawing samples, writing what is kept."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from trainer.bench.subject import Subject
from trainer.bench.timing import seconds
from trainer.bench.whole import Times, make_pictures, run_watched, seconds_of_a_job
from trainer.contract.cache import CacheOptions
from trainer.contract.config import TrainConfig
from trainer.contract.durable import sha256_file
from trainer.contract.estimates import estimate
from trainer.contract.spec import PictureSpec
from trainer.data.buckets import Bucket, fit
from trainer.data.latent_cache import LatentCache
from trainer.data.latents import LatentEncoder
from trainer.planning.memory import Load
from trainer.planning.plan import make_plan
from trainer.planning.room import room_of
from trainer.planning.stand_in import random_part
from trainer.planning.trial import try_out
from trainer.sampling.conditioning import TOGETHER

EPOCHS = 10
"""Over which encoding once is compared with encoding in every epoch."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str
    """`s`, `ms` or `x` (a ratio)."""
    meaning: str


def caching(subject: Subject, work: Path) -> list[Figure]:
    """Encoding pictures in every epoch, against once and then drawing from what was kept."""
    config = subject.config(batch_size=4)
    files = _by_content(make_pictures(work / "pictures", config.resolution))
    fitted = fit(config.resolution, config.resolution, Bucket(config.resolution, config.resolution))
    vae = random_part(subject.architecture, "vae", torch.float32, subject.device)
    encoder = LatentEncoder(vae, "fp32")
    latent = encoder.encode(files[0], fitted).cpu()
    encoding = seconds(lambda: [encoder.encode(file, fitted) for file in files], subject.device)
    cache = LatentCache(CacheOptions(work / "cache", 1 << 30))

    def write() -> None:
        for file in files:
            cache.put(file.stem, "timed", latent)

    writing = seconds(write, subject.device)
    kept = LatentEncoder(vae, "fp32", cache)
    for file in files:
        kept.encode(file, fitted)
    reading = seconds(lambda: [kept.encode(file, fitted) for file in files], subject.device)
    data = subject.pictures(config, len(files))
    batches = [range(first, first + 4) for first in range(0, len(files), 4)]
    drawing = seconds(lambda: [data.batch(batch, 1, 0) for batch in batches], subject.device)
    count = len(files)
    return [
        Figure("encode a picture", 1e3 * encoding / count, "ms", "opened, scaled, through the VAE in fp32"),
        Figure("and keep it in the cache", 1e3 * writing / count, "ms", "safetensors, fsync'd"),
        Figure("read it from the cache", 1e3 * reading / count, "ms", "another job of the same pictures"),
        Figure("draw a fresh latent of it", 1e3 * drawing / count, "ms", "each step, text and conditioning included"),
        Figure(
            f"{EPOCHS} epochs' pictures: encoded each time / once",
            EPOCHS * encoding / (encoding + EPOCHS * drawing),
            "x",
            "what caching saves of the time spent on pictures",
        ),
        Figure("a second job: encoded / read", encoding / reading, "x", "what the cache on disk saves"),
    ]


def _by_content(folder: Path) -> list[Path]:
    """The pictures under their sha256, as a job has them."""
    return [path.rename(path.with_stem(sha256_file(path))) for path in sorted(folder.glob("*.png"))]


def whole_jobs(subject: Subject, work: Path, steps: int) -> Iterator[Figure]:
    """A job that keeps nothing on the way, and one that keeps all the time, beside the bare steps of their models.

    `steps` is how many each of them takes. Raises BenchFailed.
    """
    base = subject.base_on_disk(work / "base")
    pictures = make_pictures(work / "subject", subject.config().resolution)
    settings = {**_settings(subject), "max_steps": steps, "epochs": steps}
    quiet = run_watched(
        base, pictures, work / "jobs", str(subject.device), checkpoint_every_epochs=steps, sample_count=0, **settings
    )
    yield from _of_a_step(quiet)
    sample_steps = SAMPLE_STEPS[subject.device.type]
    busy = run_watched(
        base,
        pictures,
        work / "jobs",
        str(subject.device),
        checkpoint_every_epochs=5,
        sample_count=TOGETHER,
        sample_steps=sample_steps,
        state_every_seconds=1.0,
        **settings,
    )
    yield from _of_keeping(subject, busy)
    yield _of_drawing(busy, sample_steps)
    yield planned_time(subject, base, pictures, work)


SAMPLE_STEPS: Mapping[str, int] = MappingProxyType({"cuda": TrainConfig().sample_steps, "cpu": 4})
"""Of the samples that are drawn: as many as a job takes by itself, where a device has the time."""
JOBS: Mapping[str, int] = MappingProxyType({"cuda": 1, "cpu": 3})
"""Whole jobs whose time is held against the plan's: a GPU does the next one as fast."""


def planned_time(subject: Subject, base: Path, pictures: Path, work: Path) -> Figure:
    """What `trainer plan` says of a whole job's time, against what it takes.

    Each job stands between two trials, and counts with the mean of what they say: a machine that others use too is
    faster at one minute than at another.
    """
    settings = {
        **_settings(subject),
        "epochs": 30,
        "checkpoint_every_epochs": 10,
        "sample_count": 2,
        "sample_steps": 10,
        "precision": "auto",
    }
    config = TrainConfig(**{**settings, "preservation_weight": 0.0})
    shown = len(list(pictures.glob("*.png")))
    named = tuple(PictureSpec(file=f"{number:064x}.png", caption="x" * 100) for number in range(shown))
    load = Load.of(named, shown, config)
    size = estimate(shown, config)
    count = JOBS[subject.device.type]

    def planned() -> float:
        ways = make_plan(subject.architecture, load, subject.numbers, room_of(subject.device)).ways
        times = try_out(
            subject.architecture, load, subject.numbers, subject.device, ways, steps=size.steps, folder=work
        )
        return times.whole(load, size)

    before, ratios, jobs = planned(), list[float](), list[float]()
    for _ in range(count):
        jobs.append(seconds_of_a_job(base, pictures, work / "jobs", str(subject.device), **settings))
        after = planned()
        ratios.append((before + after) / 2 / jobs[-1])
        before = after
    told = f"median of {count} ({', '.join(f'{ratio:.2f}' for ratio in sorted(ratios))})"
    meaning = f"{told}; a job took {statistics.median(jobs):.0f} s once the base was loaded"
    return Figure("a job's time: planned / measured", statistics.median(ratios), "x", meaning)


def _settings(subject: Subject) -> dict[str, Any]:
    config = subject.config(batch_size=4)
    return {name: getattr(config, name) for name in ("resolution", "bucket_step", "rank", "alpha", "batch_size")}


def _of_a_step(quiet: Times) -> list[Figure]:
    ours = statistics.median(quiet.ours)
    return [
        Figure("first step after the claim", quiet.first_step, "s", _until_first_step(quiet)),
        Figure("a step of a whole job", 1e3 * ours, "ms", "median, with everything that happens between steps"),
        Figure(
            "whole job's step / bare step",
            statistics.median(quiet.ratios()),
            "x",
            "bare: forward and backward pass and optimizer on one batch that never changes",
        ),
    ]


def _until_first_step(times: Times) -> str:
    told = f"with compiling, {times.compiler_cache} cache" if times.compiler_cache else "nothing compiled"
    return f"base loaded (the system has it in memory), pictures encoded, LoRA attached; {told}"


def _of_keeping(subject: Subject, busy: Times) -> list[Figure]:
    figures = [
        Figure(
            "the same while states, files and samples are written",
            statistics.median(busy.ratios(writing=True) or [0.0]),
            "x",
            "steps in which the background was writing",
        )
    ]
    posting = f"posting {TOGETHER} samples"
    for name, what in (("state", "a resume state"), ("checkpoint", "a LoRA file"), ("samples", posting)):
        if name != "samples":
            waiting = "lending it, then the rest of its copying; at most: a GPU may have work left meanwhile"
            figures.append(Figure(f"{what}: steps wait", 1e3 * busy.median(name), "ms", waiting))
        written = "steps go on meanwhile"
        if name == "samples" and subject.name != "toy":
            written += "; random weights draw one colour, which takes less than a picture would"
        figures.append(Figure(f"{what}: background", 1e3 * busy.median(f"_write_{name}"), "ms", written))
    return figures


def _of_drawing(busy: Times, steps: int) -> Figure:
    """One sample of a job's, whose UNet is on the device."""
    meaning = f"guidance {TrainConfig().sample_guidance:g}, {TOGETHER} at once, decoded by the VAE; steps wait"
    return Figure(f"drawing a sample, {steps} steps", busy.median("samples") / TOGETHER, "s", meaning)
