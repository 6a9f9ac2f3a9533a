"""How much two pictures are the same one: also shifted, cut, brightened, compressed or mirrored. Numpy only.

The gradients of both thumbnails are laid over each other at every shift (by FFT), one a little smaller than the other
for pictures that were cut, and correlated over the part they share. Measured on 20 photographs of four animals, 6
groups and 11 frames of one man (tests/bot/vision/measuring/test_likeness.py): the shifted and the mirrored pair at 0.99
and 1.00, the nearest two different photographs of one subject at 0.45; cut by 12 % on each side 0.79 in the middle of
all.
Hashes (ImageHash's phash) say nothing of a picture that was shifted, and need scipy.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE, FIELD = 32, 64
"""Longer side, in pixels, that pictures are compared at; side of the Fourier transforms that hold all shifts."""
SCALES = (1.0, 0.88, 0.77)
"""One picture may show this share of the other's sides."""
LEAST_SHARED = 0.5
"""Share of the smaller picture that both must show."""
LEAST_DETAIL = 0.3
"""Share of each picture's gradients that must lie in the part they share: two empty corners are not the same."""

Field = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex128]


@dataclass(frozen=True, slots=True)
class _View:
    """A picture at one scale, ready to be correlated."""

    spectrum: Spectrum
    """Of gradient x, gradient y, their power, and the picture's own shape `(4, FIELD, FIELD / 2 + 1)`."""
    detail: float
    size: int


@dataclass(frozen=True, slots=True)
class Print:
    """A picture as it is compared: at each scale, as it is and mirrored."""

    straight: tuple[_View, ...]
    mirrored: tuple[_View, ...]


def print_of(thumb: str, size: tuple[int, int]) -> Print:
    """The print of a thumbnail (bot.vision.measuring.pixels); raises ValueError when it does not hang together."""
    image = Image.frombytes("L", size, base64.b64decode(thumb, validate=True))
    fields = [_gradients(image, scale) for scale in SCALES]
    turned = [field[:, :, ::-1] * np.array([-1, 1], np.float32)[:, None, None] for field in fields]
    return Print(tuple(map(_view, fields)), tuple(map(_view, turned)))


def likeness(one: Print, other: Print) -> tuple[float, bool]:
    """How much of the same both show (1: all) and whether only when one is mirrored."""
    pairs = [(0, place) for place in range(len(SCALES))] + [(place, 0) for place in range(1, len(SCALES))]
    straight, mirrored = (
        max(_correlation(one.straight[mine], views[theirs]) for mine, theirs in pairs)
        for views in (other.straight, other.mirrored)
    )
    return max(straight, mirrored), mirrored > straight


def _gradients(image: Image.Image, scale: float) -> Field:
    factor = scale * SIDE / max(image.size)
    size = max(6, round(image.width * factor)), max(6, round(image.height * factor))
    picture = np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float32) / 255
    field = np.zeros((2, *picture.shape), np.float32)
    field[0, :, 1:-1] = picture[:, 2:] - picture[:, :-2]
    field[1, 1:-1] = picture[2:] - picture[:-2]
    return field


def _view(field: Field) -> _View:
    power = (field**2).sum(axis=0)
    spectrum = np.fft.rfft2(np.stack([field[0], field[1], power, np.ones_like(power)]), (FIELD, FIELD))
    return _View(spectrum, float(power.sum()), power.size)


def _correlation(one: _View, other: _View) -> float:
    """The best correlation over all shifts at which enough is shared."""
    a, b = np.conj(one.spectrum), other.spectrum
    product, mine, theirs, shared = np.fft.irfft2(
        np.stack([a[0] * b[0] + a[1] * b[1], a[2] * b[3], a[3] * b[2], a[3] * b[3]]), (FIELD, FIELD)
    )
    enough = (
        (shared > LEAST_SHARED * min(one.size, other.size))
        & (mine > LEAST_DETAIL * one.detail)
        & (theirs > LEAST_DETAIL * other.detail)
    )
    return float(np.where(enough, product / np.sqrt(np.maximum(mine * theirs, 1e-9)), 0.0).max())
