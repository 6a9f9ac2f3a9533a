"""The fastest way to do a step in the memory there is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.planning.memory import Held, Load, training_bytes
from trainer.planning.simulate import Pass, Simulation
from trainer.planning.way import Way

HALF_SPEED_ROWS = 0.8
"""Rows at which a card does half of what it can: rows / (rows + this) is its efficiency.

From published times of one card and several batch sizes: an RTX 3090 takes 1.23 s a picture at batch 1 and 0.74 at 4, a
4090 0.47 at 6 and 0.44 at 7 (bmaltais/kohya_ss#1288). It only weighs ways against each other, it predicts no time.
With 3.0 in its place SDXL is planned alike for batches up to 5 on cards of 12 to 48 GB; with 0.4 pictures go through
one or a few at a time on cards of 20 to 40 GB, where now blocks are recomputed.
"""


@dataclass(frozen=True, slots=True)
class Chooser:
    """Everything a way is judged by."""

    simulation: Simulation
    load: Load
    held: Held

    def need(self, way: Way) -> float:
        """Most bytes held in a step done that way."""
        return training_bytes(self.simulation, self.load, self.held, way)

    def best(self, room: float) -> Way | None:
        """The fastest way that fits into so many bytes, as far as the settings leave a choice; None where none does.

        Among equals the one with the fewest passes.
        """
        fitting = [way for way in self._candidates(room) if self.need(way) <= room]
        return min(fitting, key=self.cost, default=None)

    def smallest(self) -> Way:
        """The way that needs least, as far as the settings leave a choice."""
        recomputed = self._all if self.load.config.gradient_checkpointing != "off" else frozenset()
        return Way(1 if self.load.pictures > 1 else 0, recomputed)

    def next_after(self, way: Way, room: float) -> Way | None:
        """What to do where that does not fit after all: a way that leaves an eighth of the room, or the smallest."""
        small = self.smallest()
        other = self.best(min(room, self.need(way)) * 7 / 8) or small
        return other if self.need(other) < self.need(way) else None

    def cost(self, way: Way) -> float:
        """What a step costs, in multiplications and additions of a card that is fully used."""
        load = self.load
        passes = way.passes(load.pictures)
        rows = (load.pictures + load.again) / passes
        work = self.flops(way)
        return work * (rows + HALF_SPEED_ROWS) / rows * load.batches

    def flops(self, way: Way) -> float:
        """Multiplications and additions for one batch: both passes, what is recomputed, and the base as a teacher."""
        load = self.load
        step = self.simulation.rows(load.pictures + load.again)
        again = sum(flops for unit, flops in step.flops_of.items() if unit in way.recomputed)
        taught = self.simulation.rows(load.again).forward_flops if load.again else 0.0
        return step.flops + again + taught

    @property
    def _all(self) -> frozenset[str]:
        return frozenset(self.simulation.one.saved)

    def _candidates(self, room: float) -> Iterator[Way]:
        """For each number of pictures at a time: nothing recomputed, as little as fits, and everything."""
        kind, pictures = self.load.config.gradient_checkpointing, self.load.pictures
        for passes in sorted({math.ceil(pictures / most) for most in range(1, pictures + 1)}):
            most = math.ceil(pictures / passes) if passes > 1 else 0
            if kind in ("auto", "off"):
                yield Way(most)
            if kind in ("auto", "partial"):
                yield Way(most, self._least(most, room))
            if kind in ("auto", "full"):
                yield Way(most, self._all)

    def _least(self, most: int, room: float) -> frozenset[str]:
        """As few units as make it fit, those first that cost least for what they free."""
        step = self.simulation.rows(self.load.rows(Way(most)))
        order = by_price(step)

        def fits(number: int) -> bool:
            return self.need(Way(most, frozenset(order[:number]))) <= room

        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if fits(middle) else (middle + 1, high)
        chosen = set(order[:low])
        # The last ones were needed; with them, an earlier and smaller one may not be.
        for unit in sorted(chosen, key=step.flops_of.__getitem__, reverse=True):
            if self.need(Way(most, frozenset(chosen - {unit}))) <= room:
                chosen.remove(unit)
        return frozenset(chosen)


def by_price(step: Pass) -> list[str]:
    """Units by the work of recomputing a byte, the cheapest first; among equals those that run first.

    What runs first is freed for longest: until the backward pass has come all the way back to it.
    """
    flops = step.flops_of
    order = {unit: place for place, unit in enumerate(step.saved)}
    worth = [unit for unit, size in step.saved.items() if size > 0]
    return sorted(worth, key=lambda unit: (flops[unit] / step.saved[unit], order[unit]))
