"""SIGTERM and SIGINT as a polite request: the first one sets an event, a second Ctrl-C ends the process at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals(on_first: Callable[[], None] | None = None) -> Iterator[threading.Event]:
    """An event that SIGTERM or SIGINT sets; the old handlers come back at the end.

    Only `is_set` may be asked of it in the main thread: waiting on it there could deadlock with the handler.
    """
    stop = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and stop.is_set():
            raise KeyboardInterrupt
        first = not stop.is_set()
        stop.set()
        if first and on_first is not None:
            on_first()

    old = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
