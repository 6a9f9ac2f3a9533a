"""The inbox of a trainer service: a folder into which the bot puts assignments, and from which only this service takes.

inbox/<job id>.<attempt>.json     waiting            {"folder": "/…/jobs/<job id>", "attempt": 2}
inbox/claimed/<same name>         being trained; removed when the attempt has ended
inbox/service.json                who serves it: pid, device, heartbeat (written by the service)
inbox/service.lock                held (flock) by the running service
inbox/<name>.bad                  an assignment that was none, set aside by the service for the host to look at
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from trainer.contract.durable import fsync_folder, reach, write_json
from trainer.contract.errors import ChannelError, InvalidJob
from trainer.contract.spec import JOB_ID

_FILE = re.compile(rf"(?P<job>{JOB_ID.pattern})\.(?P<attempt>[1-9][0-9]*)\.json")
_SIZE_LIMIT = 64 * 1024
_PROBE_TRIES, _PROBE_PAUSE = 5, 0.05
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt handed to a service."""

    folder: Path
    attempt: int

    @property
    def job_id(self) -> str:
        """The job's id is its folder's name."""
        return self.folder.name

    @property
    def file_name(self) -> str:
        """Name of the assignment's file in the inbox."""
        return f"{self.job_id}.{self.attempt}.json"


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """What a service says about itself."""

    pid: int
    device: str
    """`cuda` or `cpu`, as asked for; empty until known."""
    device_name: str
    memory_bytes: int
    """Memory of the device (GPU memory, or the machine's)."""
    version: str
    beat_at: float
    """Unix time of the last heartbeat."""
    busy_with: str
    """Job id being trained, or empty."""

    @classmethod
    def from_json(cls, value: Any) -> ServiceInfo:
        """Raises TypeError when the value is not a service's heartbeat."""
        info = cls(**value)
        kinds: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}
        for field in fields(cls):
            if not isinstance(getattr(info, field.name), kinds[str(field.type)]):
                raise TypeError(f"{field.name} is not of type {field.type}")
        return info


class Inbox:
    """Both sides of one inbox folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the folders; raises ChannelError when that is impossible."""
        try:
            (self.path / "claimed").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ChannelError(f"cannot make the inbox {self.path}: {error.strerror or error}") from error

    # --- the bot's side ---------------------------------------------------------------------------------------------
    def assign(self, assignment: Assignment) -> None:
        """Hand over an attempt durably; doing it twice is the same as once."""
        if self.holds(assignment):
            return
        write_json(self.path / assignment.file_name, {"folder": str(assignment.folder), "attempt": assignment.attempt})

    def withdraw(self, assignment: Assignment) -> bool:
        """Take back an attempt the service has not claimed yet; False when it has."""
        try:
            (self.path / assignment.file_name).unlink()
        except FileNotFoundError:
            return False
        fsync_folder(self.path)
        return True

    def holds(self, assignment: Assignment) -> bool:
        """True while the assignment waits or is claimed."""
        return any((folder / assignment.file_name).exists() for folder in (self.path, self.path / "claimed"))

    def service(self) -> ServiceInfo | None:
        """What the service last said about itself; None when none ever ran here."""
        try:
            return ServiceInfo.from_json(json.loads((self.path / "service.json").read_bytes()))
        except (OSError, ValueError, TypeError, RecursionError):
            return None

    def is_served(self) -> bool:
        """True while a service holds the lock."""
        try:
            with _flock(self.path / "service.lock", probe=True):
                return False
        except BlockingIOError:
            return True
        except OSError:
            return False

    # --- the service's side -----------------------------------------------------------------------------------------
    @contextmanager
    def serve(self) -> Iterator[None]:
        """Hold the service lock; raises ChannelError when another service has it."""
        self.prepare()
        with _hold(self.path / "service.lock", f"another trainer service already serves {self.path}; stop it first"):
            yield

    def announce(self, info: ServiceInfo) -> None:
        """Write the heartbeat."""
        write_json(self.path / "service.json", asdict(info))

    def claimed(self) -> list[Assignment]:
        """Attempts claimed and not yet released (after a crash: interrupted ones)."""
        return self._read(self.path / "claimed")

    def waiting(self) -> list[Assignment]:
        """Attempts not yet claimed, oldest first."""
        return self._read(self.path)

    def claim(self, assignment: Assignment) -> bool:
        """Take an attempt by one rename; False when it was withdrawn meanwhile."""
        try:
            os.rename(self.path / assignment.file_name, self.path / "claimed" / assignment.file_name)
            reach("inbox.claimed")
            fsync_folder(self.path / "claimed")
            fsync_folder(self.path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ChannelError(f"cannot claim {assignment.file_name}: {error.strerror or error}") from error
        return True

    def release(self, assignment: Assignment) -> None:
        """Forget an attempt that has ended."""
        reach("inbox.before-release")
        try:
            (self.path / "claimed" / assignment.file_name).unlink(missing_ok=True)
            fsync_folder(self.path / "claimed")
        except OSError as error:
            raise ChannelError(f"cannot release {assignment.file_name}: {error.strerror or error}") from error

    def set_aside(self, assignment: Assignment, reason: str) -> None:
        """Take an assignment that cannot be served out of the way, for the host to look at."""
        for folder in (self.path, self.path / "claimed"):
            if (folder / assignment.file_name).exists():
                _set_aside(folder / assignment.file_name, reason)

    def _read(self, folder: Path) -> list[Assignment]:
        found: list[tuple[float, str, Assignment]] = []
        try:
            paths = [path for path in folder.iterdir() if _FILE.fullmatch(path.name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ChannelError(f"cannot read the inbox {folder}: {error.strerror or error}") from error
        for path in paths:
            try:
                found.append((path.stat().st_mtime, path.name, _assignment(path)))
            except FileNotFoundError:
                continue
            except (OSError, InvalidJob) as error:
                _set_aside(path, str(error))
        return [assignment for _, _, assignment in sorted(found, key=lambda entry: entry[:2])]


def _assignment(path: Path) -> Assignment:
    """The assignment in a file; raises InvalidJob when it is none, OSError when it cannot be read."""
    with path.open("rb") as file:
        data = file.read(_SIZE_LIMIT)
    try:
        value: Any = json.loads(data)
        folder, attempt = value["folder"], value["attempt"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidJob(f"not an assignment: {error!r}") from error
    if not isinstance(folder, str) or "\0" in folder or type(attempt) is not int:
        raise InvalidJob("folder or attempt is of the wrong kind")
    assignment = Assignment(Path(folder), attempt)
    if assignment.file_name != path.name:
        raise InvalidJob("it names another job inside")
    return assignment


def _set_aside(path: Path, reason: str) -> None:
    target = path.with_name(f"{path.name}.bad")
    _log.warning("set %s aside as %s: %s", path, target.name, reason)
    try:
        os.replace(path, target)
    except OSError as error:
        _log.warning("cannot set %s aside: %s", path, error)


@contextmanager
def _flock(path: Path, *, probe: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on the file; raises BlockingIOError when somebody else has it.

    A probe makes no file and takes a shared lock, so that two askers never see each other.
    """
    handle = os.open(path, os.O_RDONLY) if probe else os.open(path, os.O_RDWR | os.O_CREAT, 0o660)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if probe else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@contextmanager
def _hold(path: Path, taken: str) -> Iterator[None]:
    """Hold the lock, or raise ChannelError with the sentence `taken`; a probe's blink is waited out."""
    for _ in range(_PROBE_TRIES):
        with ExitStack() as stack:
            try:
                stack.enter_context(_flock(path))
            except BlockingIOError:
                time.sleep(_PROBE_PAUSE)
                continue
            except OSError as error:
                raise ChannelError(f"cannot lock {path}: {error.strerror or error}") from error
            yield
            return
    raise ChannelError(taken)


@contextmanager
def attempt_lock(folder: Path, attempt: int) -> Iterator[None]:
    """Hold the right to train one attempt of a job; raises ChannelError when another process is at it."""
    with _hold(
        attempt_lock_path(folder, attempt),
        f"attempt {attempt} of job {folder.name} is being trained by another process",
    ):
        yield


def attempt_lock_path(folder: Path, attempt: int) -> Path:
    """The file whose lock the process that trains the attempt holds."""
    return folder / "attempts" / str(attempt) / "lock"
