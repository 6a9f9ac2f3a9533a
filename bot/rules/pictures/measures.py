"""What is measured of a picture, once, and kept: plain numbers that bot.rules.pictures.quality judges. Pure."""

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
SEEN = 0.2
"""Share of a face's box inside a part of the picture from which the face counts as seen there."""
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

    def within(self, box: Box) -> Face:
        """The same face, placed by the sides of that part of the picture."""
        (left, top), (wide, high) = box[:2], _sides(box)
        own = self.box
        return dataclasses.replace(
            self,
            box=((own[0] - left) / wide, (own[1] - top) / high, (own[2] - left) / wide, (own[3] - top) / high),
        )

    def is_seen_in(self, box: Box) -> bool:
        """Whether enough of it lies in that part of the picture to be seen and learned."""
        both = [max(one, other) for one, other in zip(self.box[:2], box[:2], strict=True)]
        both += [min(one, other) for one, other in zip(self.box[2:], box[2:], strict=True)]
        wide, high = (max(0.0, both[2] - both[0]), max(0.0, both[3] - both[1]))
        own_wide, own_high = _sides(self.box)
        return wide * high >= SEEN * own_wide * own_high > 0


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

    def within(self, box: Box) -> Measures:
        """What is known of a part of the picture: its faces and bars, placed by the part's sides.

        Sharpness, light and colours stay the whole picture's: telling the part's own would mean opening it again.
        """
        (left, top, right, lower), (wide, high) = box, _sides(box)
        cut = (left, top, 1 - right, 1 - lower)
        bars = [
            min(max(0.0, bar - gone) / side, 1.0)
            for bar, gone, side in zip(self.bars, cut, (wide, high) * 2, strict=True)
        ]
        x, y = self.salient
        return dataclasses.replace(
            self,
            bars=(bars[0], bars[1], bars[2], bars[3]),
            salient=(min(max(0.0, (x - left) / wide), 1.0), min(max(0.0, (y - top) / high), 1.0)),
            faces=tuple(face.within(box) for face in self.faces if face.is_seen_in(box)),
        )

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


def _sides(box: Box) -> tuple[float, float]:
    """How wide and high it is."""
    return box[2] - box[0], box[3] - box[1]


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
