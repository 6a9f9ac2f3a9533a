"""The square that is cut out of a picture to train on squares: around the face, or what else matters. Pure.

The same arithmetic as the trainer's (trainer.data.buckets.fit): a square of SQUARE pixels or more is used as it is; no
square is smaller than that unless the picture is, so nothing is enlarged that need not be.
"""

from __future__ import annotations

from typing import Literal

from bot.rules.pictures.measures import Box, Measures
from bot.rules.pictures.quality import GOOD_SIDE
from bot.store.rows import Dataset, Picture
from trainer.contract.spec import Kind

SQUARE = GOOD_SIDE
"""Side, in pixels, of the squares that are trained on."""
ROOM = 3.0
"""Side of the square in heights of the face: head and shoulders."""
HEAD_ROOM = 0.4
"""Share of the square's height beside the face that goes above it: hair and a little air; shoulders get the rest."""
STEP = 0.08
"""Share of the square's side that one press moves it by."""
ZOOM = 0.85
"""One press closer shows this share of the square's side."""

Move = Literal["left", "right", "up", "down", "closer", "wider"]
MOVES: tuple[Move, ...] = ("left", "right", "up", "down", "closer", "wider")


def suggested(kind: Kind, width: int, height: int, measures: Measures | None) -> Box:
    """The square around the largest face of a person, else around the part with most detail, else the middle."""
    short = min(width, height)
    if measures is None:
        return _square(width, height, short, width / 2, height / 2)
    if kind != "person" or not measures.faces:
        x, y = measures.salient
        return _square(width, height, short, x * width, y * height)
    face = max(measures.faces, key=lambda each: each.height)
    left, top, right, _ = face.box
    tall = face.height * height
    side = min(max(ROOM * tall, float(SQUARE)), short)
    above = HEAD_ROOM * max(0.0, side - tall)
    return _square(width, height, side, (left + right) / 2 * width, top * height - above + side / 2)


def focus_of(dataset: Dataset, picture: Picture, measures: Measures | None) -> Box:
    """The square a picture is cut to: the member's, else the suggested one."""
    return picture.focus_box or suggested(dataset.kind, picture.width, picture.height, measures)


def moved(box: Box, move: Move, width: int, height: int) -> Box:
    """The square after one press; the same one where there is no more room, or closer would mean enlarging."""
    left, top, right, lower = box
    side = (right - left) * width
    x, y = (left + right) / 2 * width, (top + lower) / 2 * height
    step = STEP * side
    match move:
        case "left":
            x -= step
        case "right":
            x += step
        case "up":
            y -= step
        case "down":
            y += step
        case "closer":
            side = max(side * ZOOM, min(SQUARE, width, height))
        case "wider":
            side = side / ZOOM
    return _square(width, height, side, x, y)


def pixels(box: Box, width: int) -> int:
    """Side of the square in pixels."""
    return round((box[2] - box[0]) * width)


def _square(width: int, height: int, side: float, x: float, y: float) -> Box:
    """A square of that side around a centre (pixels), inside the picture; as shares."""
    side = min(side, width, height)
    left = min(max(0.0, x - side / 2), width - side)
    top = min(max(0.0, y - side / 2), height - side)
    values = (left / width, top / height, (left + side) / width, (top + side) / height)
    rounded = tuple(round(min(value, 1.0), 5) for value in values)
    return rounded[0], rounded[1], rounded[2], rounded[3]
