"""Events: what an attempt tells the bot, one JSON object a line, numbered without gaps from 1.

A line is `{"seq": 7, "at": 1790000000.0, "kind": "step", ...fields}`. Fields nobody knows are an error, so that a
bot and a trainer of different versions notice it instead of guessing.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from trainer.contract.durable import json_bytes
from trainer.contract.errors import InvalidEvent, unknown_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The attempt began."""

    kind: ClassVar[str] = "claimed"
    service: str
    pid: int
    device: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """Something slow before the first step, in words for the member (`loading the base model`)."""

    kind: ClassVar[str] = "preparing"
    doing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caching:
    """Latents and texts encoded so far."""

    kind: ClassVar[str] = "caching"
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Progress after an optimizer step; sent about twice a second at most, so steps may be skipped."""

    kind: ClassVar[str] = "step"
    epoch: int
    """Epoch the step belongs to, from 1."""
    epochs: int
    step: int
    """Optimizer steps done, from 1."""
    steps: int
    loss: float
    """Loss of this step."""
    smoothed_loss: float
    learning_rate: float
    seconds_per_step: float
    images_per_second: float
    vram_bytes: int
    """Peak GPU memory so far; 0 on a CPU."""
    eta_seconds: float
    """Time to the end of training, samples and checkpoints included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Pictures drawn with the LoRA as it is now."""

    kind: ClassVar[str] = "sample"
    epoch: int
    step: int
    files: tuple[str, ...]
    """Names below the attempt's folder, e.g. `samples/epoch-005-0.webp`."""
    grid: str
    """One picture with all of them."""
    prompts: tuple[str, ...]
    command: int = 0
    """Number of the sample-now command that asked for it; 0 for a checkpoint epoch's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A LoRA file was kept."""

    kind: ClassVar[str] = "checkpoint"
    epoch: int
    step: int
    file: str
    """Name below the attempt's folder, e.g. `lora/epoch-005.safetensors`."""
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """The loss on the pictures held back, at the end of an epoch; its noise and timesteps are always the same."""

    kind: ClassVar[str] = "validated"
    epoch: int
    step: int
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A resume state is safe on disk."""

    kind: ClassVar[str] = "state"
    epoch: int
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDone:
    """A numbered command was carried out, or refused with the reason."""

    kind: ClassVar[str] = "command-done"
    number: int
    ok: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The attempt goes on from an earlier one's state."""

    kind: ClassVar[str] = "resumed"
    epoch: int
    step: int
    from_attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """The attempt ended with its state written; another attempt can go on from it. Terminal."""

    kind: ClassVar[str] = "paused"
    reason: Literal["asked", "shutdown", "disk-full"]
    step: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last LoRA file is there: trained to the end, or stopped by request. Terminal."""

    kind: ClassVar[str] = "finished"
    reason: Literal["complete", "stopped"]
    epoch: int
    step: int
    file: str
    """Name below the attempt's folder; empty when stopped before the first step."""
    sha256: str
    bytes: int
    training_seconds: float
    """Time spent in steps, over all attempts."""
    message: str = ""
    """Why it ended before its planned length, in one sentence; empty where it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The attempt ended in an error. Terminal."""

    kind: ClassVar[str] = "failed"
    code: str
    """Short name such as `bad-picture`, `out-of-memory`, `base-model`, `nan-loss`, `crashed`, `internal`."""
    message: str
    """One sentence for the member: the cause and what to do."""
    retry: bool
    """True when another attempt may get further (a crash), False when it would fail alike (a bad file)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Still alive, nothing new (sent when nothing else was for about 10 s)."""

    kind: ClassVar[str] = "heartbeat"


Body = (
    Claimed
    | Preparing
    | Caching
    | Resumed
    | Step
    | Sample
    | Checkpoint
    | Validated
    | State
    | CommandDone
    | Paused
    | Finished
    | Failed
    | Heartbeat
)
TERMINAL = (Paused, Finished, Failed)
"""Kinds that end an attempt; nothing follows them in its log."""

_KINDS: Mapping[str, type] = types.MappingProxyType({body.kind: body for body in typing.get_args(Body)})
_FIELDS: Mapping[type, Mapping[str, Any]] = types.MappingProxyType(
    {
        body: {f.name: typing.get_type_hints(body)[f.name] for f in dataclasses.fields(body)}
        for body in typing.get_args(Body)
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an attempt's log."""

    seq: int
    at: float
    """Unix time, seconds."""
    body: Body


LINE_LIMIT = 1 << 20
"""Longest line of a log, in bytes, so that a reader never has to hold more."""


def encode(event: Event) -> bytes:
    """The event as one line, newline included; raises InvalidEvent for a number that is none, or an endless text."""
    value = {"seq": event.seq, "at": event.at, "kind": event.body.kind, **dataclasses.asdict(event.body)}
    try:
        line = json_bytes(value)
    except ValueError as error:
        raise InvalidEvent(f"event {event.body.kind} holds a number that is not finite") from error
    if len(line) > LINE_LIMIT:
        raise InvalidEvent(f"event {event.body.kind} has {len(line)} bytes, more than {LINE_LIMIT}; shorten its text")
    return line


def decode(line: bytes) -> Event:
    """The event of one line; raises InvalidEvent when anything about it is not as encode writes it."""
    try:
        value = json.loads(line)
        seq, at, kind = value.pop("seq"), value.pop("at"), value.pop("kind")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise InvalidEvent(f"not an event line: {line[:80]!r}") from error
    if type(seq) is not int or seq < 1:
        raise InvalidEvent(f"event number is not a number: {line[:80]!r}")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InvalidEvent(unknown_name(str(kind), _KINDS))
    return Event(seq, _field(Event, "at", float, at), _body(_KINDS[kind], value))


def _body(cls: type, value: Mapping[str, Any]) -> Any:
    hints = _FIELDS[cls]
    required = {f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING}
    missing, extra = required - value.keys(), value.keys() - hints.keys()
    if missing or extra:
        raise InvalidEvent(f"event {cls.__name__}: missing {sorted(missing)}, unknown {sorted(extra)}")
    return cls(**{name: _field(cls, name, hints[name], item) for name, item in value.items()})


def _field(cls: type, name: str, hint: Any, item: Any) -> Any:
    if hint is float and type(item) in (int, float):
        return _finite(cls, name, item)
    if hint == tuple[str, ...] and isinstance(item, list) and all(isinstance(part, str) for part in item):
        return tuple(item)
    if typing.get_origin(hint) is Literal and item in typing.get_args(hint):
        return item
    if type(item) is hint:
        return item
    raise InvalidEvent(f"event {cls.__name__}: {name} cannot be {item!r:.80}")


def _finite(cls: type, name: str, item: float) -> float:
    try:
        number = float(item)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidEvent(f"event {cls.__name__}: {name} is not a finite number")
    return number
