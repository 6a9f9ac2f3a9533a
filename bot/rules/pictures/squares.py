"""What is said of squares, on the cards and on the page: what they are, whether they are used, what is enlarged. Pure.

The squares themselves are in bot.rules.pictures.crop.
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.rules.pictures.crop import SQUARE
from bot.rules.pictures.quality import SMALL_SIDE, Level
from bot.rules.pictures.report import Group

WHAT = (
    "A picture's shape is how wide and how high it is. Kept, nearly all of the picture is trained; in squares, only "
    "what is bright here. Frames judge the squares. The pictures themselves stay."
)
NO_ROOM = "There is no more room that way, or closer would mean enlarging it."
JUDGED = "Judged by their squares, which trainings use"
SMALL = f"The square has under {SQUARE} pixels, because the picture has no more: it is enlarged to train."


def now(*, square: bool) -> str:
    """Which of the two holds."""
    return "squares are used" if square else "shapes are kept"


def from_now_on(*, square: bool) -> str:
    """After a member chose."""
    return "Trainings from now on use the squares." if square else "Trainings from now on keep each picture's shape."


def kept_whole(pictures: str, whole: int) -> str:
    """Of `pictures` ("12 pictures") so many lose nothing."""
    return f"{pictures}, {whole} square already and kept whole."


def mended(numbers: str, button: str) -> str:
    """Which red pictures squares would make good enough, and the button that shows them."""
    return f"Not red any more in a square: {numbers}. Press {button} to see them."


def enlarged(sides: Mapping[int, int]) -> list[Group]:
    """Of the squares' sides by the pictures' numbers those that are enlarged to train: nothing is in silence."""
    small = tuple(str(number) for number, side in sides.items() if SMALL_SIDE <= side < SQUARE)
    tiny = tuple(str(number) for number, side in sides.items() if side < SMALL_SIDE)
    found = (
        Group(Level.AMBER, small, f"under {SQUARE} pixels: enlarged to train, a little soft", ""),
        Group(Level.RED, tiny, f"under {SMALL_SIDE} pixels: enlarged a lot", "Better keep their shapes."),
    )
    return [each for each in found if each.numbers]
