"""A whole job beside the bare arithmetic of the same model: what everything around a step costs.

The real `run_job` trains, and after each of its steps the bare forward and backward pass and optimizer run once on the
same UNet with the same LoRA and the same batch. So both meet the same machine, however busy it is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from trainer.bench.kernels import Cache, watching_cache
from trainer.bench.timing import wait_for
from trainer.by_hand.make import Request, make_job
from trainer.contract.directory import DirectoryChannel
from trainer.contract.events import Body, Claimed, Event, Failed, Finished, Preparing, Step
from trainer.contract.exits import Exit
from trainer.errors import TrainerError
from trainer.job import run_job
from trainer.toy.subject import PERSON, TRIGGER, subject_caption, subject_pictures
from trainer.training.keeper import Keeper
from trainer.training.learner import Learner
from trainer.training.prepare import ENCODING

WARM_UP = 3
"""First steps that do not count: memory is taken, caches are filled."""
WATCHED = ("state", "_write_state", "checkpoint", "_write_checkpoint", "samples", "_write_samples")
"""Methods of the keeper that are timed: what holds up the steps, and what is done in the background."""


class BenchFailed(TrainerError):
    """What was to be measured did not run."""


@dataclass
class Times:
    """Seconds of a job's parts, each time anew."""

    ours: list[float] = field(default_factory=list)
    """From the end of what came before a step to the step's own end, everything between steps included …"""
    bare: list[float] = field(default_factory=list)
    """… and of the bare step that followed it."""
    while_writing: list[bool] = field(default_factory=list)
    """Whether something was being written in the background when the step ended."""
    parts: dict[str, list[float]] = field(default_factory=dict)
    """Of each method of the keeper; a state's and a file's with what the next optimizer step waits for its copy."""
    first_step: float = 0.0
    """From the claim to the report of the first step …"""
    compiler_cache: Cache = ""
    """… and what the compiler's cache on disk was to the job."""

    def ratios(self, *, writing: bool | None = None) -> list[float]:
        """Ours / bare of each step that counts, or of those with or without writing."""
        rows = list(zip(self.ours, self.bare, self.while_writing, strict=True))[WARM_UP:]
        return [ours / bare for ours, bare, busy in rows if writing is None or busy == writing]

    def median(self, part: str) -> float:
        """Median seconds of a part; 0 where it never ran."""
        return statistics.median(self.parts[part]) if self.parts.get(part) else 0.0


def make_pictures(folder: Path, size: int) -> Path:
    """The toy world's subject as a folder of pictures with captions beside them."""
    folder.mkdir(parents=True)
    for number, (avatar, picture) in enumerate(subject_pictures(size)):
        picture.save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(subject_caption(avatar), "utf-8")
    return folder


def run_watched(base: Path, pictures: Path, work: Path, device: str, **settings: Any) -> Times:
    """Train one job of these pictures, and time it. Raises BenchFailed."""
    times = Times()
    with _watching(times), watching_cache() as compiler:
        told = run_one(base, pictures, work, device, **settings)
    times.first_step = _at(told, Step) - _at(told, Claimed)
    times.compiler_cache = compiler.cache
    return times


def seconds_of_a_job(base: Path, pictures: Path, work: Path, device: str, **settings: Any) -> float:
    """How long a job takes once its base is loaded. Raises BenchFailed."""
    told = run_one(base, pictures, work, device, **settings)
    is_loaded = next(event.at for event in told if event.body == Preparing(doing=ENCODING))
    return _at(told, Finished) - is_loaded


def run_one(base: Path, pictures: Path, work: Path, device: str, **settings: Any) -> list[Event]:
    """Train one job of these pictures; everything it told. Raises BenchFailed."""
    number = len(list((work / "jobs").glob("*"))) if work.exists() else 0
    request = Request(
        images=pictures,
        base=str(base),
        out=work,
        trigger=TRIGGER,
        class_word=PERSON,
        kind="person",
        name=f"bench-{number}",
        settings={"preservation_weight": 0.0, **settings},
    )
    job = make_job(request, lambda _: None)
    job.open_attempt(1)
    channel = DirectoryChannel(job.path, 1)
    code = run_job(channel, device=device)
    told = channel.events()
    if code is not Exit.FINISHED:
        reasons = [event.body.message for event in told if isinstance(event.body, Failed)]
        raise BenchFailed(f"The job to be measured did not end well: {' '.join(reasons)}")
    return told


def _at(events: Sequence[Event], kind: type[Body]) -> float:
    return next(event.at for event in events if isinstance(event.body, kind))


@contextmanager
def _watching(times: Times) -> Iterator[None]:
    """Learner's and the keeper's methods take the time while this lasts."""
    watched = _WatchedStep(times)
    patches = [patch.object(Learner, "step", lambda learner, *arguments: watched(learner, *arguments))]
    patches += [patch.object(Keeper, name, _timed(getattr(Keeper, name), times, name)) for name in WATCHED]
    patches.append(patch.object(Learner, "_settle", _counted_in(Learner._settle, times)))
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def _timed(method: Callable[..., Any], times: Times, name: str) -> Callable[..., Any]:
    def call(keeper: Keeper, *arguments: Any, **keywords: Any) -> Any:
        asked, begun = keeper._asked_step, time.perf_counter()
        try:
            return method(keeper, *arguments, **keywords)
        finally:
            if name != "state" or keeper._asked_step != asked:  # one that is there already is not kept again
                times.parts.setdefault(name, []).append(time.perf_counter() - begun)

    return call


def _counted_in(settle: Callable[[Learner], None], times: Times) -> Callable[[Learner], None]:
    """A wait for copies belongs to what was lent since the wait before; where that is two things, to each of them."""
    counted: dict[str, int] = {}

    def call(learner: Learner) -> None:
        begun = time.perf_counter()
        settle(learner)
        waited = time.perf_counter() - begun
        for name in ("state", "checkpoint"):
            seconds = times.parts.get(name, [])
            if len(seconds) > counted.get(name, 0):
                seconds[-1] += waited
                counted[name] = len(seconds)

    return call


class _WatchedStep:
    """In place of Learner.step: the step, then the bare one."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._step = Learner.step
        self._bare: Callable[[], None] | None = None
        self._ended = 0.0
        self._written = 0

    def __call__(self, learner: Learner, *arguments: Any) -> None:
        if self._bare is None:
            self._bare = _bare_step(learner, lambda: self._step(learner, *arguments))
        else:
            self._step(learner, *arguments)
        wait_for(learner.device)
        done = time.perf_counter()
        self._bare()
        wait_for(learner.device)
        ended = time.perf_counter()
        if self._ended:
            self._times.ours.append(done - self._ended)
            self._times.bare.append(ended - done)
            self._times.while_writing.append(self._has_written())
        self._ended = ended

    def _has_written(self) -> bool:
        """Whether the background has ended a piece of writing since the last step, or is at one."""
        parts = self._times.parts
        begun = sum(len(parts.get(name, ())) for name in ("state", "checkpoint", "samples"))
        written = sum(len(parts.get(f"_write_{name}", ())) for name in ("state", "checkpoint", "samples"))
        before, self._written = self._written, written
        return written > before or begun > written


def _bare_step(learner: Learner, first: Callable[[], None]) -> Callable[[], None]:
    """Forward and backward passes and optimizer over the batch of the job's first step: the least a step can be.

    There are several passes where the job's plan cuts a batch up.
    """
    shown: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    hook = learner.unet.register_forward_pre_hook(lambda _, *call: shown.append(call), with_kwargs=True)
    first()
    hook.remove()
    noises = [torch.randn_like(arguments[0], dtype=torch.float32) for arguments, _ in shown]
    weights = list(learner.weights.values())
    optimizer = torch.optim.AdamW(weights, lr=1e-12, fused=True)

    def step() -> None:
        for (arguments, keywords), noise in zip(shown, noises, strict=True):
            answer: Tensor = learner.unet(*arguments, **keywords)[0]
            (answer.float() - noise).square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
