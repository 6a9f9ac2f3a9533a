"""Aspect buckets: sizes of equal area, so that pictures are scaled and cut at the rim, never distorted.

Bucketing as NovelAI described it (2022) and every SDXL trainer does it: sides are multiples of a step, the area stays
within resolution squared. Nothing here touches pixels.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from trainer.contract.config import TrainConfig

Box = tuple[float, float, float, float]
"""Left, top, right, lower as shares of a picture's sides."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A size to train at, in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture comes into its bucket: mirrored perhaps, scaled to cover it, then cut; all in pixels."""

    bucket: Bucket
    original: tuple[int, int]
    """Height and width of the picture itself."""
    scaled: tuple[int, int]
    """Height and width after scaling."""
    crop: tuple[int, int]
    """Top and left of the cut in the scaled picture, after mirroring."""
    mirrored: bool = False

    @property
    def time_ids(self) -> tuple[int, int, int, int, int, int]:
        """SDXL's micro-conditioning: original (h, w), crop (top, left), target (h, w) (arXiv:2307.01952, 2.2).

        The original size is the one before any scaling; the crop counts pixels cut off above and to the left of what
        is shown, after scaling.
        """
        return (*self.original, *self.crop, self.bucket.height, self.bucket.width)

    def mirror(self) -> Fit:
        """The same cut of the mirrored picture: what was cut off on the right is now cut off on the left."""
        top, left = self.crop
        right = self.scaled[1] - left - self.bucket.width
        return dataclasses.replace(self, crop=(top, right), mirrored=not self.mirrored)


def all_buckets(config: TrainConfig) -> list[Bucket]:
    """For each short side from `bucket_min` up, the longest other one within resolution squared, if not beyond
    `bucket_max`.

    In both directions, so that a picture turned on its side gets the bucket turned. Where not even the square has
    sides as long as `bucket_min`, half the resolution takes its place.
    """
    resolution, step = config.resolution, config.bucket_step
    shortest = config.bucket_min if config.bucket_min <= resolution else resolution // 2
    upright = [
        Bucket(short, resolution * resolution // short // step * step)
        for short in range(math.ceil(shortest / step) * step, resolution + 1, step)
    ]
    upright = [bucket for bucket in upright if bucket.height <= config.bucket_max]
    return upright + [Bucket(bucket.height, bucket.width) for bucket in upright if bucket.height > bucket.width]


def bucket_for(width: int, height: int, config: TrainConfig) -> Bucket:
    """The bucket whose aspect is nearest to the picture's (by ratio); among equals the one of larger area.

    With `bucket_no_upscale`, one that would enlarge the picture shrinks to whole steps within it (at least one step).
    """
    aspect = math.log(width / height)

    def distance(bucket: Bucket) -> tuple[float, int]:
        return abs(math.log(bucket.width / bucket.height) - aspect), -bucket.width * bucket.height

    square = Bucket(config.resolution, config.resolution)
    bucket = square if config.square else min(all_buckets(config), key=distance)
    if not config.bucket_no_upscale or (bucket.width <= width and bucket.height <= height):
        return bucket
    step = config.bucket_step
    own_width, own_height = (max(step, side // step * step) for side in (width, height))
    if config.square:
        own_width = own_height = min(own_width, own_height)
    return Bucket(min(bucket.width, own_width), min(bucket.height, own_height))


def fit(width: int, height: int, bucket: Bucket, focus: Box = WHOLE) -> Fit:
    """Scale the picture and cut the bucket out of it around the centre of `focus`, as near as the rim allows.

    The scale is the one at which the picture just covers the bucket. A focus box smaller than that is shown larger:
    as large as the bucket holds it, as long as the picture itself is not enlarged for it.
    """
    left, top, right, lower = focus
    cover = max(bucket.width / width, bucket.height / height)
    hold = min(bucket.width / ((right - left) * width), bucket.height / ((lower - top) * height))
    scale = max(cover, min(hold, 1.0))
    scaled = max(bucket.height, round(height * scale)), max(bucket.width, round(width * scale))
    crop = (
        _cut(scaled[0], bucket.height, (top + lower) / 2),
        _cut(scaled[1], bucket.width, (left + right) / 2),
    )
    return Fit(bucket, (height, width), scaled, crop)


def _cut(scaled: int, kept: int, centre: float) -> int:
    """Where `kept` pixels around `centre` (a share of the scaled side) begin, inside the picture."""
    return min(max(0, math.floor(centre * scaled - kept / 2)), scaled - kept)


def fit_picture(width: int, height: int, config: TrainConfig, focus: Box | None = None) -> Fit:
    """How a picture comes into the bucket the config has for it; only a square is cut around the focus box."""
    around = focus if focus is not None and config.square else WHOLE
    return fit(width, height, bucket_for(width, height, config), around)
