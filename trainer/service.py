"""The trainer service: takes what the bot put into its inbox, one attempt after the other, each in a child process.

It imports no torch, idles on two directory listings a second, and holds three promises: an attempt it claimed always
ends in a terminal event (the child's own, or one written here for a child that died), a job that cannot be trained
never stops the next one, and on SIGTERM the child gets the time to write its state.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from trainer.contract.cache import CacheOptions
from trainer.contract.directory import DirectoryChannel
from trainer.contract.errors import ChannelError, ContractError
from trainer.contract.events import TERMINAL, Failed, Finished
from trainer.contract.exits import Exit
from trainer.contract.folder import JobFolder
from trainer.contract.inbox import Assignment, Inbox, ServiceInfo, attempt_lock, attempt_lock_path
from trainer.machine import describe, lock_holder, version
from trainer.supervise import INTERRUPTED, Child, Patience, end_process

BEAT_SECONDS = 5.0
"""Time between heartbeats of an unchanged service; the bot calls one silent after some 30 s."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """How a service runs."""

    inbox: Path
    device: str = "auto"
    name: str = "trainer"
    poll: float = 1.0
    """Seconds between two looks at the inbox and at the child."""
    once: bool = False
    """Leave when nothing waits any more."""
    patience: Patience = field(default_factory=Patience)
    processes: int = 1
    """That share each training."""
    cache: CacheOptions | None = None
    """Where its trainings keep latents for later ones."""


Start = Callable[[Assignment, ServiceOptions], Child]


def start_trainer(assignment: Assignment, options: ServiceOptions) -> Child:
    """`python -m trainer run` on the assignment; raises OSError when the system refuses."""
    command = [sys.executable, "-m", "trainer", "run", str(assignment.folder), "--attempt", str(assignment.attempt)]
    command += ["--device", options.device, "--service", options.name, "--parent", str(os.getpid())]
    if options.cache is not None:
        command += ["--cache", str(options.cache.folder), "--cache-bytes", str(options.cache.limit)]
    if options.processes > 1:
        command += ["--processes", str(options.processes)]
    command.append("--debug")  # its stderr is the host's trainer.log, where tracebacks belong
    return Child(assignment, command, options.patience)


def serve(options: ServiceOptions, stop: threading.Event, start: Start = start_trainer) -> Exit:
    """Serve the inbox until `stop` is set (or, with `once`, until it is empty).

    Returns PAUSED when a training was interrupted. Raises ChannelError when another service has the inbox or, with
    `once`, the disk refuses.
    """
    inbox = Inbox(options.inbox)
    with inbox.serve():
        return Service(inbox, options, stop, start).run()


class Service:
    """The holder of one inbox."""

    def __init__(self, inbox: Inbox, options: ServiceOptions, stop: threading.Event, start: Start) -> None:
        self._inbox = inbox
        self._options = options
        self._stop = stop
        self._start = start
        self._machine = describe(options.device)
        self._beat_at = float("-inf")
        self._busy_with = ""
        self._interrupted = False

    def run(self) -> Exit:
        """See `serve`. Polls by sleeping: waiting on an Event that a signal handler sets can deadlock."""
        _log.info("serving %s on %s", self._inbox.path, self._machine.name)
        while not self._stop.is_set():
            try:
                if self._work():
                    continue
                if self._options.once:
                    return Exit.FINISHED
            except ContractError as error:
                if self._options.once:
                    raise
                _log.warning("%s; trying again", error)
            except Exception:  # noqa: BLE001 - the loop's top: one strange job must not end the service
                _log.exception("unexpected error; trying again")
            time.sleep(self._options.poll)
        return Exit.PAUSED if self._interrupted else Exit.FINISHED

    def _work(self) -> bool:
        """Settle what an earlier service left, then train the oldest assignment; False when there was none."""
        self._beat()
        for assignment in self._inbox.claimed():
            self._settle(assignment)
        for assignment in self._inbox.waiting():
            if self._is_current(assignment) and self._inbox.claim(assignment):
                self._train(assignment)
                return True
        return False

    def _is_current(self, assignment: Assignment) -> bool:
        """True when this attempt may run; one replaced meanwhile is dropped, one that never can run is set aside."""
        job = JobFolder(assignment.folder)
        try:
            current = job.desired().attempt
        except ContractError as error:
            self._inbox.set_aside(assignment, str(error))
            return False
        if current > assignment.attempt:
            _log.info("job %s attempt %d was replaced by %d", assignment.job_id, assignment.attempt, current)
            self._inbox.withdraw(assignment)
            return False
        if current < assignment.attempt or not job.attempt(assignment.attempt).is_dir():
            self._inbox.set_aside(assignment, f"attempt {assignment.attempt} was never opened")
            return False
        return True

    def _train(self, assignment: Assignment) -> None:
        self._busy_with = assignment.job_id
        self._beat(force=True)
        try:
            child = self._start(assignment, self._options)
            failure = child.watch(self._options.poll, self._stop.is_set, self._beat)
        except OSError as error:
            _log.error("cannot start the trainer: %s", error)
            message = f"The trainer could not be started ({error.strerror or error}); its host must look at it."
            failure = Failed(code="crashed", message=message, retry=True)
        finally:
            self._busy_with = ""
        self._conclude(assignment, failure)
        self._beat(force=True)

    def _settle(self, assignment: Assignment) -> None:
        """End what an earlier service left behind: its child if that still lives, then its log."""
        _log.info("job %s attempt %d was left by an earlier service", assignment.job_id, assignment.attempt)
        lock = attempt_lock_path(assignment.folder, assignment.attempt)
        holder = lock_holder(lock, str(assignment.folder))
        if holder is not None:
            mark = str(assignment.folder)
            end_process(holder, lambda: lock_holder(lock, mark) != holder, self._options.patience.dying)
        self._conclude(assignment, INTERRUPTED)

    def _conclude(self, assignment: Assignment, failure: Failed) -> None:
        """See that the attempt's log ends, with `failure` if with nothing else, and let the assignment go.

        Raises ChannelError, with the assignment kept for another try, when the disk refuses.
        """
        if JobFolder(assignment.folder).attempt(assignment.attempt).is_dir():
            try:
                with attempt_lock(assignment.folder, assignment.attempt):
                    channel = DirectoryChannel(assignment.folder, assignment.attempt)
                    events = channel.events()
                    if not events or not isinstance(events[-1].body, TERMINAL):
                        channel.append(failure)
                    with suppress(OSError):  # what a killed child left in it
                        shutil.rmtree(channel.workspace)
                    self._interrupted = self._stop.is_set() and not isinstance(channel.events()[-1].body, Finished)
            except ChannelError:
                raise
            except ContractError as error:  # replaced by a newer attempt, deleted, or a damaged log: the bot knows
                _log.warning("job %s attempt %d: %s", assignment.job_id, assignment.attempt, error)
        self._inbox.release(assignment)

    def _beat(self, *, force: bool = False) -> None:
        """Say that the service lives, every few seconds or when it has news."""
        now = time.monotonic()
        if not force and now - self._beat_at < BEAT_SECONDS:
            return
        self._beat_at = now
        info = ServiceInfo(
            pid=os.getpid(),
            device=self._machine.device,
            device_name=self._machine.name,
            memory_bytes=self._machine.memory_bytes,
            version=version(),
            beat_at=time.time(),
            busy_with=self._busy_with,
        )
        try:
            self._inbox.announce(info)
        except ChannelError as error:
            _log.warning("no heartbeat: %s", error)
