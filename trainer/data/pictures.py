"""From a picture file to the pixels the VAE reads, and from its mask to where the loss counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from trainer.contract.limits import LATENT_FACTOR
from trainer.data.buckets import Fit
from trainer.data.orientation import is_sideways, upright
from trainer.errors import BadPicture

FORMATS = ("JPEG", "PNG", "WEBP")
"""What a job folder holds; no other decoder ever runs here."""


def open_picture(path: Path) -> Image.Image:
    """The picture upright, in RGB, transparency over white. Raises BadPicture, naming the file."""
    with _decoding(path), Image.open(path, formats=FORMATS) as image:
        image.load()
        return _over_white(upright(image))


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height as people see the picture, from the file's header alone. Raises BadPicture."""
    with _decoding(path), Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        return (height, width) if is_sideways(image) else (width, height)


def open_mask(path: Path, picture: Path) -> Image.Image:
    """The picture's mask upright, in shades of grey. Raises BadPicture, naming the picture."""
    try:
        with _decoding(path), Image.open(path, formats=("PNG",)) as image:
            image.load()
            mask = upright(image).convert("L")
    except BadPicture as error:
        raise BadPicture(picture.name[:12], "has a mask that cannot be read (it is damaged, or no PNG)") from error
    size = upright_size(picture)
    if mask.size != size:
        found, wanted = (" x ".join(map(str, sides)) for sides in (mask.size, size))
        raise BadPicture(picture.name[:12], f"has a mask of {found} pixels where its own size is {wanted}")
    return mask


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
    """The picture mirrored if the fit says so, scaled (Lanczos) and cut: `(3, h, w)`, fp32 in [-1, 1]."""
    cut = _cut(image, fit, Image.Resampling.LANCZOS)
    return torch.from_numpy(cut).permute(2, 0, 1) / 127.5 - 1.0


def to_mask(image: Image.Image, fit: Fit) -> Tensor:
    """The mask brought into its picture's bucket, each latent's share of white: `(1, h/8, w/8)`, fp32 in [0, 1].

    Scaled linearly: Lanczos would draw rims beside its edges.
    """
    cut = torch.from_numpy(_cut(image, fit, Image.Resampling.BILINEAR)) / 255.0
    return functional.avg_pool2d(cut[None], LATENT_FACTOR)


def _cut(image: Image.Image, fit: Fit, resampling: Image.Resampling) -> np.ndarray:
    """The part of the scaled image that the fit keeps, fp32 in 0 to 255."""
    height, width = fit.scaled
    top, left = fit.crop
    if fit.mirrored:
        image = ImageOps.mirror(image)
    scaled = image.resize((width, height), resampling)
    return np.array(scaled.crop((left, top, left + fit.bucket.width, top + fit.bucket.height)), dtype=np.float32)
