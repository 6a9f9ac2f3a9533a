"""What others want of a running attempt: stop, pause, shut down, and numbered commands."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Literal

from trainer.contract.channel import Command, JobChannel
from trainer.contract.config import TrainConfig
from trainer.contract.errors import InvalidConfig, StaleAttempt

Ending = Literal["stopped", "asked", "shutdown"]
"""Stopped for good with its file kept; paused because it was asked for; paused because this process must end."""


class Asked(Exception):
    """Not an error: the run is asked to end, and is between two steps where it can."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending: Ending = ending


class Wishes:
    """Reads wishes from the channel and from the process that runs the attempt."""

    def __init__(self, channel: JobChannel, stop: threading.Event | None) -> None:
        self._channel = channel
        self._stop = stop

    def check(self) -> None:
        """Raise Asked when the run should end here, StaleAttempt when a newer attempt has the job."""
        desired = self._channel.desired()
        if desired.attempt > self._channel.attempt:
            raise StaleAttempt(self._channel.attempt, desired.attempt)
        if desired.wish == "stop":
            raise Asked("stopped")
        if desired.wish == "pause":
            raise Asked("asked")
        if self._stop is not None and self._stop.is_set():
            raise Asked("shutdown")


def extended(config: TrainConfig, commands: Sequence[Command]) -> TrainConfig:
    """The config with all extensions among the commands applied in order; refused ones change nothing.

    A pure function of config and commands: a later attempt comes to the same length without being told.
    """
    for command in commands:
        if command.kind == "extend":
            config = extend(config, command)[0]
    return config


def extend(config: TrainConfig, command: Command) -> tuple[TrainConfig, str | None]:
    """The config lengthened by the command, and why not, if it cannot be."""
    if command.epochs < 1:
        return config, "an extension needs at least 1 epoch"
    if config.max_steps:
        return config, f"this training ends after max_steps = {config.max_steps}, whatever its epochs"
    try:
        return config.with_overrides({"epochs": config.epochs + command.epochs}), None
    except InvalidConfig as error:
        return config, f"that is too long ({error.problem})"
