"""One run of the bench: rates first, then every variant, then what a job costs beside its steps."""

from __future__ import annotations

import gc
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import torch
from tqdm import tqdm

from trainer.bench.costs import Figure, caching, whole_jobs
from trainer.bench.first_step import compiled_first_steps
from trainer.bench.page import Report, versions
from trainer.bench.profiling import Cost, largest_costs
from trainer.bench.steps import Flops, Row, make_step, measure, runs_out
from trainer.bench.subject import Subject
from trainer.bench.timing import matmul_rate
from trainer.bench.variants import ABOUT, COMPILED, Variant, fastest, variants
from trainer.errors import DoesNotFit, OutOfMemory
from trainer.machine import describe
from trainer.model.device import prepare_device, release_cached

_log = logging.getLogger(__name__)
JOB_STEPS = 6
"""Steps of a whole job, for each timed step of a variant."""


def run_bench(subject: Subject, batches: Sequence[int], runs: int, command: str) -> Report:
    """Measure everything, with a bar on stderr; `runs` are the timed steps of each variant."""
    device = subject.device
    on_gpu = device.type == "cuda"
    prepare_device(device)
    rate = matmul_rate(device, subject.numbers.base)
    flops = Flops.of(subject)
    torch.backends.cudnn.benchmark = True  # for the plain loop as well
    about = ABOUT if ABOUT in batches else batches[-1]
    rows: list[Row] = []
    with tqdm(_in_turn(list(variants(batches, on_gpu=on_gpu, about=about)), on_gpu=on_gpu)) as bar:
        for together in bar:
            bar.set_description(f"batch {together[0].batch}")
            rows += measure(together, subject, flops, rate, runs)
    figures, unmeasured = _beside(subject, min(batches), JOB_STEPS * runs)
    profiles = _profiles(subject, about)
    return Report(
        model=subject.name,
        device=describe(str(device)).name,
        threads=0 if on_gpu else torch.get_num_threads(),
        command=command,
        day=datetime.now(UTC).date().isoformat(),
        versions=versions(),
        matmul_tflops=rate / 1e12,
        flops_of_a_picture=flops.ours,
        rows=rows,
        figures=figures,
        unmeasured=unmeasured,
        profiles=profiles,
    )


def _in_turn(planned: list[Variant], *, on_gpu: bool) -> list[list[Variant]]:
    """What is measured together: on a GPU each variant alone, on a CPU all of a batch size."""
    if on_gpu:
        return [[variant] for variant in planned]
    return [list(group) for _, group in groupby(planned, key=lambda variant: variant.batch)]


def _beside(subject: Subject, batch: int, steps: int) -> tuple[list[Figure], dict[str, str]]:
    """What a job costs beside its steps, and which part of that could not be measured, and why.

    `batch` is the one a first step is taken with, `steps` those of each whole job.
    """
    figures, unmeasured = list[Figure](), dict[str, str]()
    with _work() as work:
        parts: dict[str, Callable[[], Iterable[Figure]]] = {
            "encoding pictures": lambda: caching(subject, work),
            "whole jobs": lambda: whole_jobs(subject, work, steps),
        }
        if fastest(on_gpu=subject.device.type == "cuda") == COMPILED:
            parts["first steps"] = lambda: compiled_first_steps(subject, batch, work)
        for part, measured in parts.items():
            gc.collect()
            release_cached(subject.device)
            try:
                for figure in measured():  # one by one: those before a failure are kept
                    figures.append(figure)
            except Exception as error:  # noqa: BLE001 - the steps are measured: whatever it is, they must not be lost with it
                _log.exception("a part of the bench failed: %s", part)
                unmeasured[part] = f"{type(error).__name__}: {error}".partition("\n")[0]
    return figures, unmeasured


def _profiles(subject: Subject, batch: int) -> dict[str, list[Cost]]:
    """Largest costs of the plain loop, of ours with the same layers, and of ours with kohya's; of those that fit."""
    profiles: dict[str, list[Cost]] = {}
    for variant in (one for one in variants([batch], on_gpu=False, about=0) if not one.settings.get("checkpointing")):
        gc.collect()
        release_cached(subject.device)
        try:
            costs = largest_costs(make_step(variant, subject)[0], subject.device)
        except (DoesNotFit, OutOfMemory, RuntimeError) as error:
            if not (isinstance(error, DoesNotFit) or runs_out(error)):
                raise
            continue
        profiles[f"{variant.name}, batch {batch}"] = costs
    return profiles


@contextmanager
def _work() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lorelei-bench-") as folder:
        yield Path(folder)
