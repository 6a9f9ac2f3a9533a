"""Telling the bot: every event of an attempt goes through here, and silence is filled with heartbeats."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from trainer.contract.channel import JobChannel
from trainer.contract.errors import ContractError
from trainer.contract.events import TERMINAL, Body, Heartbeat
from trainer.training.lifeline import Lifeline

BEAT_SECONDS = 10.0
"""A heartbeat follows this much silence."""

_log = logging.getLogger(__name__)


class Reporter:
    """The attempt's event log, shared by the work, its writing in the background, and the heartbeat.

    Heartbeats cease when the work itself hangs (a GPU that never answers), so that whoever listens notices. A hung
    writer is noticed by the work, which comes to wait for it (see `trainer.training.background`).
    """

    def __init__(self, channel: JobChannel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._told_at = time.monotonic()
        self._lifeline = Lifeline(self._told_at)

    def tell(self, body: Body) -> None:
        """Append an event; raises what the channel raises."""
        with self._lock:
            if isinstance(body, TERMINAL):
                self._ended.set()
            self._channel.append(body)
            self._told_at = time.monotonic()

    def begin(self, work: str) -> None:
        """The work goes on with a piece of this kind, with nothing to tell."""
        self._lifeline.begin(work, time.monotonic())

    def took(self, work: str, seconds: float) -> None:
        """A piece of this kind took so long in the background."""
        self._lifeline.learn(work, seconds)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Send heartbeats in the background, until a terminal event or the end of the block."""
        thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS / 4):
            try:
                self._beat_once(time.monotonic())
            except ContractError as error:
                # The work meets the same refusal at its next event and acts on it; here it is only noted.
                _log.warning("no heartbeat: %s", error)

    def _beat_once(self, now: float) -> None:
        with self._lock:
            silent = now - self._told_at >= BEAT_SECONDS
            if silent and self._lifeline.is_alive(now) and not self._ended.is_set():
                self._channel.append(Heartbeat())
                self._told_at = now


class Pace:
    """How fast steps go, over the last few reports; the first one (warm-up) is left out once others are known."""

    def __init__(self, reports: int = 32) -> None:
        self._reports: deque[tuple[int, int, float]] = deque(maxlen=reports)
        self._open = (0, 0, 0.0)
        self._warming_up = True

    def count(self, images: int, seconds: float) -> None:
        """Count a step in. Only with the report's own wait for the device are its seconds true together."""
        steps, images_before, seconds_before = self._open
        self._open = (steps + 1, images_before + images, seconds_before + seconds)

    def report(self) -> None:
        """A report is made now: the steps counted since the last one become part of the pace."""
        if self._warming_up and self._reports:
            self._reports.clear()
            self._warming_up = False
        self._reports.append(self._open)
        self._open = (0, 0, 0.0)

    @property
    def seconds_per_step(self) -> float:
        """0 before the first report."""
        return self._seconds / max(1, sum(steps for steps, _, _ in self._reports))

    @property
    def images_per_second(self) -> float:
        """0 before the first report."""
        return sum(images for _, images, _ in self._reports) / self._seconds if self._seconds else 0.0

    @property
    def _seconds(self) -> float:
        return sum(seconds for _, _, seconds in self._reports)
