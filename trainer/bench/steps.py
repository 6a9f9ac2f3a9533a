"""Training steps: ours with its options on and off, and the plain loop, at several batch sizes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainer.bench.plain import PlainLoop
from trainer.bench.subject import Subject
from trainer.bench.timing import median_seconds, wait_for
from trainer.errors import DoesNotFit, OutOfMemory
from trainer.model.compiling import compile_blocks
from trainer.model.device import prepare_device, release_cached
from trainer.model.layout import choose_layout
from trainer.model.lora import attach_lora
from trainer.planning.room import room_of_card
from trainer.planning.way import Way, Ways
from trainer.training.learner import Learner

BATCHES = (1, 2, 4, 5, 8)
ABOUT = 5
"""The batch size at which options are switched one by one: the classic method's."""
LATENT = 8
"""Pixels of a side per latent."""
Step = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to train that is measured."""

    name: str
    batch: int
    settings: dict[str, Any] = field(default_factory=dict)
    """Of ours; of the plain loop only whether it recomputes."""
    is_plain: bool = False
    card: str = ""
    """Ours as it is planned for a card of this size, e.g. `24GB`."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a variant came to."""

    name: str
    batch: int
    seconds_per_step: float = 0.0
    images_per_second: float = 0.0
    tflops: float = 0.0
    """10^12 floating-point operations a second that the model needs; recomputed ones do not count."""
    share: float = 0.0
    """Of the device's measured rate of a large product of matrices."""
    peak_bytes: int = 0
    """Most GPU memory in use; 0 on a CPU."""
    planned_bytes: int = 0
    """What the plan said of it; 0 where nothing was planned."""
    first_step_seconds: float = 0.0
    """From nothing on the device to the end of the first step, compiling included."""
    failed: str = ""
    """Why there are no numbers."""


def variants(batches: Sequence[int], *, on_gpu: bool, about: int = ABOUT) -> Iterator[Variant]:
    """Everything to measure; options one by one at the batch size `about`."""
    for batch in batches:
        yield Variant("plain loop", batch, {"checkpointing": False}, is_plain=True)
        yield Variant("plain loop, checkpointing", batch, {"checkpointing": True}, is_plain=True)
        yield Variant("ours", batch)
        if on_gpu:
            yield Variant("ours, compiled", batch, {"compile": "on"})
        if batch == about:
            yield Variant("ours, checkpointing", batch, {"gradient_checkpointing": "full"})
            yield Variant("ours, preservation", batch, {"preservation_weight": 1.0})
        if on_gpu and batch in (1, about):
            yield from (Variant(f"ours, planned for {card}", batch, card=card) for card in ("12GB", "24GB"))


def measure(variant: Variant, subject: Subject, flops: float, rate: float, runs: int) -> Row:
    """The variant's row; `flops` is what one picture takes, `rate` the device's FLOP a second."""
    gc.collect()
    release_cached(subject.device)
    if subject.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(subject.device)
    begun = time.perf_counter()
    try:
        step, planned = make_step(variant, subject)
        step()
        wait_for(subject.device)
        first = time.perf_counter() - begun
        taken = median_seconds(step, subject.device, runs)
    except (torch.OutOfMemoryError, OutOfMemory, DoesNotFit) as error:
        return Row(variant.name, variant.batch, failed=str(error) if isinstance(error, DoesNotFit) else "out of memory")
    achieved = variant.batch * flops / taken
    return Row(
        name=variant.name,
        batch=variant.batch,
        seconds_per_step=taken,
        images_per_second=variant.batch / taken,
        tflops=achieved / 1e12,
        share=achieved / rate,
        peak_bytes=torch.cuda.max_memory_allocated(subject.device) if subject.device.type == "cuda" else 0,
        planned_bytes=planned,
        first_step_seconds=first,
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
    if variant.card:
        settings = {**settings, "gradient_checkpointing": "auto"}
        plan = subject.plan(subject.config(batch_size=variant.batch, **settings), room_of_card(variant.card))
        ways, planned = plan.ways, int(plan.training)
    learner = make_learner(subject, ways, batch_size=variant.batch, **settings)
    return lambda: learner.step([tuple(range(variant.batch))], 1, 1.0), planned


def make_learner(subject: Subject, ways: Ways | None = None, **settings: Any) -> Learner:
    """A learner over a fresh base, tuned as a job's is."""
    config = subject.config(**settings)
    ways = ways or Ways(Way())
    prepare_device(subject.device)
    base = subject.base()
    data = subject.pictures(config, config.batch_size)
    weights = attach_lora(base, config, 0, dtype=subject.numbers.lora)
    side = config.resolution // LATENT
    if subject.device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        choose_layout(base.unet, (side, side), max(ways.now.sizes(config.batch_size)))
    if config.compile == "on":
        compile_blocks(base.unet, {config.batch_size})
    return Learner(base, weights, data, config, subject.numbers, ways=ways)


def flops_of_a_picture(subject: Subject) -> float:
    """Floating-point operations of one picture's step: forward and backward pass, nothing recomputed."""
    learner = make_learner(subject, batch_size=1)
    with FlopCounterMode(display=False) as counter:
        learner.step([(0,)], 1, 1.0)
    return float(counter.get_total_flops())
