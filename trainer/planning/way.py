"""How the work of a step is done. Whatever the way, the step is the same, but for the order numbers are added in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do a step."""

    most_pictures: int = 0
    """Pictures that go through the UNet together at most; their batch's others follow, and the gradients add up. 0 is
    the whole batch."""
    recomputed: frozenset[str] = frozenset()
    """Paths of the units whose activations are computed once more in the backward pass."""

    def passes(self, pictures: int) -> int:
        """Forward passes that so many pictures of one batch take."""
        return -(-pictures // self.most_pictures) if self.most_pictures else 1

    def sizes(self, pictures: int) -> list[int]:
        """Pictures of each of these passes: as equal as can be (see `trainer.data.sampler.parts`)."""
        count = self.passes(pictures)
        return [(part + 1) * pictures // count - part * pictures // count for part in range(count)]


@dataclass(frozen=True, slots=True)
class Ways:
    """The way that is planned, and the one to fall back on."""

    now: Way = Way()
    frugal: Way | None = None
    """Taken from then on, where the device's memory runs out."""
    is_planned: bool = False
    """False where nobody has planned: then the settings are taken at their word."""

    def fallen_back(self) -> Ways:
        """After memory ran out."""
        assert self.frugal is not None
        return Ways(self.frugal, None, self.is_planned)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        ways = {"now": self.now, "frugal": self.frugal}
        values: dict[str, Any] = {
            name: way and {"most_pictures": way.most_pictures, "recomputed": sorted(way.recomputed)}
            for name, way in ways.items()
        }
        return {**values, "is_planned": self.is_planned}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Ways:
        """The ways of `to_json`'s values."""
        now, frugal = (
            value[name] and Way(value[name]["most_pictures"], frozenset(value[name]["recomputed"]))
            for name in ("now", "frugal")
        )
        return cls(now, frugal, value["is_planned"])
