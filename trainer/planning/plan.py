"""The plan of a run, made before anything heavy is loaded: how its steps are done, and that they fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainer.contract.config import TrainConfig
from trainer.contract.errors import InvalidConfig
from trainer.errors import DoesNotFit
from trainer.model.device import Numbers
from trainer.planning.architecture import Architecture
from trainer.planning.choose import Chooser
from trainer.planning.disk import Disk, disk_of
from trainer.planning.memory import (
    Held,
    Load,
    decoding_bytes,
    encoding_bytes,
    held_of,
    sampling_bytes,
)
from trainer.planning.room import Room, gigabytes
from trainer.planning.simulate import Simulation, simulate
from trainer.planning.way import Ways

_SMALLER: tuple[dict[str, Any], ...] = (
    {"resolution": 768},
    {"rank": 8, "alpha": 8.0, "targets": "attention"},
    {"resolution": 768, "rank": 8, "alpha": 8.0, "targets": "attention"},
    {"resolution": 512, "rank": 8, "alpha": 8.0, "targets": "attention"},
)
"""What is tried for a run that does not fit, in this order; each takes seconds to reckon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a run is done, and what it takes; in bytes."""

    ways: Ways
    """How steps are done, and what to do when the device runs out of memory anyway."""
    load: Load
    room: Room
    held: Held
    training: float
    """Most that is held in a step …"""
    encoding: float
    """… while pictures and texts are encoded …"""
    sampling: float
    """… and while samples are drawn."""
    units: int
    """Units that could be recomputed."""
    flops: float
    """Multiplications and additions of a step, of each process's own."""

    @property
    def peak(self) -> float:
        """Most that is held at any time."""
        return max(self.training, self.encoding, self.sampling)

    def disk(self, images_per_epoch: int, *, goes_on: bool = False) -> Disk:
        """What the run writes."""
        return disk_of(self.held, images_per_epoch, self.load.config, goes_on=goes_on)

    def sentence(self) -> str:
        """The plan in a few words, as in "planned: 2 of 5 pictures at a time, …"."""
        way = self.ways.now
        most, pictures = way.most_pictures, self.load.pictures
        several = "all pictures of a batch" if pictures > 1 else "one picture"
        parts = [f"{most} of {pictures} pictures at a time" if most else f"{several} at once"]
        if recomputed := len(way.recomputed):
            parts.append(f"{recomputed} of {self.units} blocks recomputed")
        return f"planned: {', '.join(parts)}, about {gigabytes(self.peak)}"


def make_plan(base: Architecture, load: Load, numbers: Numbers, room: Room, *, suggesting: bool = True) -> Plan:
    """The fastest plan that fits into the room. Raises DoesNotFit, with what would fit where `suggesting`."""
    chooser, simulation = _chooser(base, load, numbers, room)
    held = chooser.held
    way = chooser.best(room.usable)
    encoding = encoding_bytes(base, load, held)
    sampling = max(sampling_bytes(base, simulation, load, held), decoding_bytes(base, load, held, room.usable))
    if way is None or max(encoding, sampling) > room.usable:
        needed = max(chooser.need(way or chooser.smallest()), encoding, sampling)
        raise DoesNotFit(_refusal(base, load, numbers, room, needed) if suggesting else "")
    return Plan(
        ways=Ways(way, chooser.next_after(way, room.usable), is_planned=True),
        load=load,
        room=room,
        held=held,
        training=chooser.need(way),
        encoding=encoding,
        sampling=sampling,
        units=len(simulation.one.saved),
        flops=chooser.flops(way) * load.batches,
    )


def _chooser(base: Architecture, load: Load, numbers: Numbers, room: Room) -> tuple[Chooser, Simulation]:
    simulation = simulate(base, load.config, numbers, load.chunks)
    held = held_of(base, simulation, load, numbers, on_gpu=room.device == "cuda")
    return Chooser(simulation, load, held), simulation


def _refusal(base: Architecture, load: Load, numbers: Numbers, room: Room, needed: float) -> str:
    """How much it needs, how much there is, and what would fit."""
    device = "GPU" if room.device == "cuda" else "machine"
    fits = next(_what_fits(base, load, numbers, room), None)
    hint = f"it would fit with {fits}" if fits else f"choose a {device} with more memory"
    return (
        f"This training needs {gigabytes(needed)} of memory even when it is most frugal, "
        f"and the {device} has {gigabytes(room.usable)} for it; {hint}."
    )


def _what_fits(base: Architecture, load: Load, numbers: Numbers, room: Room) -> Iterator[str]:
    """Settings with which it would fit, the smallest sacrifice first."""
    config = load.config
    own: tuple[dict[str, Any], ...] = ()
    if config.gradient_checkpointing != "auto":
        own = ({"gradient_checkpointing": "auto"},)
    for changes in (*own, *_SMALLER):
        changed = {name: value for name, value in changes.items() if _is_less(name, value, config)}
        pairs = changed.items()
        if len(pairs) < len(changes):
            continue
        try:
            smaller = config.with_overrides({**changed, "gradient_checkpointing": "auto"})
            make_plan(base, load.with_config(smaller), numbers, room, suggesting=False)
        except (DoesNotFit, InvalidConfig):
            continue
        yield ", ".join(f"{name} {value:g}" if type(value) is float else f"{name} {value}" for name, value in pairs)


def _is_less(name: str, value: Any, config: TrainConfig) -> bool:
    now = getattr(config, name)
    return bool(now != value if isinstance(value, str) else now > value)
