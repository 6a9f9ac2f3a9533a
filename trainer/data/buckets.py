"""Aspect buckets: sizes of equal area, so that pictures are scaled and cut at the rim, never distorted.

Bucketing as NovelAI described it (2022) and every SDXL trainer does it: sides are multiples of a step, the area stays
within resolution squared. Nothing here touches pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LONGEST = 2
"""A long side is at most this many times the resolution: 2048 at 1024, the largest SDXL was trained with."""


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A size to train at, in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture comes into its bucket: scaled to cover it, then cut around its centre; all in pixels."""

    bucket: Bucket
    original: tuple[int, int]
    """Height and width of the picture itself."""
    scaled: tuple[int, int]
    """Height and width after scaling."""
    crop: tuple[int, int]
    """Top and left of the cut."""

    @property
    def time_ids(self) -> tuple[int, int, int, int, int, int]:
        """SDXL's micro-conditioning: original (h, w), crop (top, left), target (h, w) (arXiv:2307.01952, 2.2)."""
        return (*self.original, *self.crop, self.bucket.height, self.bucket.width)


def all_buckets(resolution: int, step: int) -> list[Bucket]:
    """For each short side, from 1 / LONGEST of the resolution up, the longest other one within resolution squared.

    In both directions, so that a picture turned on its side gets the bucket turned.
    """
    shortest = math.ceil(resolution / LONGEST / step) * step
    upright = [
        Bucket(short, resolution * resolution // short // step * step)
        for short in range(shortest, resolution + 1, step)
    ]
    return upright + [Bucket(bucket.height, bucket.width) for bucket in upright if bucket.height > bucket.width]


def bucket_for(width: int, height: int, resolution: int, step: int, *, square: bool = False) -> Bucket:
    """The bucket whose aspect is nearest to the picture's (by ratio); among equals the one of larger area."""
    if square:
        return Bucket(resolution, resolution)
    aspect = math.log(width / height)

    def distance(bucket: Bucket) -> tuple[float, int]:
        return abs(math.log(bucket.width / bucket.height) - aspect), -bucket.width * bucket.height

    return min(all_buckets(resolution, step), key=distance)


def fit(width: int, height: int, bucket: Bucket) -> Fit:
    """Scale the picture until it just covers the bucket, and cut around the centre."""
    scale = max(bucket.width / width, bucket.height / height)
    scaled_height = max(bucket.height, round(height * scale))
    scaled_width = max(bucket.width, round(width * scale))
    crop = ((scaled_height - bucket.height) // 2, (scaled_width - bucket.width) // 2)
    return Fit(bucket, (height, width), (scaled_height, scaled_width), crop)
