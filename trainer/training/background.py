"""Writing while the training goes on: one thread does what it is given, in the order it was given.

The order is the promise that makes a kill harmless: whatever is done, all that was given before it is done, so a state
is never safe before the checkpoint and the samples that came before it. An error ends it: nothing behind it is begun,
and the training meets the error at its next call here.

Only so many snapshots are in memory at a time; the training waits for room then, and at its end for everything. A disk
that hangs is noticed by that: the thread has no heartbeat of its own, but the wait is a piece of work of the training,
named after what is being written (`WRITING`), which may take as long as that kind has taken before (see
`trainer.training.lifeline`) and no longer: a small file says nothing of how long a state takes.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Literal, Self

from trainer.training.report import Reporter

SNAPSHOTS = 3
"""Copies given and not yet written, at most: a checkpoint, its samples and a state, which all come at the end of an
epoch. One more may be in the training's hands, which then waits."""
NICE = 10
"""How much the thread stands back, in steps of nice(2)."""
Kind = Literal["state", "checkpoint", "samples", "note"]
"""What is written; a note (an event, settings, a plot) is small: it needs no room."""
WRITING: Mapping[Kind, str] = MappingProxyType(
    {
        "state": "writing a state",
        "checkpoint": "writing a checkpoint",
        "samples": "writing samples",
        "note": "writing a note",
    }
)
"""The piece of work the training is at while it waits for a kind, as its lifeline knows it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Piece:
    work: Callable[[], None]
    kind: Kind


class Background:
    """The thread and what it still has to do; all methods are for the training's own thread."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._changed = threading.Condition()
        self._pieces: deque[_Piece] = deque()
        """Not done yet, the one in progress first."""
        self._error: BaseException | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is being written afterwards. What was given before an error is still done, where it can be.

        Only what ends the whole process (not an Exception) leaves it out.
        """
        try:
            if error is None:
                self.drain()
            elif isinstance(error, Exception):
                self._wait(self._is_idle)
                if self._error not in (None, error):
                    _log.warning("what was left to write could not all be written: %s", self._error)
        finally:
            self._close()

    def put(self, work: Callable[[], None], kind: Kind) -> None:
        """Have it done; waits for room, except for a note. Raises the error of earlier work."""
        if kind != "note":
            self._wait(self._has_room)
        with self._changed:
            self.check()
            self._pieces.append(_Piece(work, kind))
            self._changed.notify_all()

    def check(self) -> None:
        """Raise the error of earlier work."""
        if self._error is not None:
            raise self._error

    def drain(self) -> None:
        """Wait until all is done. Raises the error of earlier work."""
        self._wait(self._is_idle)
        self.check()

    def _is_idle(self) -> bool:
        return not self._pieces

    def _has_room(self) -> bool:
        return sum(piece.kind != "note" for piece in self._pieces) < SNAPSHOTS

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Until it is so, or an error came. Each piece that is done meanwhile gives the next one its own time."""
        with self._changed:
            while not ready() and self._error is None:
                self._report.begin(WRITING[self._pieces[0].kind])
                self._changed.wait()

    def _close(self) -> None:
        """Leave out what has not begun; wait for what has."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    # --- the thread's side ------------------------------------------------------------------------------------------
    def _run(self) -> None:
        # Linux knows priorities of single threads: on a CPU that trains, the steps go first.
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        """Wait for a piece and do it; False when there will be none. No snapshot is held on to in between."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._is_closed)
            if self._is_closed:
                return False
            piece = self._pieces[0]
        begun = time.monotonic()
        try:
            piece.work()
        except BaseException as error:  # noqa: BLE001 - the thread's top: whatever it is, the training must hear of it
            with self._changed:
                self._error = error
                self._changed.notify_all()
            return False
        self._report.took(WRITING[piece.kind], time.monotonic() - begun)
        with self._changed:
            self._pieces.popleft()
            self._changed.notify_all()
        return True
