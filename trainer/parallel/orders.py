"""What the leader of a team has the others do: one line of JSON each, down the pipe that is their standard input."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from trainer.data.sampler import Batch


@dataclass(frozen=True, slots=True)
class Join:
    """Meet the others now."""


@dataclass(frozen=True, slots=True)
class Load:
    """Go on from a state."""

    folder: str


@dataclass(frozen=True, slots=True)
class Step:
    """Make an optimizer step: the arguments of Learner.step."""

    batches: tuple[Batch, ...]
    step: int
    share: float


Order: TypeAlias = Join | Load | Step


def encode(order: Order) -> bytes:
    """The order as one line, newline included."""
    return json.dumps({"order": type(order).__name__, **dataclasses.asdict(order)}).encode() + b"\n"


def decode(line: bytes) -> Order:
    """The order of a line that `encode` wrote."""
    value: dict[str, Any] = json.loads(line)
    match value.pop("order"):
        case "Join":
            return Join()
        case "Load":
            return Load(**value)
        case _:
            return Step(tuple(map(tuple, value["batches"])), value["step"], value["share"])
