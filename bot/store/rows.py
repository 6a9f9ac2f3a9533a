"""Typed rows of the database; one frozen dataclass a table."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal, Self

from trainer.contract.spec import Kind

JobState = Literal["queued", "running", "stopping", "finished", "stopped", "failed"]
ACTIVE: tuple[JobState, ...] = ("queued", "running", "stopping")
CardKind = Literal["dataset", "batch", "job", "report"]
HelperState = Literal["asked", "active"]


class Row:
    """Base: builds the dataclass from a row by its column names."""

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """The typed row; columns and fields have the same names."""
        names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**{key: row[key] for key in row.keys() if key in names})  # noqa: SIM118


@dataclass(frozen=True, slots=True)
class Dataset(Row):
    """Pictures of one subject, gathered in one thread."""

    id: int
    guild_id: int
    channel_id: int
    thread_id: int | None
    owner_id: int
    name: str
    trigger: str
    class_word: str
    kind: Kind
    state: Literal["awaiting-consent", "open", "deleting"]
    last_version: int
    created_at: float
    read_until: int = 0
    """Id of the newest message of its thread that was looked at."""
    square: int | None = None
    """1: trained on squares, 0: on the pictures' own shapes; None: nobody said, so as the preset has it."""
    tag_options: str = "{}"
    """JSON of the tagger options that differ from the host's."""
    archived_at: float | None = None
    """When it was put away; None while it is in use."""


@dataclass(frozen=True, slots=True)
class Helper(Row):
    """A member whom a dataset's owner lets edit it."""

    dataset_id: int
    user_id: int
    state: HelperState
    added_at: float


@dataclass(frozen=True, slots=True)
class Batch(Row):
    """One hand-over of pictures."""

    id: int
    dataset_id: int
    added_by: int
    added_at: float
    source: str
    notes: str

    @property
    def note_list(self) -> list[str]:
        """Sentences on files that were refused or known already."""
        return [str(item) for item in json.loads(self.notes)]


@dataclass(frozen=True, slots=True)
class Picture(Row):
    """A stored picture and its caption."""

    id: int
    dataset_id: int
    batch_id: int
    file: str
    source_sha256: str
    file_name: str
    width: int
    height: int
    caption: str
    revision: int
    tagged: int
    warnings: str
    added_at: float
    focus: str = ""
    """JSON of the square a member chose, as shares of the sides; empty: the suggested one (bot.rules.pictures.crop)."""
    compared: int = 0
    """1 once it was compared with the other pictures of its dataset."""

    @property
    def focus_box(self) -> tuple[float, float, float, float] | None:
        """The square a member chose, if any."""
        if not self.focus:
            return None
        left, top, right, lower = (float(value) for value in json.loads(self.focus))
        return left, top, right, lower

    @property
    def warning_list(self) -> list[str]:
        """Sentences on what is wrong with the picture."""
        return [str(item) for item in json.loads(self.warnings)]


@dataclass(frozen=True, slots=True)
class CaptionEdit(Row):
    """A bulk edit of captions: offered, then perhaps applied, then perhaps undone."""

    id: int
    dataset_id: int
    user_id: int
    title: str
    operation: str
    mark: str
    notes: str
    offered_at: float
    applied_at: float | None
    undone_at: float | None
    undone_by: int | None

    @property
    def note_list(self) -> list[str]:
        """Sentences shown with the diff."""
        return [str(item) for item in json.loads(self.notes)]


@dataclass(frozen=True, slots=True)
class Job(Row):
    """One training, from Start to its file."""

    id: str
    dataset_id: int
    guild_id: int
    owner_id: int
    thread_id: int
    name: str
    preset: str
    state: JobState
    attempt: int
    lost_attempts: int
    steps: int
    epochs: int
    progress: str
    error: str
    lora_file: str
    lora_sha256: str
    lora_bytes: int
    gpu_seconds: float
    submitted_at: float
    started_at: float | None
    ended_at: float | None

    @property
    def shown(self) -> dict[str, Any]:
        """What the last events said, as the card shows it."""
        value = json.loads(self.progress)
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Attempt(Row):
    """One try at a job by one service."""

    job_id: str
    number: int
    service: str
    assigned_at: float
    ended_at: float | None
    outcome: str
    event_offset: int
    event_seq: int
    last_event_at: float | None


@dataclass(frozen=True, slots=True)
class Post(Row):
    """A message that must be posted once (table outbox)."""

    id: int
    channel_id: int
    kind: str
    job_id: str | None
    payload: str
    state: Literal["waiting", "sending", "sent", "given-up"]
    tries: int
    next_try_at: float
    first_try_at: float | None
    message_id: int | None
    error: str
    created_at: float

    @property
    def values(self) -> dict[str, Any]:
        """The payload."""
        value = json.loads(self.payload)
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Card(Row):
    """A message edited in place."""

    kind: CardKind
    ref: str
    channel_id: int
    message_id: int | None
    page: int
    dirty: int
    urgent: int
    posting_at: float | None
    posted_at: float | None
    edited_at: float | None
    error: str
    shows: str = ""
    """Of a pager: all its pictures (empty), or `uncaptioned`, or `red`."""
