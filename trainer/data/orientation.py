"""Which way up a picture is: cameras store it as the sensor lay, and say so in its EXIF tags."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from PIL import ExifTags, Image

_TURNS: Mapping[int, Image.Transpose] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
"""How a picture comes upright by its EXIF orientation."""
_SIDEWAYS = frozenset({_TURNS[orientation] for orientation in (5, 6, 7, 8)})
"""Those that swap width and height."""


def upright(image: Image.Image) -> Image.Image:
    """The picture as people see it, by its orientation tag.

    As Pillow's exif_transpose, which however also writes the tags anew and fails on broken ones.
    """
    turn = _turn(image)
    return image if turn is None else image.transpose(turn)


def is_sideways(image: Image.Image) -> bool:
    """True where width and height change places when the picture is turned upright."""
    return _turn(image) in _SIDEWAYS


def _turn(image: Image.Image) -> Image.Transpose | None:
    return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
