"""WD14's contract as pure arithmetic: picture → tensor, probabilities → tags.

As SmilingWolf's own demo does it: input NHWC float32, BGR, 0..255; outputs are probabilities in the order of
selected_tags.csv. Needs numpy and Pillow only.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

GENERAL, CHARACTER, RATING = 0, 4, 9
"""Categories of selected_tags.csv."""

_KAOMOJI = frozenset(
    (
        *("0_0", "(o)_(o)", "+_+", "+_-", "._.", "<o>_<o>", "<|>_<|>", "=_=", ">_<", "3_3"),
        *("6_9", ">_o", "@_@", "^_^", "o_o", "u_u", "x_x", "|_|", "||_||"),
    )
)
"""Tags whose _ is a mouth, not a space."""

Scored = tuple[str, float]


@dataclass(frozen=True, slots=True)
class Label:
    """One row of selected_tags.csv: one output of the model."""

    name: str
    category: int


@dataclass(frozen=True, slots=True)
class TagResult:
    """What the tagger sees in one picture. Tags stand in the order of the model's CSV, which is by frequency.

    Not by probability, for the same reason as kohya's tagger: the same tags then stand in the same order in every
    caption of a dataset, and the commonest come before CLIP's 77 tokens end.
    """

    general: tuple[Scored, ...]
    characters: tuple[Scored, ...]
    rating: str
    """The likeliest of general, sensitive, questionable, explicit; never part of a caption."""


def read_labels(lines: Iterable[str]) -> tuple[Label, ...]:
    """Labels of a selected_tags.csv in output order; raises ValueError when it is not one."""
    rows = csv.DictReader(lines)
    if not {"name", "category"} <= set(rows.fieldnames or ()):
        raise ValueError("selected_tags.csv has no columns called name and category")
    labels = tuple(Label(shown_tag(row["name"]), int(row["category"])) for row in rows)
    if not any(label.category == GENERAL for label in labels):
        raise ValueError("selected_tags.csv holds no general tags (category 0)")
    return labels


def shown_tag(name: str) -> str:
    """A tag as captions write it: `_` becomes a space, except in a kaomoji."""
    return name if name in _KAOMOJI else name.replace("_", " ")


def prepare(image: Image.Image, side: int) -> npt.NDArray[np.float32]:
    """An upright picture as the model's input `(side, side, 3)`: on white, centred on a white square, BGR, 0..255."""
    if image.mode != "RGBA":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    longest = max(image.size)
    square = Image.new("RGB", (longest, longest), (255, 255, 255))
    corner = ((longest - image.width) // 2, (longest - image.height) // 2)
    square.paste(image.convert("RGB"), corner, image if image.mode == "RGBA" else None)
    if longest != side:
        square = square.resize((side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(square, dtype=np.float32)[:, :, ::-1])


def read_tags(
    probabilities: npt.NDArray[np.float32], labels: tuple[Label, ...], general: float, character: float
) -> TagResult:
    """Tags of one picture, `probabilities` `(labels,)`: those strictly above their category's threshold."""
    scored = [(label, float(value)) for label, value in zip(labels, probabilities, strict=True)]
    ratings = [(value, label.name) for label, value in scored if label.category == RATING]
    return TagResult(
        general=_above(scored, GENERAL, general),
        characters=_above(scored, CHARACTER, character),
        rating=max(ratings)[1] if ratings else "",
    )


def _above(scored: list[tuple[Label, float]], category: int, threshold: float) -> tuple[Scored, ...]:
    return tuple((label.name, value) for label, value in scored if label.category == category and value > threshold)
