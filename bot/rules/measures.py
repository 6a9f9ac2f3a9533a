"""What is measured of a picture, once, and kept: plain numbers that the rules (bot.rules.quality) judge. Pure."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

Box = tuple[float, float, float, float]
"""Left, top, right, lower as shares of the picture's sides."""

VERSION = 1
"""Of the way of measuring; what was measured in another way is measured again."""

MOST_FACES = 50
THUMB = 64
"""Longer side, in pixels, of the grey thumbnail that pictures are compared by."""
PALETTE = 27
"""Shares of colours in the border: 3 × 3 × 3 shades of red, green and blue."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face found."""

    box: Box
    """From hairline to chin; it runs past the border (below 0, above 1) where the picture cuts the face."""
    sure: float
    sharpness: float
    """Variance of the Laplacian of the face, scaled down to 256 pixels."""
    light: float
    """Mean grey, 0 to 1."""

    @property
    def height(self) -> float:
        """As a share of the picture's height."""
        return self.box[3] - self.box[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What is known of a picture's pixels."""

    sharpness: float
    """Variance of the Laplacian of the sharpest sixteenth, in grey, scaled down to 512 pixels on the longer side."""
    light: float
    """Mean grey, 0 to 1."""
    contrast: float
    """Standard deviation of grey, 0 to 0.5."""
    dark: float
    """Share of nearly black pixels."""
    bright: float
    """Share of nearly white pixels."""
    bars: Box
    """Flat bars at left, top, right and lower border, as shares of the sides."""
    palette: tuple[float, ...]
    """Colours of the outer fifth: what the background looks like."""
    salient: tuple[float, float]
    """Centre of the square that holds most of the detail, as shares of the sides."""
    faces: tuple[Face, ...]
    """The surest first."""
    thumb: str
    """Base64 of the grey thumbnail, row by row."""
    thumb_size: tuple[int, int]

    def to_json(self) -> str:
        """As it is kept."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Measures:
        """What `to_json` or the measuring process wrote; raises ValueError when it is something else."""
        try:
            values = json.loads(text)
            faces = [
                Face(_box(face["box"]), _number(face["sure"]), _number(face["sharpness"]), _number(face["light"]))
                for face in values["faces"][:MOST_FACES]
            ]
            return cls(
                **{name: _number(values[name]) for name in ("sharpness", "light", "contrast", "dark", "bright")},
                bars=_box(values["bars"]),
                palette=_numbers(values["palette"], PALETTE),
                salient=_pair(values["salient"]),
                faces=tuple(faces),
                thumb=str(values["thumb"]),
                thumb_size=_size(values["thumb_size"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the measures of a picture: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Alike:
    """Two pictures that show the same."""

    first: int
    second: int
    likeness: float
    """1: the same all over."""
    mirrored: bool


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a measure is not a finite number")
    return number


def _numbers(values: Any, count: int) -> tuple[float, ...]:
    numbers = tuple(_number(value) for value in values)
    if len(numbers) != count:
        raise ValueError(f"{len(numbers)} numbers where {count} belong")
    return numbers


def _box(values: Any) -> Box:
    left, top, right, lower = _numbers(values, 4)
    return left, top, right, lower


def _pair(values: Any) -> tuple[float, float]:
    first, second = _numbers(values, 2)
    return first, second


def _size(values: Any) -> tuple[int, int]:
    width, height = (int(value) for value in _numbers(values, 2))
    if not (0 < width <= THUMB and 0 < height <= THUMB):
        raise ValueError("a thumbnail of an impossible size")
    return width, height
