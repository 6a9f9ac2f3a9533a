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

from bot.rules.captions.kaomoji import shown_tag

GENERAL, CHARACTER, RATING = 0, 4, 9
"""Categories of selected_tags.csv."""

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


def prepare(image: Image.Image, side: int) -> npt.NDArray[np.float32]:
    """An upright picture as the model's input `(side, side, 3)`: on white, centred on a white square, BGR, 0..255."""
    if image.mode != "RGB":
        seen_through = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, seen_through).convert("RGB")
    longest = max(image.size)
    if image.size != (longest, longest):
        square = Image.new("RGB", (longest, longest), (255, 255, 255))
        square.paste(image, ((longest - image.width) // 2, (longest - image.height) // 2))
        image = square
    if longest != side:
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(image, dtype=np.float32)[:, :, ::-1])


@dataclass(frozen=True, slots=True)
class Cut:
    """Which probabilities count as seen."""

    general: float = 0.35
    """Threshold of general tags; SmilingWolf's demo and imgutils start there."""
    character: float = 0.85
    """Threshold of characters' names."""
    mcut: bool = False
    """Find both thresholds in each picture's own probabilities instead."""


LEAST_CHARACTER = 0.15
"""Under this an MCut of the characters is noise: pictures without a known character have no gap (the same demo)."""


def read_tags(probabilities: npt.NDArray[np.float32], labels: tuple[Label, ...], cut: Cut) -> TagResult:
    """Tags of one picture, `probabilities` `(labels,)`: those strictly above their category's threshold."""
    by_category: dict[int, list[Scored]] = {GENERAL: [], CHARACTER: [], RATING: []}
    for label, value in zip(labels, probabilities.tolist(), strict=True):
        if label.category in by_category:
            by_category[label.category].append((label.name, value))
    general, characters, ratings = by_category[GENERAL], by_category[CHARACTER], by_category[RATING]
    least_general, least_character = cut.general, cut.character
    if cut.mcut:
        least_general = maximum_cut(general)
        least_character = max(LEAST_CHARACTER, maximum_cut(characters))
    return TagResult(
        general=tuple(each for each in general if each[1] > least_general),
        characters=tuple(each for each in characters if each[1] > least_character),
        rating=max(ratings, key=lambda each: each[1])[0] if ratings else "",
    )


def maximum_cut(scored: list[Scored]) -> float:
    """MCut: the midpoint of the largest gap between neighbours, all sorted; 0.0 where there are no two to compare.

    Largeron, Moulin, Géry: MCut, a thresholding strategy for multi-label classification (2012).
    """
    values = np.sort(np.array([value for _, value in scored], dtype=np.float32))[::-1]
    if len(values) < 2:
        return 0.0
    place = int((values[:-1] - values[1:]).argmax())
    return float((values[place] + values[place + 1]) / 2)
