"""The process that draws sheets of stored pictures: one line of JSON on stdin → one JPEG on stdout.

    python -m bot.vision.sheets.sheet_worker MEMORY_BYTES SECONDS

{"cells": [{"path", "number", "level", "box"}, ...]} is a contact sheet: level 0, 1, 2 frames a picture green, amber,
red (null: not at all), and what lies outside the box is dimmed. {"path", "box"} is one picture before and after.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from bot.workers.limits import limit_resources

COLUMNS, CELL, FRAME, GAP = 5, 216, 10, 6
"""Pixels. A phone of 390 shows a sheet of five at a third of its size: frames of 3, numbers of 13 pixels."""
FEW_COLUMNS = 3
"""For sheets of up to nine pictures, so that they are not tiny."""
NUMBER_SIZE = 40
PAIR_SIDE, ARROW = 540, 72
"""Of the square beside its picture, and of the room between them for an arrow."""
COLOURS = ((35, 165, 90), (240, 178, 50), (242, 63, 67))
"""Green, amber, red: Discord's signal colours."""
GROUND, INK, LINE = (30, 31, 34), (255, 255, 255), (88, 101, 242)
MOST_SIDE = 4096
"""Of a picture in memory as a whole, transparency included."""
OUTLINE, PAIR_OUTLINE = 4, 10
"""Lines around a square in a sheet, and in a pair, which a phone shows at a third of its size."""
DIMMED = 90
"""Of 255: how much is left of what a square leaves out."""
QUALITY = 88


def sheet(cells: Sequence[dict[str, Any]]) -> Image.Image:
    """The contact sheet."""
    few = len(cells) <= FEW_COLUMNS**2
    columns = min(len(cells), FEW_COLUMNS) if few else COLUMNS
    side = CELL * COLUMNS // FEW_COLUMNS if few else CELL
    rows = -(-len(cells) // columns)
    canvas = Image.new("RGB", (columns * (side + GAP) + GAP, rows * (side + GAP) + GAP), GROUND)
    for place, cell in enumerate(cells):
        left, top = (GAP + index * (side + GAP) for index in (place % columns, place // columns))
        _draw_cell(canvas, (left, top), side, cell)
    return canvas


def pair(path: Path, box: Sequence[float]) -> Image.Image:
    """The picture with its square outlined, an arrow, and the square, in its own sharpness.

    No wider than it must be: beside a tall picture the square is larger on a phone.
    """
    # So large that the square is not enlarged here, which would look softer than what is trained on.
    share = max(PAIR_SIDE / MOST_SIDE, min(box[2] - box[0], box[3] - box[1]))
    whole = opened(path, round(PAIR_SIDE / share))
    before = _framed(whole, box, PAIR_SIDE, PAIR_OUTLINE)
    start = GAP + before.width
    canvas = Image.new("RGB", (start + ARROW + PAIR_SIDE + GAP, PAIR_SIDE + 2 * GAP), GROUND)
    canvas.paste(before, (GAP, GAP + (PAIR_SIDE - before.height) // 2))
    _arrow(ImageDraw.Draw(canvas), (start, GAP + PAIR_SIDE // 2))
    after = whole.crop(_pixels(box, whole.size)).resize((PAIR_SIDE, PAIR_SIDE), Image.Resampling.LANCZOS)
    canvas.paste(after, (start + ARROW, GAP))
    return canvas


def opened(path: Path, side: int) -> Image.Image:
    """The picture in RGB, about `side` pixels at most; a grey field where it is gone or cannot be opened."""
    try:
        with Image.open(path, formats=["JPEG", "PNG", "WEBP"]) as image:
            image.draft("RGB", (side, side))
            small = image.convert("RGBA" if image.has_transparency_data else "RGB")
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
    except OSError:
        return Image.new("RGB", (side, side), (80, 80, 80))
    if small.mode == "RGBA":
        ground = Image.new("RGBA", small.size, (255, 255, 255, 255))
        ground.alpha_composite(small)
        return ground.convert("RGB")
    return small


def _draw_cell(canvas: Image.Image, corner: tuple[int, int], side: int, cell: dict[str, Any]) -> None:
    left, top = corner
    level = cell.get("level")
    colour = GROUND if level is None else COLOURS[level]
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left, top, left + side - 1, top + side - 1), fill=colour)
    draw.rectangle((left + FRAME, top + FRAME, left + side - FRAME - 1, top + side - FRAME - 1), fill=GROUND)
    inner = side - 2 * FRAME
    image = opened(Path(cell["path"]), inner)
    if cell.get("box"):
        image = _framed(image, cell["box"], inner)
    canvas.paste(image, (left + (side - image.width) // 2, top + (side - image.height) // 2))
    _badge(draw, (left, top), str(cell["number"]), LINE if level is None else colour)
    if level == len(COLOURS) - 1:  # not by colour alone: one in twelve men does not tell red from green
        _cross(draw, (left + side - FRAME, top + FRAME), colour)


def _badge(draw: ImageDraw.ImageDraw, corner: tuple[int, int], number: str, colour: tuple[int, int, int]) -> None:
    font = ImageFont.load_default(NUMBER_SIZE)
    wide = round(font.getlength(number)) + 20
    left, top = corner
    draw.rectangle((left, top, left + wide, top + NUMBER_SIZE + 10), fill=colour)
    draw.text((left + 10, top + 2), number, font=font, fill=INK, stroke_width=2, stroke_fill=GROUND)


def _cross(draw: ImageDraw.ImageDraw, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    right, top = corner
    size = NUMBER_SIZE
    draw.rectangle((right - size - 10, top, right, top + size + 10), fill=colour)
    for start, end in (
        ((right - size, top + 10), (right - 10, top + size)),
        ((right - 10, top + 10), (right - size, top + size)),
    ):
        draw.line((*start, *end), fill=INK, width=7)


def _arrow(draw: ImageDraw.ImageDraw, place: tuple[int, int]) -> None:
    """To the right, in the middle of the ARROW pixels that begin at `place`."""
    left, middle = place
    tip, tail, half = left + ARROW - 14, left + 14, 20
    draw.line((tail, middle, tip - half, middle), fill=INK, width=12)
    draw.polygon(((tip - half, middle - half), (tip, middle), (tip - half, middle + half)), fill=INK)


def _framed(image: Image.Image, box: Sequence[float], side: int, outline: int = OUTLINE) -> Image.Image:
    """The picture within `side`, dimmed outside the box, the box outlined."""
    scale = side / max(image.size)
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    dimmed = small.point([value * DIMMED // 255 for value in range(256)] * 3)
    inside = _pixels(box, small.size)
    dimmed.paste(small.crop(inside), inside[:2])
    left, top, right, lower = inside
    ImageDraw.Draw(dimmed).rectangle((left, top, right - 1, lower - 1), outline=LINE, width=outline)
    return dimmed


def _pixels(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top = round(box[0] * size[0]), round(box[1] * size[1])
    return left, top, max(left + 1, round(box[2] * size[0])), max(top + 1, round(box[3] * size[1]))


def main(arguments: list[str]) -> None:
    """Draw what stdin asks for."""
    limit_resources(int(arguments[0]), int(arguments[1]))
    asked = json.load(sys.stdin)
    image = sheet(asked["cells"]) if "cells" in asked else pair(Path(asked["path"]), asked["box"])
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    sys.stdout.buffer.write(out.getvalue())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
