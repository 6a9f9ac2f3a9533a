"""Training steps, timed: the variants of one batch size in turn."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainer.bench.kernels import Cache, watching_cache
from trainer.bench.plain import PlainLoop
from trainer.bench.subject import Subject
from trainer.bench.timing import seconds, wait_for
from trainer.bench.uncached import encoding
from trainer.bench.variants import Variant
from trainer.contract.config import TrainConfig
from trainer.errors import DoesNotFit, OutOfMemory
from trainer.model.device import is_out_of_memory, prepare_device, release_cached
from trainer.model.lora import attach_lora
from trainer.planning.choose import by_price
from trainer.planning.room import room_of_card
from trainer.planning.simulate import simulate
from trainer.planning.way import Way, Ways
from trainer.training.learner import Learner
from trainer.training.tuning import kinds_of, tune

WARM_UP = 2
"""Steps of each variant that are not timed."""
Step = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Flops:
    """Floating-point operations of one picture's step."""

    ours: float
    attention: float
    """Of a LoRA on attention only, as the plain loop's is."""

    @classmethod
    def of(cls, subject: Subject) -> Flops:
        """Reckoned from the subject's shape."""
        return cls(flops_of_a_picture(subject), flops_of_a_picture(subject, targets="attention"))


@dataclass(frozen=True, slots=True)
class Row:
    """What a variant came to."""

    name: str
    batch: int
    seconds_per_step: float = 0.0
    images_per_second: float = 0.0
    tflops: float = 0.0
    """10^12 floating-point operations a second that the model needs (see `Flops`); recomputed blocks do not count."""
    share: float = 0.0
    """Of the device's measured rate of a large product of matrices."""
    peak_bytes: int = 0
    """Most GPU memory in use; 0 on a CPU."""
    planned_bytes: int = 0
    """What the plan said of it; 0 where nothing was planned."""
    first_step_seconds: float = 0.0
    """From nothing on the device to the end of the first step, compiling included."""
    compiler_cache: Cache = ""
    """What the compiler's cache on disk was to that."""
    failed: str = ""
    """Why there are no numbers."""
    option: str = ""
    """See `Variant`."""
    turns: tuple[float, ...] = ()
    """Seconds of each timed step; variants that were measured together took turns."""

    def times(self, other: Row) -> float:
        """How many times as long as the other's its steps took: the median over the turns, which a busy machine moves
        far less than it moves either's time.
        """
        return statistics.median(own / its for own, its in zip(self.turns, other.turns, strict=True))


@dataclass(frozen=True, slots=True)
class Ready:
    """A variant whose first step is done."""

    variant: Variant
    step: Step
    planned_bytes: int
    first_step_seconds: float
    compiler_cache: Cache


def measure(together: Sequence[Variant], subject: Subject, flops: Flops, rate: float, runs: int) -> list[Row]:
    """Rows of variants that are run in turn, so that a busy machine slows all of them alike.

    `rate` is the device's FLOP a second. On a GPU, which nobody else uses and which has
    no room for several, give one variant at a time: then its peak of memory is its own.
    """
    gc.collect()
    release_cached(subject.device)
    failed: list[Row] = []
    ready: list[Ready] = []
    for variant in together:
        try:
            ready.append(begin(variant, subject))
        except (DoesNotFit, OutOfMemory, RuntimeError) as error:
            failed.append(_failed(variant, error))
    on_gpu = subject.device.type == "cuda"
    if on_gpu:  # what was tried out before the first step (layouts, convolutions' ways) is no part of a step
        torch.cuda.reset_peak_memory_stats(subject.device)
    try:
        times = _timed(ready, runs, subject.device)
    except (OutOfMemory, RuntimeError) as error:  # the optimizer's memory comes with the first step
        return [*failed, *(_failed(one.variant, error) for one in ready)]
    peak = torch.cuda.max_memory_allocated(subject.device) if on_gpu else 0
    return [_row(one, tuple(taken), flops, rate, peak) for one, taken in zip(ready, times, strict=True)] + failed


def _timed(ready: Sequence[Ready], runs: int, device: torch.device) -> list[list[float]]:
    """Seconds of each one's steps, in turn."""
    times: list[list[float]] = [[] for _ in ready]
    for number in range(WARM_UP + runs):
        for one, taken in zip(ready, times, strict=True):
            took = seconds(one.step, device)
            taken.extend([took] * (number >= WARM_UP))
    return times


def _failed(variant: Variant, error: Exception) -> Row:
    """A row that says why there is none; the error again, when it is of another kind than memory."""
    if isinstance(error, DoesNotFit):
        reason = str(error)
    elif runs_out(error):
        reason = "out of memory"
    else:
        raise error
    return Row(variant.name, variant.batch, failed=reason, option=variant.option)


def runs_out(error: Exception) -> bool:
    """Whether the device's memory was too small, said by ours or by torch."""
    return isinstance(error, OutOfMemory) or is_out_of_memory(error)


def begin(variant: Variant, subject: Subject) -> Ready:
    """The variant's first step, from nothing on the device. Raises as `make_step` does."""
    begun = time.perf_counter()
    with watching_cache() as compiler:
        step, planned = make_step(variant, subject)
        step()
        wait_for(subject.device)
    return Ready(variant, step, planned, time.perf_counter() - begun, compiler.cache)


def _row(ready: Ready, turns: tuple[float, ...], flops: Flops, rate: float, peak: int) -> Row:
    batch, taken = ready.variant.batch, statistics.median(turns)
    achieved = batch * (flops.attention if ready.variant.trains_attention else flops.ours) / taken
    return Row(
        name=ready.variant.name,
        batch=batch,
        seconds_per_step=taken,
        images_per_second=batch / taken,
        tflops=achieved / 1e12,
        share=achieved / rate,
        peak_bytes=peak,
        planned_bytes=ready.planned_bytes,
        first_step_seconds=ready.first_step_seconds,
        compiler_cache=ready.compiler_cache,
        option=ready.variant.option,
        turns=turns,
    )


def make_step(variant: Variant, subject: Subject) -> tuple[Step, int]:
    """What one optimizer step of the variant is, over a fresh base, and the bytes planned for it.

    Raises OutOfMemory, DoesNotFit, or torch.OutOfMemoryError.
    """
    if variant.is_plain:
        config = subject.config(batch_size=variant.batch)
        base = subject.base()
        loop = PlainLoop(base, config.rank, **variant.settings)
        seen = subject.pictures(config, variant.batch).batch(range(variant.batch), 1, 0)
        return lambda: loop.step(seen), 0
    ways, planned, settings = Ways(), 0, variant.settings
    config = subject.config(batch_size=variant.batch, **settings)
    if variant.card:
        config = config.with_overrides({"gradient_checkpointing": "auto"})
        plan = subject.plan(config, room_of_card(variant.card))
        ways, planned = plan.ways, int(plan.training)
    elif variant.recomputed:
        ways = Ways(Way(0, _cheapest(variant.recomputed, subject, config)), is_planned=True)
    learner = make_learner(subject, config, ways, keeps_layout=variant.without == "layout")
    if variant.without == "fused optimizer":
        for group in learner.optimizer.param_groups:
            group["fused"] = None  # torch's own choice then, which is the plain loop's
    encode = encoding(subject, config) if variant.without == "cache" else lambda: None

    def step() -> None:
        encode()
        learner.step([tuple(range(variant.batch))], 1, 1.0)

    return step, planned


def make_learner(
    subject: Subject,
    config: TrainConfig,
    ways: Ways = Ways(),  # noqa: B008 - frozen
    *,
    keeps_layout: bool = False,
) -> Learner:
    """A learner over a fresh base, tuned as a job's is, but for its layout where that is to be kept."""
    prepare_device(subject.device)
    base = subject.base()
    data = subject.pictures(config, config.batch_size)
    kinds = kinds_of([tuple(range(config.batch_size))], data.buckets, ways.now)
    tune(base.unet, kinds, config, subject.device, steps=0)
    if keeps_layout:
        base.unet.to(memory_format=torch.contiguous_format)
    weights = attach_lora(base, config, 0, dtype=subject.numbers.lora)
    return Learner(base, weights, data, config, subject.numbers, ways=ways)


def _cheapest(share: float, subject: Subject, config: TrainConfig) -> frozenset[str]:
    """This share of the units, by the work of recomputing a byte of what they free."""
    order = by_price(simulate(subject.architecture, config, subject.numbers).rows(config.batch_size))
    return frozenset(order[: round(share * len(order))])


def flops_of_a_picture(subject: Subject, **settings: Any) -> float:
    """Floating-point operations of one picture's step: forward and backward pass, nothing recomputed but what flash
    attention recomputes of itself (2.6 % of SDXL's).
    """
    return simulate(subject.architecture, subject.config(batch_size=1, **settings), subject.numbers).one.flops
