"""DirectoryChannel: a job stored in a folder on this machine."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from trainer.contract.channel import Command, Desired
from trainer.contract.durable import (
    copy_durable,
    fsync_file,
    manifest_of,
    publish_folder,
    reach,
    sha256_file,
    write_at,
    write_json,
)
from trainer.contract.errors import ChannelError, InvalidEvent, StaleAttempt
from trainer.contract.events import TERMINAL, Body, CommandDone, Event, encode
from trainer.contract.folder import JobFolder
from trainer.contract.spec import PICTURE_FILE, JobSpec

MANIFEST = "manifest.json"
STATE_SCHEMA = 2
"""Version of a state's manifest and files; a state of another version is none."""
STATES_KEPT = 2
_STATE = re.compile(r"step-(\d{8})", re.ASCII)
_REPLACEABLE = ("effective.json", "loss.png")
_KEPT_FILE = re.compile(r"effective\.json|loss\.png|(?:lora|samples)/[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class DirectoryChannel:
    """JobChannel over a job folder; one process per attempt (held by `trainer.contract.inbox.attempt_lock`)."""

    def __init__(self, folder: Path, attempt: int) -> None:
        self._job = JobFolder(folder)
        self._attempt = attempt
        self._folder = self._job.attempt(attempt)
        if not self._folder.is_dir():
            raise ChannelError(f"attempt {attempt} of job {folder.name} was never opened")
        self._log = self._folder / "events.jsonl"
        self._logging = threading.Lock()
        """Held while the log, or what is known of it, changes: events come from several threads."""
        self._events: list[Event] = []
        self._end = 0
        """Bytes of the log that hold `_events`; what is behind them is news or the torn tail of a crash."""
        self._read_on()

    def _read_on(self) -> None:
        while True:
            batch, following = self._job.read_events(self._attempt, self._end)
            if following == self._end:
                return
            if batch[0].seq != len(self._events) + 1:
                raise InvalidEvent(f"event {batch[0].seq} stands where {len(self._events) + 1} belongs")
            self._events += batch
            self._end = following

    @property
    def attempt(self) -> int:
        """Number of this attempt."""
        return self._attempt

    @property
    def workspace(self) -> Path:
        """`work/` in the attempt's folder, made on first use."""
        return self._made("work")

    @property
    def tensorboard(self) -> Path:
        """`tensorboard/` in the attempt's folder, made on first use."""
        return self._made("tensorboard")

    def _made(self, name: str) -> Path:
        path = self._folder / name
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise ChannelError(f"cannot make {name}: {error.strerror or error}; free some disk space") from error
        return path

    def spec(self) -> JobSpec:
        """The job; raises InvalidJob or InvalidConfig."""
        return self._job.spec()

    def picture(self, file: str) -> Path:
        """Path of a picture; raises ChannelError when it is missing, or not the bytes its name promises."""
        if not PICTURE_FILE.fullmatch(file):
            raise ChannelError(f"{file!r:.80} is not the name of a picture")
        path = self._job.path / "dataset" / file
        try:
            if sha256_file(path) != file.partition(".")[0]:
                raise ChannelError(f"picture {file[:12]} is damaged; submit the job again")
        except OSError as error:
            raise ChannelError(f"picture {file[:12]} is missing from the job folder; submit the job again") from error
        return path

    def desired(self) -> Desired:
        """What the bot wants now."""
        return self._job.desired()

    def commands(self, after: int) -> list[Command]:
        """Commands with a number above `after`."""
        return sorted((c for c in self._job.commands() if c.number > after), key=lambda command: command.number)

    def commands_done(self) -> int:
        """Highest number answered in any attempt's log."""
        events = [event for number in self._job.attempts() for event in self._job.all_events(number)]
        return max((event.body.number for event in events if isinstance(event.body, CommandDone)), default=0)

    def _check_current(self) -> None:
        current = self.desired().attempt
        if current > self._attempt:
            raise StaleAttempt(self._attempt, current)

    def events(self) -> list[Event]:
        """All events of this attempt so far."""
        with self._logging:
            return list(self._events)

    def append(self, body: Body) -> Event:
        """Add an event durably; a tail torn by a crash is cut off first.

        A write that failed late (in fsync) may have been seen by a reader: its line then counts, and appending the
        same again only makes it durable.
        """
        with self._logging:
            return self._append(body)

    def _append(self, body: Body) -> Event:
        self._check_current()
        known = len(self._events)
        self._read_on()
        if len(self._events) > known and self._events[-1].body == body:
            self._make_durable()
            return self._events[-1]
        if self._events and isinstance(self._events[-1].body, TERMINAL):
            raise ChannelError(f"attempt {self._attempt} has ended with {self._events[-1].body.kind}; open a new one")
        event = Event(len(self._events) + 1, time.time(), body)
        line = encode(event)
        reach(f"event.{body.kind}.before")
        try:
            write_at(self._log, self._end, line)
        except OSError as error:
            raise _no_events(error) from error
        self._end += len(line)
        self._events.append(event)
        reach(f"event.{body.kind}.after")
        return event

    def _make_durable(self) -> None:
        try:
            fsync_file(self._log)
        except OSError as error:
            raise _no_events(error) from error

    def put_file(self, name: str, source: Path) -> None:
        """Keep a finished file under the attempt's folder; only effective.json and loss.png may be kept anew."""
        self._check_current()
        if not _KEPT_FILE.fullmatch(name):
            raise ChannelError(
                f"a file cannot be kept as {name!r:.80}; lora/…, samples/…, {' and '.join(_REPLACEABLE)} can"
            )
        target = self._job.file(self._attempt, name)
        reach(f"file.{target.suffix[1:]}.before")
        try:
            if name not in _REPLACEABLE and target.exists() and sha256_file(target) != sha256_file(source):
                raise ChannelError(f"{name} exists already with other contents")
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ChannelError(f"cannot keep {name}: {error.strerror or error}") from error
        copy_durable(source, target)
        reach(f"file.{target.suffix[1:]}.after")

    def put_state(self, folder: Path, step: int) -> None:
        """Keep a resume state and forget all but the newest two of this attempt."""
        self._check_current()
        states = self._folder / "state"
        final = states / f"step-{step:08d}"
        try:
            if verifies(final, step):
                shutil.rmtree(folder)
                return
            shutil.rmtree(final, ignore_errors=True)  # damaged
            names = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)
            write_json(folder / MANIFEST, {"schema": STATE_SCHEMA, "step": step, "files": manifest_of(folder, names)})
            reach("state.manifest")
            states.mkdir(exist_ok=True)
            publish_folder(folder, final)
        except OSError as error:
            raise ChannelError(f"cannot keep the state of step {step}: {error.strerror or error}") from error
        for old in sorted(path for path in states.iterdir() if _STATE.fullmatch(path.name))[:-STATES_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        reach("state.kept")

    def states(self) -> Iterator[tuple[int, int, Path]]:
        """Verified states, newest step first, of this and all earlier attempts."""
        found = [
            (int(match[1]), number, path)
            for number in self._job.attempts()
            if number <= self._attempt
            for path in (self._job.attempt(number) / "state").glob("step-*")
            if (match := _STATE.fullmatch(path.name))
        ]
        for step, number, path in sorted(found, reverse=True):
            if verifies(path, step):
                yield step, number, path


def verifies(state: Path, step: int) -> bool:
    """True when the state holds exactly the files its manifest lists, with their sizes and sha256."""
    try:
        manifest = json.loads((state / MANIFEST).read_bytes())
        names = {path.name for path in state.iterdir()} - {MANIFEST}
        known = manifest["schema"] == STATE_SCHEMA and manifest["step"] == step
        return bool(known and manifest["files"] == manifest_of(state, names))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _no_events(error: OSError) -> ChannelError:
    return ChannelError(f"cannot write events: {error.strerror or error}; free some disk space")
