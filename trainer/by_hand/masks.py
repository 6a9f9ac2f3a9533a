"""Masks out of a person's own files: a folder of them, named as the pictures are, or the pictures' transparency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from trainer.contract.errors import InvalidJob
from trainer.data.orientation import upright


class BadMask(Exception):
    """A picture's mask cannot be used; says why, as the rest of a sentence that starts with the picture's name."""


@dataclass(frozen=True, slots=True)
class Masks:
    """Where the pictures of a folder have their masks."""

    files: Mapping[tuple[str, str], Path]
    """By name of the subfolder (empty for the folder itself) and stem."""

    @classmethod
    def find(cls, folder: Path | None) -> Masks:
        """The masks in a folder, and in its subfolders where the pictures are in such; raises InvalidJob.

        Without a folder there are only those that pictures carry as their transparency.
        """
        if folder is None:
            return cls({})
        try:
            found = [("", path) for path in sorted(folder.iterdir())]
            found += [(path.name, one) for _, path in found if path.is_dir() for one in sorted(path.iterdir())]
        except OSError as error:
            raise InvalidJob(f"cannot read the folder of masks {folder}: {error.strerror or error}") from error
        return cls({(parent, path.stem): path for parent, path in found if path.is_file() and path.name[0] != "."})

    def of(self, picture: Path, shown: Image.Image, formats: tuple[str, ...]) -> Image.Image | None:
        """The mask of an opened picture in shades of grey; None where all of it counts. Raises BadMask."""
        path = self.files.get((picture.parent.name, picture.stem)) or self.files.get(("", picture.stem))
        mask = _transparency(shown) if path is None else _opened(path, formats)
        if mask is None:
            return None
        if path is not None and mask.size != shown.size:
            found, wanted = (" x ".join(map(str, size)) for size in (mask.size, shown.size))
            raise BadMask(f"has {wanted} pixels, its mask {path.name} {found}; make them alike")
        darkest, brightest = mask.getextrema()
        if not brightest:
            raise BadMask("has a mask that is black all over, so that nothing of it would count; paint white what does")
        mask.info.clear()
        return None if darkest == 255 else mask


def _opened(path: Path, formats: tuple[str, ...]) -> Image.Image:
    """A mask's file; where it is transparent it is black."""
    try:
        with Image.open(path, formats=formats) as image:
            mask = upright(image)
            if mask.has_transparency_data:
                mask = mask.convert("RGBA")
                mask = Image.alpha_composite(Image.new("RGBA", mask.size, "black"), mask)
            return mask.convert("L")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise BadMask(f"has a mask {path.name} that cannot be read; export it again as PNG") from error


def _transparency(image: Image.Image) -> Image.Image | None:
    return image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
