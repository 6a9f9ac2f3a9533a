"""Several pictures as one, and WebP files of a bounded size."""

from __future__ import annotations

import bisect
import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from trainer.contract.durable import write_atomic

GRID_BYTES = 1_000_000
"""Upper limit of a grid's file: a phone loads it at once, and ten fit into one Discord message."""

GAP = 8
"""Pixels between pictures."""

BACKGROUND, INK = (24, 25, 28), (222, 223, 226)

_QUALITIES = (92, 85, 75, 60)


def grid(pictures: Sequence[Image.Image], captions: Sequence[str] = ()) -> Image.Image:
    """One picture of all: 2 x 2 for four, as square as possible for other numbers, each with its caption below.

    captions: none, or one per picture; what does not fit into its width is cut. Raises ValueError for no pictures or
    another number of captions.
    """
    if not pictures or (captions and len(captions) != len(pictures)):
        raise ValueError(f"a grid needs pictures and a caption for each or none, not {len(pictures)}, {len(captions)}")
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    width, height = (max(picture.size[axis] for picture in pictures) for axis in (0, 1))
    letter = max(10, width // 36)
    font = ImageFont.load_default(letter)
    line = 2 * letter if captions else 0
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + line + GAP) - GAP), BACKGROUND)
    ink = ImageDraw.Draw(sheet)
    for index, picture in enumerate(pictures):
        left, top = index % columns * (width + GAP), index // columns * (height + line + GAP)
        sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
        if captions:
            text = fitting(captions[index], font, width - 2 * GAP)
            ink.text((left + GAP, top + height + line // 2), text, fill=INK, font=font, anchor="lm")
    return sheet


def fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text on one line, cut with an ellipsis to the width in pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    longest = bisect.bisect_right(range(len(text)), width, key=lambda n: math.ceil(font.getlength(text[:n] + "…"))) - 1
    return text[: max(longest, 0)] + "…"


def webp_bytes(picture: Image.Image, limit: int = GRID_BYTES) -> bytes:
    """The picture as WebP in the best quality, then the largest size, that fits into `limit` bytes.

    Raises ValueError for a limit no picture fits into (below 1000).
    """
    if limit < 1000:
        raise ValueError(f"no picture fits into {limit} bytes")
    while True:
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            picture.save(buffer, "WEBP", quality=quality, method=4)
            if buffer.tell() <= limit:
                return buffer.getvalue()
        picture = picture.resize((max(1, picture.width * 3 // 4), max(1, picture.height * 3 // 4)))


def save_webp(path: Path, picture: Image.Image, limit: int = GRID_BYTES) -> None:
    """`webp_bytes` as a durable file; raises ChannelError when the disk refuses."""
    write_atomic(path, webp_bytes(picture, limit))
