"""Measures of a toy picture that no model's own loss had a part in: colours at known places, and the toy tagger.

A portrait always stands in the same place, so the colour at a place answers a question: the lower corners are shirt,
the strips beside the eyes are hair, the upper corners are background, one cheek has the mark. Needs no torch.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.toy.avatars import BACKGROUND, HAIR, MARK_PAINT, SHIRT
from trainer.toy.drawing import RGB

Box = tuple[float, float, float, float]
"""Left, top, right, lower, as shares of the side."""

HAIR_PLACES: tuple[Box, ...] = ((0.25, 0.37, 0.285, 0.44), (0.715, 0.37, 0.75, 0.44))
SHIRT_PLACES: tuple[Box, ...] = ((0.25, 0.92, 0.36, 0.99), (0.64, 0.92, 0.75, 0.99))
BACKGROUND_PLACES: tuple[Box, ...] = ((0.01, 0.02, 0.10, 0.14), (0.90, 0.02, 0.99, 0.14))
CHEEK: Box = (0.53, 0.49, 0.71, 0.68)

MARK_DISTANCE = 32.0
"""Lab distance within which a pixel has the mark's blue; skin, ink and blush are more than 60 away."""

MARK_SHARE = 0.05
"""Least share of the cheek; a drawn star fills about 14 %."""

TAG_THRESHOLD = 0.35
"""WD14's usual threshold for general tags."""


@dataclass(frozen=True)
class Seen:
    """What one picture shows."""

    hair: str
    shirt: str
    background: str
    mark: bool
    tags: frozenset[str]
    """From the tagger, with spaces."""


def seen(image: Image.Image, tags: frozenset[str] = frozenset()) -> Seen:
    """Measure one picture of any size; `tags` are the tagger's."""
    return Seen(
        hair=_colour_at(image, HAIR_PLACES, HAIR),
        shirt=_colour_at(image, SHIRT_PLACES, SHIRT),
        background=_colour_at(image, BACKGROUND_PLACES, BACKGROUND),
        mark=mark_share(image) >= MARK_SHARE,
        tags=tags,
    )


def mark_share(image: Image.Image) -> float:
    """Share of the marked cheek's pixels that have the mark's blue."""
    pixels = _lab(_pixels(image, (CHEEK,)))
    return float((np.linalg.norm(pixels - _lab(np.array([MARK_PAINT])), axis=1) < MARK_DISTANCE).mean())


def _colour_at(image: Image.Image, places: Sequence[Box], palette: Mapping[str, RGB]) -> str:
    """The palette's colour that most pixels at the places are nearest to."""
    pixels = _lab(_pixels(image, places))
    colours = _lab(np.array(list(palette.values())))
    nearest = np.linalg.norm(pixels[:, None] - colours[None], axis=2).argmin(axis=1)
    names = list(palette)
    return names[Counter(nearest.tolist()).most_common(1)[0][0]]


def _pixels(image: Image.Image, places: Sequence[Box]) -> NDArray[Any]:
    """All pixels at the places, `(n, 3)`."""
    array = np.asarray(image.convert("RGB"))
    height, width, _ = array.shape
    parts = []
    for left, top, right, lower in places:
        rows = slice(round(top * height), max(round(lower * height), round(top * height) + 1))
        columns = slice(round(left * width), max(round(right * width), round(left * width) + 1))
        parts.append(array[rows, columns].reshape(-1, 3))
    return np.concatenate(parts)


def _lab(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """sRGB `(n, 3)`, 0..255 -> CIE L*a*b* under D65 (IEC 61966-2-1, CIE 15)."""
    share = pixels.astype(np.float64) / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


class ToyTagger:
    """Runs a WD14-style model on pictures, for measuring only; the product's own tagger lives in the bot."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime  # not needed by those who only measure colours

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        with (folder / "selected_tags.csv").open(encoding="utf-8", newline="") as file:
            self.rows = [(row["name"].replace("_", " "), int(row["category"])) for row in csv.DictReader(file)]

    def scores(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Probabilities `(n, tags)`."""
        resized = [image.convert("RGB").resize((448, 448), Image.Resampling.BICUBIC) for image in images]
        pixels = np.stack([np.asarray(image, dtype=np.float32)[..., ::-1] for image in resized])
        name = self._session.get_inputs()[0].name
        result: NDArray[np.float32] = self._session.run(None, {name: pixels})[0]
        return result

    def tags(self, image: Image.Image) -> frozenset[str]:
        """General tags over the threshold."""
        scored = zip(self.rows, self.scores([image])[0], strict=True)
        return frozenset(name for (name, category), score in scored if category == 0 and score > TAG_THRESHOLD)
