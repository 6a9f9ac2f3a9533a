"""Pictures out of a folder of a person's own files: found, opened, turned upright, stripped, named by their hash.

Captions lie beside the pictures as `.txt`. kohya's layout is understood: in a folder named `10_lisaxl woman` each
picture counts ten times an epoch. Masks, where wanted, come out of a folder of their own or of the pictures'
transparency. Files of one's own disk are trusted more than what comes over Discord (the bot decodes in a bounded
process), but a broken one still costs a sentence, never the run.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageCms, UnidentifiedImageError

from trainer.by_hand.masks import BadMask, Masks
from trainer.contract.durable import write_atomic
from trainer.contract.errors import InvalidJob
from trainer.data.orientation import upright

MAX_PIXELS = 40_000_000
JPEG_QUALITY = 95
MAX_REPEATS = 1000
_REPEATS = re.compile(r"(\d{1,4})_.*", re.DOTALL)
_NOT_PICTURES = frozenset({".txt", ".caption", ".npz", ".json", ".toml", ".md", ".safetensors"})
"""Endings that lie beside pictures in a training folder and are passed over without a word."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file in the folder that may be a picture."""

    path: Path
    repeats: int
    caption_extension: str = ".txt"
    """Ending of the file beside it that holds its caption."""
    caption: str = ""
    """Its caption where there is no such file."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """A picture ready for a job."""

    path: Path
    """The stripped copy, named `<sha256>.<jpg|png>`."""
    source: Path
    repeats: int
    caption: str
    """Text of the file beside it; empty when there is none."""
    mask: Path | None = None
    """Its mask, as large as itself, named `<sha256>.png`; None counts all of it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that cannot be trained on, and the sentence that says why."""

    source: Path
    reason: str


def find(folder: Path, inner: str = "img") -> list[Found]:
    """Files of a picture folder, sorted: its own, those of kohya's `N_name` folders in it, or in its folder `inner`.

    kohya's `inner` is `img`, or `reg` for regularisation pictures. Raises InvalidJob when the folder cannot be read.
    """
    try:
        own = _repeats_of(folder.absolute().name) or 1
        found = [Found(path, own) for path in files(folder)]
        for parent in (folder, folder / inner):
            for child in sorted(path for path in parent.glob("*") if path.is_dir()):
                if repeats := _repeats_of(child.name):
                    found += [Found(path, repeats) for path in files(child)]
    except OSError as error:
        raise InvalidJob(f"cannot read the folder of pictures {folder}: {error.strerror or error}") from error
    return found


def _repeats_of(name: str) -> int | None:
    match = _REPEATS.fullmatch(name)
    return int(match[1]) if match and match[1].isascii() and 1 <= int(match[1]) <= MAX_REPEATS else None


def files(folder: Path) -> Iterator[Path]:
    """Files of a folder that may be pictures, sorted; raises OSError."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith(".") and path.suffix.lower() not in _NOT_PICTURES:
            yield path


def gather(
    found: Sequence[Found], scratch: Path, min_side: int, masks: Masks | None = None
) -> list[Gathered | Refused]:
    """Each file as a stripped copy in `scratch`, or refused, in the same order; a second copy of a picture is refused.

    With `masks` each one's mask comes along. Raises ChannelError when the disk is full.
    """
    opener_formats = formats()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        results = list(pool.map(lambda one: _gather_one(one, scratch, min_side, opener_formats, masks), found))
    first: dict[str, Path] = {}
    for place, result in enumerate(results):
        if isinstance(result, Gathered):
            earlier = first.setdefault(result.path.name, result.source)
            if earlier != result.source:
                results[place] = Refused(result.source, f"is the same picture as {earlier.name}; it is used once")
    return results


def formats() -> tuple[str, ...]:
    """Names of the formats that can be opened here; HEIC needs the package pi_heif."""
    known = ["JPEG", "PNG", "WEBP", "AVIF"]
    with suppress(ImportError):
        import pi_heif

        pi_heif.register_heif_opener(thumbnails=False)
        known.append("HEIF")
    Image.init()
    return tuple(name for name in known if name in Image.OPEN)


def _gather_one(
    one: Found, scratch: Path, min_side: int, opener_formats: tuple[str, ...], masks: Masks | None
) -> Gathered | Refused:
    try:
        with Image.open(one.path, formats=opener_formats) as image:
            if problem := _problem(image, min_side):
                return Refused(one.path, problem)
            lossless = image.format == "PNG"
            shown = upright(image)
            mask = masks.of(one.path, shown, opener_formats) if masks is not None else None
            data = _encode(_plain(shown, image.info.get("icc_profile")), lossless)
        caption = caption_beside(one.path, one.caption_extension) or one.caption
    except BadMask as problem:
        return Refused(one.path, str(problem))
    except UnidentifiedImageError:
        return Refused(one.path, "is no picture that can be read here (JPEG, PNG, WEBP, AVIF, HEIC with pi_heif)")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.strerror:  # the disk's own word, which Pillow's errors do not have
            return Refused(one.path, f"cannot be read ({error.strerror}); look at its rights and its disk")
        return Refused(one.path, "is damaged or cut short; export it again from where it came")
    kept = _keep(data, "png" if lossless else "jpg", scratch)
    kept_mask = None if mask is None else _keep(_encode(mask, lossless=True), "png", scratch)
    return Gathered(kept, one.path, one.repeats, caption, kept_mask)


def _keep(data: bytes, ending: str, scratch: Path) -> Path:
    """A file in `scratch` named by its contents."""
    copy = scratch / f"{hashlib.sha256(data).hexdigest()}.{ending}"
    if not copy.exists():
        write_atomic(copy, data)
    return copy


def _problem(image: Image.Image, min_side: int) -> str | None:
    """Why an opened file is not used, as the rest of a sentence that starts with its name."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        return f"has {width} x {height} pixels, more than {MAX_PIXELS // 1_000_000} megapixels; make it smaller"
    if min(width, height) < min_side:
        return f"has {width} x {height} pixels; the shorter side needs at least {min_side}"
    # A phone's multi-picture JPEG (MPO) holds previews behind its picture; it does not move.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        return "is animated; save the best moment as a still picture"
    return None


def _plain(shown: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB in sRGB, transparency over white, and no metadata."""
    plain = shown
    if shown.has_transparency_data:
        plain = shown.convert("RGBA")
        plain = Image.alpha_composite(Image.new("RGBA", plain.size, "white"), plain)
    plain = plain.convert("RGB")
    if profile and shown.mode in ("RGB", "RGBA", "P"):
        with suppress(ImageCms.PyCMSError, OSError):  # a profile that does not fit is left out of account
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            plain = ImageCms.profileToProfile(plain, source, ImageCms.createProfile("sRGB")) or plain
    plain.info.clear()
    return plain


def _encode(image: Image.Image, lossless: bool) -> bytes:
    """PNG for what came as PNG; else JPEG without chroma loss, whose errors vanish when it is scaled for training."""
    out = io.BytesIO()
    if lossless:
        image.save(out, "PNG")
    else:
        image.save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return out.getvalue()


def caption_beside(picture: Path, extension: str) -> str:
    """Text of the file beside a picture, lines joined; empty when there is none."""
    try:
        text = picture.with_name(picture.stem + extension).read_text("utf-8-sig", "replace")
    except FileNotFoundError:
        return ""
    return ", ".join(line.strip().strip(",").strip() for line in text.replace("\0", "").splitlines() if line.strip())
