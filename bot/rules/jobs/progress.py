"""What an attempt's events mean for a job: the numbers its card shows, and what is worth a post of its own. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.contract.events import (
    Caching,
    Claimed,
    Event,
    Failed,
    Finished,
    Paused,
    Preparing,
    Resumed,
    Sample,
    State,
    Step,
    Validated,
)

Phase = Literal["waiting", "starting", "preparing", "caching", "training"]
Terminal = Paused | Finished | Failed

SILENCE_CHARGED_SECONDS = 60.0
"""A gap between two events longer than this counts as this much GPU time: the trainer was not at work."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, over all its attempts; kept as JSON in job.progress."""

    phase: Phase = "waiting"
    doing: str = ""
    """What is being prepared, in the trainer's words."""
    done: int = 0
    total: int = 0
    """Pictures cached so far, and all."""
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    loss: float | None = None
    validation_loss: float | None = None
    """The newest one; None where no pictures are held back."""
    seconds_per_step: float | None = None
    eta_at: float | None = None
    """Unix time at which training should end."""
    note: str = ""
    """A sentence about what happened to the job (interrupted, waiting for disk space)."""
    last_at: float | None = None
    """Time of the last event of the attempt under way."""
    sampled_step: int = 0
    """Step of the newest sample grid posted, so that a resumed attempt does not post it again."""
    state_step: int = 0
    """Step of the newest resume state."""
    wait_until: float = 0.0
    """The next attempt begins no earlier than this Unix time."""
    images: int = 0
    """Pictures the whole training looks at, repeats and epochs counted."""
    rate: str = ""
    """What the time for one picture depends on, `<resolution>:<targets>`."""

    def to_json(self) -> str:
        """Text for the database."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Progress:
        """The progress of job.progress; fields of another version are left out."""
        value = json.loads(text)
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: item for name, item in value.items() if name in known})


@dataclass(frozen=True, slots=True)
class Change:
    """What a batch of events changes."""

    progress: Progress
    samples: tuple[Sample, ...] = ()
    """Grids to post."""
    resumed: Resumed | None = None
    restarted: bool = False
    """The attempt begins anew although an earlier one had trained: it had no state yet."""
    new_state: bool = False
    """A resume state of a later step was written: the job has got further than ever before."""
    terminal: Terminal | None = None
    gpu_seconds: float = 0.0
    """Time of the trainer that these events stand for."""


def apply_events(progress: Progress, events: Sequence[Event]) -> Change:
    """Fold events of one attempt, in order, into the job's progress."""
    change = Change(progress)
    for event in events:
        change = _apply(_charge(change, event), event)
    return change


def _charge(change: Change, event: Event) -> Change:
    last = None if isinstance(event.body, Claimed) else change.progress.last_at
    passed = 0.0 if last is None else min(max(event.at - last, 0.0), SILENCE_CHARGED_SECONDS)
    progress = dataclasses.replace(change.progress, last_at=event.at)
    return dataclasses.replace(change, progress=progress, gpu_seconds=change.gpu_seconds + passed)


def _apply(change: Change, event: Event) -> Change:
    body, progress = event.body, change.progress
    match body:
        case Claimed():
            change = dataclasses.replace(change, restarted=progress.step > 0 and progress.state_step == 0)
            progress = dataclasses.replace(progress, phase="preparing", doing="", eta_at=None)
            if change.restarted:
                progress = dataclasses.replace(progress, epoch=0, step=0, validation_loss=None)
        case Preparing():
            progress = dataclasses.replace(progress, phase="preparing", doing=body.doing)
        case Caching():
            progress = dataclasses.replace(progress, phase="caching", done=body.done, total=body.total)
        case Resumed():
            progress = dataclasses.replace(progress, epoch=body.epoch, step=body.step)
            change = dataclasses.replace(change, resumed=body)
        case Step():
            progress = _stepped(progress, body, event.at)
        case Validated():
            progress = dataclasses.replace(progress, validation_loss=body.loss)
        case Sample():
            if body.command or body.step > progress.sampled_step:
                change = dataclasses.replace(change, samples=(*change.samples, body))
            progress = dataclasses.replace(progress, sampled_step=max(progress.sampled_step, body.step))
        case State():
            change = dataclasses.replace(change, new_state=change.new_state or body.step > progress.state_step)
            progress = dataclasses.replace(progress, state_step=max(progress.state_step, body.step))
        case Paused() | Finished() | Failed():
            progress = dataclasses.replace(progress, phase="waiting", doing="", eta_at=None, last_at=None)
            change = dataclasses.replace(change, terminal=body)
            if isinstance(body, Finished):
                progress = dataclasses.replace(progress, epoch=body.epoch, step=body.step)
    return dataclasses.replace(change, progress=progress)


def _stepped(progress: Progress, body: Step, at: float) -> Progress:
    return dataclasses.replace(
        progress,
        phase="training",
        doing="",
        note="",
        epoch=body.epoch,
        epochs=body.epochs,
        step=body.step,
        steps=body.steps,
        loss=body.smoothed_loss,
        seconds_per_step=body.seconds_per_step,
        eta_at=at + body.eta_seconds,
    )
