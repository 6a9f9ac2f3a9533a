"""Measures of a picture's pixels: plain arithmetic on numpy and Pillow, for the measuring process."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt
from PIL import Image

from bot.rules.pictures.measures import THUMB, Box

Grey = npt.NDArray[np.float32]
"""A grey picture `(h, w)`, 0 to 255."""

WHOLE_SIDE, FACE_SIDE = 512, 256
"""Longer side, in pixels, at which sharpness is measured; the limits in bot.rules.pictures.quality hold for these."""
FLAT = 3.0
"""Largest spread of grey in a row or column that still counts as one colour; JPEG leaves about 1."""
EDGE = 10.0
"""Grey by which the picture must stand out from a bar where the bar ends …"""
EDGE_SHARE = 0.5
"""… along at least this share of the border; else it is a plain background, not a bar."""
DEEPEST_BAR = 0.4
BORDER = 0.2
"""Outer share of the sides that is looked at for the background's colours."""


def grey(image: Image.Image, side: int) -> Grey:
    """The picture in grey, its longer side scaled down to `side` pixels (never up)."""
    return np.asarray(_scaled(image, side).convert("L"), np.float32)


def _scaled(image: Image.Image, side: int) -> Image.Image:
    scale = min(1.0, side / max(image.size))
    if scale == 1.0:
        return image
    return image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS
    )


def sharpest(picture: Grey) -> float:
    """Sharpness of the sharpest sixteenth of the picture: behind a sharp subject the rest may well be out of focus."""
    parts = [part for rows in np.array_split(picture, 4) for part in np.array_split(rows, 4, axis=1)]
    return max(sharpness(part) for part in parts)


def sharpness(picture: Grey) -> float:
    """Variance of the Laplacian (4 neighbours); 0 for what is too small to have one."""
    if min(picture.shape) < 3:
        return 0.0
    middle = picture[1:-1, 1:-1]
    around = picture[:-2, 1:-1] + picture[2:, 1:-1] + picture[1:-1, :-2] + picture[1:-1, 2:]
    return float((around - 4 * middle).var())


def bars(picture: Grey) -> Box:
    """Depth of flat bars at left, top, right and lower border, as shares of the sides.

    A bar is of one colour and ends in a straight edge; a plain wall or a white backdrop has no such edge.
    """
    height, width = picture.shape
    sides = (picture.T, picture, picture.T[::-1], picture[::-1])
    left, top, right, lower = (_bar(lines) / length for lines, length in zip(sides, (width, height) * 2, strict=True))
    return left, top, right, lower


def _bar(lines: Grey) -> int:
    """How many of the first lines make a bar."""
    colour = float(np.median(lines[0]))
    odd = (lines.std(axis=1) > FLAT) | (np.abs(lines.mean(axis=1) - colour) > FLAT)
    depth = int(odd.argmax())  # 0 where nothing is odd: one colour all over has no bars
    if not 0 < depth <= DEEPEST_BAR * len(lines) or depth + 2 >= len(lines):
        return 0
    beyond = np.abs(lines[min(depth + 1, len(lines) - 1)] - colour) > EDGE
    return depth if beyond.mean() >= EDGE_SHARE else 0


def palette(image: Image.Image) -> tuple[float, ...]:
    """Shares of 27 colours in the picture's outer fifth, its lower edge left out: there stands the subject."""
    pixels = np.asarray(image.resize((50, 50), Image.Resampling.BOX).convert("RGB"), np.uint8)
    deep = round(50 * BORDER)
    outer = np.ones((50, 50), bool)
    outer[deep:, deep:-deep] = False
    shades = np.minimum(pixels[outer] // 86, 2).astype(int)
    counts = np.bincount(shades[:, 0] * 9 + shades[:, 1] * 3 + shades[:, 2], minlength=27)
    return tuple(float(share) for share in np.round(counts / counts.sum(), 4))


def salient(picture: Grey) -> tuple[float, float]:
    """Centre of the largest square that holds most of the detail, as shares of the sides; the middle in doubt."""
    height, width = picture.shape
    side = min(height, width)
    detail = np.abs(np.diff(picture, axis=0)).sum(axis=0) if width > height else np.abs(np.diff(picture)).sum(axis=1)
    room = len(detail) - side
    if room <= 0:
        return 0.5, 0.5
    sums = np.concatenate([[0.0], np.cumsum(detail)])
    held = sums[side:] - sums[:-side]
    # A square near the middle is preferred unless one beside it holds clearly more: a tenth from middle to rim.
    held = held * (1 - 0.1 * np.abs(np.linspace(-1, 1, room + 1)))
    centre = float((held.argmax() + side / 2) / len(detail))
    return (centre, 0.5) if width > height else (0.5, centre)


def thumb(image: Image.Image) -> tuple[str, tuple[int, int]]:
    """Base64 of the grey thumbnail, and its width and height."""
    small = _scaled(image, THUMB).convert("L")
    return base64.b64encode(small.tobytes()).decode(), small.size
