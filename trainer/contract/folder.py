"""JobFolder: the bot's side of a job folder. It creates jobs, says what is wanted, and reads what attempts tell."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from trainer.contract.channel import Command, Desired, Wish
from trainer.contract.durable import (
    copy_durable,
    fsync_folder,
    publish_folder,
    reach,
    sha256_file,
    write_at,
    write_json,
)
from trainer.contract.errors import ChannelError, InvalidEvent, InvalidJob, StaleAttempt
from trainer.contract.events import LINE_LIMIT, Event, decode
from trainer.contract.spec import JobSpec, parse_spec

READ_LIMIT = LINE_LIMIT
"""Bytes of events taken in one read, so that a long log never blocks the bot."""

_ATTEMPT = re.compile(r"[1-9][0-9]{0,8}")
_LEFTOVER = re.compile(r"\.(?P<job>[0-9A-Za-z][0-9A-Za-z_-]*)\.[0-9a-f]{32}\.(?:tmp|deleted)")


class JobFolder:
    """One job on a local disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, root: Path, spec: JobSpec, source_of: Callable[[str], Path]) -> JobFolder:
        """Write a new job below `root`, whole or not at all; `source_of` gives the path of each picture
        and mask.

        Raises ChannelError when the disk refuses or the job exists already, InvalidJob when a picture's bytes are not
        those its name promises.
        """
        final = root / spec.job_id
        temporary = root / f".{spec.job_id}.{uuid.uuid4().hex}.tmp"
        try:
            root.mkdir(parents=True, exist_ok=True)
            if final.exists():
                raise ChannelError(f"job {spec.job_id} exists already")
            for name in ("dataset", "attempts"):
                (temporary / name).mkdir(parents=True)
            for file in sorted({name for picture in spec.pictures for name in (picture.file, picture.mask) if name}):
                copy_durable(source_of(file), temporary / "dataset" / file)
                if sha256_file(temporary / "dataset" / file) != file.partition(".")[0]:
                    raise InvalidJob(f"picture {file[:12]} has changed since it was stored; add it again")
            write_json(temporary / "job.json", spec.to_json())
            write_json(temporary / "desired.json", Desired("run", 0).to_json())
            (temporary / "commands.jsonl").touch()
            publish_folder(temporary, final)
        except OSError as error:
            reason = error.strerror or error
            raise ChannelError(f"cannot create job {spec.job_id}: {reason}; is the disk full?") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return cls(final)

    def spec(self) -> JobSpec:
        """The job; raises InvalidJob when it is missing or damaged."""
        try:
            return parse_spec((self.path / "job.json").read_bytes())
        except OSError as error:
            raise InvalidJob(f"{self.path.name} is not a job folder: {error.strerror or error}") from error

    def attempt(self, number: int) -> Path:
        """Folder of an attempt."""
        return self.path / "attempts" / str(number)

    def attempts(self) -> list[int]:
        """Numbers of the attempts opened so far, ascending."""
        try:
            return sorted(int(p.name) for p in (self.path / "attempts").iterdir() if _ATTEMPT.fullmatch(p.name))
        except OSError:
            return []

    def open_attempt(self, number: int) -> None:
        """Make the folder of an attempt and let only this attempt write from now on; twice is the same as once.

        A wish said since (stop, pause) stays. Raises StaleAttempt when a newer attempt is open, ChannelError when the
        disk refuses.
        """
        current = self.desired().attempt
        if number < max(current, 1):
            raise StaleAttempt(number, current)
        folder = self.attempt(number)
        try:
            for name in ("lora", "samples", "state"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            fsync_folder(folder)
            fsync_folder(folder.parent)
        except OSError as error:
            raise ChannelError(f"cannot open attempt {number}: {error.strerror or error}; free some disk") from error
        reach("attempt.made")
        if number > current:
            self.set_desired("run", number)

    def set_desired(self, wish: Wish, attempt: int) -> None:
        """Say what is wanted of the attempt."""
        write_json(self.path / "desired.json", Desired(wish, attempt).to_json())

    def desired(self) -> Desired:
        """What was wanted last; raises InvalidJob when desired.json is missing or damaged."""
        try:
            return Desired.from_json(json.loads((self.path / "desired.json").read_bytes()))
        except (OSError, ValueError, RecursionError) as error:
            raise InvalidJob(f"desired.json of {self.path.name} cannot be read: {error}") from error

    def commands(self) -> list[Command]:
        """All whole command lines, in order."""
        try:
            data = (self.path / "commands.jsonl").read_bytes()
        except OSError as error:
            raise ChannelError(f"commands of {self.path.name} cannot be read: {error}") from error
        return [Command.from_line(line) for line in data.splitlines(keepends=True) if line.endswith(b"\n")]

    def add_command(self, command: Command) -> None:
        """Append a command durably; the caller numbers them densely from 1. A number already there is left alone."""
        if any(known.number == command.number for known in self.commands()):
            return
        append_line(self.path / "commands.jsonl", command.to_line())
        reach("command.appended")

    def read_events(self, attempt: int, offset: int) -> tuple[list[Event], int]:
        """Events of an attempt from a byte offset on, and the offset behind them.

        A line still being written is left for the next call. Raises InvalidEvent on a damaged line or a gap in the
        numbers (between two calls the caller checks that they go on).
        """
        try:
            with (self.attempt(attempt) / "events.jsonl").open("rb") as file:
                file.seek(offset)
                data = file.read(READ_LIMIT)
        except FileNotFoundError:
            return [], offset
        except OSError as error:
            raise ChannelError(f"events of attempt {attempt} cannot be read: {error.strerror or error}") from error
        whole = data[: whole_lines_end(data)]
        if not whole and len(data) == READ_LIMIT:
            raise InvalidEvent(f"a line of attempt {attempt} is longer than {LINE_LIMIT} bytes; the log is damaged")
        events = [decode(line) for line in whole.split(b"\n")[:-1]]
        first = 1 if offset == 0 or not events else events[0].seq
        for expected, event in enumerate(events, first):
            if event.seq != expected:
                raise InvalidEvent(f"attempt {attempt}: event {event.seq} stands where {expected} belongs")
        return events, offset + len(whole)

    def all_events(self, attempt: int) -> list[Event]:
        """Every event of an attempt; raises InvalidEvent when they are damaged. Of a long log better read parts."""
        events: list[Event] = []
        offset = 0
        while True:
            batch, following = self.read_events(attempt, offset)
            if following == offset:
                return events
            if batch[0].seq != len(events) + 1:
                raise InvalidEvent(f"event {batch[0].seq} stands where {len(events) + 1} belongs")
            events, offset = events + batch, following

    def file(self, attempt: int, name: str) -> Path:
        """Path of a file an event named; raises InvalidJob when the name leads out of the attempt's folder."""
        root = self.attempt(attempt).resolve()
        try:
            path = (root / name).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # a NUL, a loop of links
            raise InvalidJob(f"event names no file: {name!r:.80}") from error
        if not path.is_relative_to(root) or path == root:
            raise InvalidJob(f"event names a file outside its attempt: {name!r:.80}")
        return path

    def delete(self) -> None:
        """Remove the job and everything in it; the name goes first, so that a half-deleted job is never found.

        Doing it again after a crash removes what the first time left. Raises ChannelError when the disk refuses.
        """
        try:
            if self.path.exists():
                os.rename(self.path, self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.deleted"))
                fsync_folder(self.path.parent)
            reach("job.renamed-for-deletion")
            remove_leftovers(self.path.parent, job_id=self.path.name)
        except OSError as error:
            raise ChannelError(f"cannot delete job {self.path.name}: {error.strerror or error}") from error


def remove_leftovers(root: Path, job_id: str | None = None) -> None:
    """Remove what killed creations and deletions left below `root`, of one job or of all; OSError passes.

    Call it for all jobs only while nobody creates one: at the bot's start.
    """
    for path in root.iterdir() if root.is_dir() else ():
        match = _LEFTOVER.fullmatch(path.name)
        if match and job_id in (None, match["job"]):
            shutil.rmtree(path)
    reach("leftovers.removed")


def append_line(path: Path, line: bytes) -> None:
    """Append one whole line durably.

    A torn tail (no newline: a writer died in it) was never seen by a reader and is cut first.
    Raises ChannelError when the disk refuses; the file then ends where it ended before.
    """
    try:
        end = whole_lines_end(path.read_bytes()) if path.exists() else 0
        try:
            write_at(path, end, line)
        except OSError:
            os.truncate(path, end)
            raise
    except OSError as error:
        raise ChannelError(f"cannot append to {path.name}: {error.strerror or error}; free some disk space") from error


def whole_lines_end(data: bytes) -> int:
    """Length of the part of `data` that ends in a newline."""
    return data.rfind(b"\n") + 1


def sources_from(pictures: Mapping[str, Path]) -> Callable[[str], Path]:
    """`source_of` for JobFolder.create from a plain mapping; raises InvalidJob for a picture that is not in it."""

    def source_of(file: str) -> Path:
        if file not in pictures:
            raise InvalidJob(f"picture {file[:12]} has no file")
        return pictures[file]

    return source_of
