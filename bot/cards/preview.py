"""A small JPEG of a stored picture, for a card."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

SIDE = 1024
"""Longer side in pixels: as much as a phone shows."""


def preview(path: Path, side: int = SIDE) -> bytes:
    """JPEG of at most `side` pixels; for a thread of its own, as it takes some 50 ms. OSError when the file is gone."""
    with Image.open(path) as picture:
        picture.draft("RGB", (side, side))
        small = picture.convert("RGB")
        small.thumbnail((side, side))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=85)
    return out.getvalue()
