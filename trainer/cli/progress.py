"""A training's events as a progress bar, or as plain lines where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from trainer.contract import events
from trainer.contract.directory import DirectoryChannel

_BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {postfix}"


class ShownChannel(DirectoryChannel):
    """A job's channel that shows each event once it is written."""

    def __init__(self, folder: Path, attempt: int, show: Callable[[events.Body], None]) -> None:
        super().__init__(folder, attempt)
        self._show = show

    def append(self, body: events.Body) -> events.Event:
        """As DirectoryChannel.append."""
        event = super().append(body)
        self._show(body)
        return event


class ProgressBar:
    """Shows events on a terminal: one bar for the steps, a line above it for what is worth keeping."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._terminal = sys.stderr.isatty()
        self._bar: tqdm[None] | None = None
        self._epoch = 0

    def show(self, body: events.Body) -> None:
        """Show one event."""
        if isinstance(body, events.Step):
            self._step(body)
        elif isinstance(body, events.Caching) and (self._terminal or body.done == body.total):
            self._line(f"Encoding pictures: {body.done} of {body.total}")
        elif text := describe(body):
            self._line(text)

    def close(self) -> None:
        """Leave the bar where it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, text: str) -> None:
        if self._bar is None:
            self._say(text)
        else:
            self._bar.write(text)

    def _step(self, step: events.Step) -> None:
        if not self._terminal:
            if step.epoch != self._epoch:
                self._say(f"Epoch {step.epoch} of {step.epochs}: step {step.step} of {step.steps}, {figures(step)}")
            self._epoch = step.epoch
            return
        if self._bar is None:
            self._bar = tqdm(total=step.steps, initial=step.step, bar_format=_BAR, unit="step", dynamic_ncols=True)
        self._bar.total = step.steps
        self._bar.set_description_str(f"Epoch {step.epoch}/{step.epochs}", refresh=False)
        elapsed = tqdm.format_interval(self._bar.format_dict["elapsed"])
        self._bar.set_postfix_str(f"{elapsed} gone, {figures(step)}", refresh=False)
        self._bar.update(step.step - self._bar.n)


def figures(step: events.Step) -> str:
    """Time left, rate and loss."""
    left = tqdm.format_interval(step.eta_seconds)
    return f"{left} left, {step.seconds_per_step:.2f} s/it, loss {step.smoothed_loss:.4f}"


def describe(body: events.Body) -> str | None:
    """A line for an event that is worth one; None for the others."""
    match body:
        case events.Preparing():
            return f"{body.doing[:1].upper()}{body.doing[1:]} …"
        case events.Resumed():
            return f"Going on from step {body.step} (epoch {body.epoch}) of attempt {body.from_attempt}"
        case events.Checkpoint():
            return f"Checkpoint of epoch {body.epoch}: {body.file} ({body.bytes / 1e6:.1f} MB)"
        case events.Validated():
            return f"Validation loss after epoch {body.epoch}: {body.loss:.4f}"
        case events.Sample():
            return f"Samples of epoch {body.epoch}: {body.grid}"
        case events.CommandDone():
            return body.message
        case events.Paused() | events.Failed():
            return body.message
        case _:
            return None
