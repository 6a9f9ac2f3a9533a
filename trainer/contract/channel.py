"""JobChannel: the one way a trainer touches a job, wherever the job is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from trainer.contract.errors import InvalidJob
from trainer.contract.events import Body, Event
from trainer.contract.spec import JobSpec

Wish = Literal["run", "pause", "stop"]


@dataclass(frozen=True, slots=True)
class Desired:
    """What the bot wants now; the last write wins."""

    wish: Wish
    attempt: int
    """The attempt that may write; an older one leaves at its next step (fencing)."""

    def to_json(self) -> dict[str, Any]:
        """Plain value for desired.json."""
        return {"wish": self.wish, "attempt": self.attempt}

    @classmethod
    def from_json(cls, value: Any) -> Desired:
        """Raises InvalidJob when the value is not a desired state."""
        if (
            not isinstance(value, Mapping)
            or value.get("wish") not in ("run", "pause", "stop")
            or type(value.get("attempt")) is not int
            or value.keys() != {"wish", "attempt"}
        ):
            raise InvalidJob(f"desired.json cannot be {value!r}")
        return cls(value["wish"], value["attempt"])


@dataclass(frozen=True, slots=True)
class Command:
    """A numbered wish that must not be lost; each is answered by one command-done event."""

    number: int
    kind: Literal["sample", "extend"]
    epochs: int = 0
    """For `extend`: epochs to add."""

    def to_line(self) -> bytes:
        """One line of commands.jsonl."""
        return json.dumps({"number": self.number, "kind": self.kind, "epochs": self.epochs}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Command:
        """Raises InvalidJob when the line is not a command."""
        try:
            value = json.loads(line)
            number, kind, epochs = value["number"], value["kind"], value["epochs"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidJob(f"not a command line: {line[:80]!r}") from error
        if type(number) is not int or number < 1 or kind not in ("sample", "extend") or type(epochs) is not int:
            raise InvalidJob(f"not a command line: {line[:80]!r}")
        if epochs < (kind == "extend"):
            raise InvalidJob(f"command {number} asks for {epochs} more epochs; give at least 1")
        return cls(number, kind, epochs)


class JobChannel(Protocol):
    """One attempt's view of its job. Every write raises StaleAttempt once a newer attempt exists, ChannelError when
    the storage refuses (disk full). Writes are durable on return.

    Training, its writing in the background and the heartbeat are threads of one process: `append`, `events`, `desired`,
    `commands`, `workspace`, `put_file` and `put_state` may be called at the same time, by any of them. Only one name or
    one step is never kept by two threads at once, and everything else is called before training begins.
    """

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""

    @property
    def workspace(self) -> Path:
        """Scratch folder of this attempt on local disk; may be deleted once the attempt has ended."""

    @property
    def tensorboard(self) -> Path:
        """Folder of this attempt on local disk for TensorBoard's growing files, which are kept; raises ChannelError."""

    def spec(self) -> JobSpec:
        """The job; raises InvalidJob or InvalidConfig."""

    def picture(self, file: str) -> Path:
        """Local path of a picture of the spec; raises ChannelError when it is not there."""

    def desired(self) -> Desired:
        """What the bot wants now."""

    def commands(self, after: int) -> list[Command]:
        """Commands with a number above `after`, in order."""

    def commands_done(self) -> int:
        """The highest command number that any attempt has answered."""

    def append(self, body: Body) -> Event:
        """Add an event to the log; returns it with its number. Nothing may follow a terminal event (ChannelError)."""

    def events(self) -> list[Event]:
        """All events of this attempt so far."""

    def put_file(self, name: str, source: Path) -> None:
        """Keep a finished file as `lora/…`, `samples/…`, `loss.png` or `effective.json` (these two may be kept anew);
        the source must not change afterwards."""

    def put_state(self, folder: Path, step: int) -> None:
        """Keep a resume state: a folder of plain files in the workspace, which is consumed. A manifest with schema,
        step, and each file's size and sha256 is added; the newest two states of the attempt are kept."""

    def states(self) -> Iterator[tuple[int, int, Path]]:
        """Resume states that verify, newest step first, of this and all earlier attempts: (step, attempt, folder)."""
