"""From a picture file to the pixels the VAE reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from trainer.data.buckets import Fit
from trainer.errors import BadPicture

FORMATS = ("JPEG", "PNG", "WEBP")
"""What a job folder holds; no other decoder ever runs here."""


def open_picture(path: Path) -> Image.Image:
    """The picture upright, in RGB, transparency over white. Raises BadPicture, naming the file."""
    with _decoding(path), Image.open(path, formats=FORMATS) as image:
        image.load()
        return _over_white(ImageOps.exif_transpose(image))


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height as people see the picture, from the file's header alone. Raises BadPicture."""
    with _decoding(path), Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return (height, width) if turned else (width, height)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Raise BadPicture, naming the file, for what Pillow raises on a damaged or foreign file."""
    try:
        yield
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadPicture(path.name[:12], "cannot be read (it is damaged, or no JPEG, PNG or WEBP)") from error


def _over_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def to_pixels(image: Image.Image, fit: Fit) -> Tensor:
    """The picture scaled (Lanczos) and cut into its bucket: `(3, h, w)`, fp32 in [-1, 1]."""
    height, width = fit.scaled
    top, left = fit.crop
    scaled = image.resize((width, height), Image.Resampling.LANCZOS)
    cut = scaled.crop((left, top, left + fit.bucket.width, top + fit.bucket.height))
    return torch.from_numpy(np.array(cut, dtype=np.float32)).permute(2, 0, 1) / 127.5 - 1.0
