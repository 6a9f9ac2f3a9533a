"""One attempt in a process of its own: started, watched, and, when it dies without a word, spoken for.

The child is `python -m trainer run FOLDER --attempt N`, in a session of its own. It hears of this process's death by
itself (PR_SET_PDEATHSIG), so that no orphan trains on for a service that is gone. Nothing here imports torch.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from trainer.contract.events import Failed
from trainer.contract.exits import Exit
from trainer.contract.inbox import Assignment

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
INTERRUPTED = Failed(
    code="crashed",
    message="The trainer service was interrupted; another attempt goes on from the last saved state.",
    retry=True,
)
"""The last event of an attempt that ended because its service did, and had no time to say so itself."""
HUNG = Failed(
    code="hung",
    message="The training gave no sign of life any more and was ended; "
    "another attempt goes on from the last saved state.",
    retry=True,
)
"""The last event of an attempt that no longer answered."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a child is waited for, in seconds."""

    starting: float = 300.0
    """To its first event: packages are read from a disk that may be slow."""
    silence: float = 120.0
    """Without a new event it is taken for hung. Heartbeats fill a healthy silence every 10 s, and cease when the work
    hangs (see trainer.training.lifeline)."""
    stopping: float = 80.0
    """To write its state when the service stops; below TimeoutStopSec of the systemd unit."""
    dying: float = 30.0
    """Between SIGTERM and SIGKILL of a hung one."""


class Child:
    """A running attempt."""

    def __init__(self, assignment: Assignment, command: Sequence[str], patience: Patience) -> None:
        """Start the command, its output in the attempt's `trainer.log`; raises OSError when the system refuses."""
        self._attempt = assignment.folder / "attempts" / str(assignment.attempt)
        self._patience = patience
        with (self._attempt / "trainer.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        _log.info("job %s attempt %d runs as process %d", assignment.job_id, assignment.attempt, self._process.pid)

    def watch(self, poll: float, stopping: Callable[[], bool], beat: Callable[[], None]) -> Failed:
        """Wait until it has ended; returns what to say for it if it did not say it itself.

        `stopping` is asked, and `beat` called, every `poll` seconds.
        """
        size, news_at = -1, time.monotonic()
        kill_at: float | None = None
        reason: Failed | None = None
        while True:
            with suppress(subprocess.TimeoutExpired):
                code = self._ended(self._process.wait(poll))
                return reason or speak_for(code)
            beat()
            now = time.monotonic()
            if (new_size := self._log_size()) != size:
                size, news_at = new_size, now
            if kill_at is None and stopping():
                reason, kill_at = INTERRUPTED, self._ask_to_leave(now + self._patience.stopping)
            elif kill_at is None and now - news_at > (self._patience.silence if size else self._patience.starting):
                _log.warning("process %d gave no sign of life for %.0f s", self._process.pid, now - news_at)
                reason, kill_at = HUNG, self._ask_to_leave(now + self._patience.dying)
            elif kill_at is not None and now > kill_at:
                self._kill_all()

    def _log_size(self) -> int:
        try:
            return (self._attempt / "events.jsonl").stat().st_size
        except OSError:
            return 0

    def _ask_to_leave(self, kill_at: float) -> float:
        self._process.terminate()
        return kill_at

    def _kill_all(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _ended(self, code: int) -> int:
        self._kill_all()  # helpers it may have left behind
        _log.info("process %d ended with %d", self._process.pid, code)
        return code


def speak_for(code: int, who: str = "The trainer") -> Failed:
    """The last event of a process that ended with `code` (negative: by that signal) and said nothing itself."""
    if code == -signal.SIGKILL:
        reason = "was killed (signal 9), often the machine ran out of memory"
    elif code < 0:
        reason = f"crashed ({_signal_name(-code)})"
    elif code == Exit.USAGE:
        message = "The trainer could not use this job; its host finds the reason in trainer.log."
        return Failed(code="invalid-job", message=message, retry=False)
    else:
        reason = f"ended with exit code {code} before it could say why (its host finds more in trainer.log)"
    return Failed(
        code="crashed", message=f"{who} {reason}; another attempt goes on from the last saved state.", retry=True
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def follow(parent: int, by: int = signal.SIGTERM) -> bool:
    """Have this process get that signal when its parent dies; False when the parent is gone already. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, by)
    return os.getppid() == parent


def end_process(pid: int, is_gone: Callable[[], bool], patience: float, pause: float = 0.1) -> None:
    """SIGTERM, then SIGKILL after `patience` seconds, until `is_gone`."""
    deadline = time.monotonic() + patience
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    while not is_gone() and time.monotonic() < deadline:
        time.sleep(pause)
    with suppress(ProcessLookupError):
        if not is_gone():
            os.kill(pid, signal.SIGKILL)
