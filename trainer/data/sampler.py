"""The order of pictures: which batches make up each step of an epoch, a function of the seed and the epoch alone.

A position in the run is therefore just (epoch, step within it); nothing else has to be kept to go on from there.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from trainer.contract.config import TrainConfig
from trainer.data.buckets import Bucket
from trainer.data.randomness import derive

Batch = tuple[int, ...]
"""Numbers of the pictures of one forward pass; all of one bucket."""


@dataclass(frozen=True)
class Sampler:
    """Plans epochs over pictures of several buckets."""

    buckets: Sequence[Bucket]
    """The bucket of each picture."""
    repeats: Sequence[int]
    """How often each picture comes in an epoch."""
    batch_size: int
    accumulation: int
    seed: int

    @classmethod
    def of(cls, buckets: Sequence[Bucket], repeats: Sequence[int], config: TrainConfig) -> Sampler:
        """A sampler with the config's sizes and seed."""
        return cls(buckets, repeats, config.batch_size, config.gradient_accumulation, config.seed)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch; the last batch of a bucket and the last step may be smaller."""
        batches = sum(math.ceil(len(members) / self.batch_size) for members in self._by_bucket())
        return math.ceil(batches / self.accumulation)

    def epoch(self, epoch: int) -> list[tuple[Batch, ...]]:
        """The optimizer steps of an epoch (from 1), each a tuple of batches; every picture comes `repeats` times."""
        chance = random.Random(derive(self.seed, "order", epoch))
        batches = [batch for members in self._by_bucket() for batch in self._batches(members, chance)]
        chance.shuffle(batches)
        return [tuple(batches[i : i + self.accumulation]) for i in range(0, len(batches), self.accumulation)]

    def _by_bucket(self) -> list[list[int]]:
        members: dict[Bucket, list[int]] = {}
        for picture, bucket in enumerate(self.buckets):
            members.setdefault(bucket, []).extend([picture] * self.repeats[picture])
        return list(members.values())

    def _batches(self, members: list[int], chance: random.Random) -> list[Batch]:
        chance.shuffle(members)
        return [tuple(members[i : i + self.batch_size]) for i in range(0, len(members), self.batch_size)]


def parts(batches: Sequence[Batch], places: range, most: int = 0) -> Iterator[tuple[Batch, int, range]]:
    """The batches of a step as far as they lie in these places of it: each with its first place, and the rows.

    Batches of more than `most` pictures (0 is no limit) come in several parts, as equal as can be.
    """
    first = 0
    for batch in batches:
        rows = range(max(0, places.start - first), min(len(batch), places.stop - first))
        count = -(-len(rows) // most) if most else min(1, len(rows))
        for part in range(count):
            yield batch, first, rows[part * len(rows) // count : (part + 1) * len(rows) // count]
        first += len(batch)
