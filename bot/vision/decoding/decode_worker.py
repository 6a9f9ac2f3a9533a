"""The process that opens one hostile picture: bytes on stdin → one line of JSON and the picture on stdout.

    python -m bot.vision.decoding.decode_worker MEMORY_BYTES SECONDS MAX_PIXELS MIN_SIDE

It can write no file, start with no secret, and dies at its limits; whatever happens here is only a refusal over there.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from typing import Any

from bot.workers.limits import limit_resources

LOSSLESS_PIXELS = 4_000_000
"""Up to here a picture that came without loss stays so. A larger one is scaled down a lot to be trained at about one
megapixel, which averages JPEG's errors at quality 95 away; lossless it would take ten times the space and time."""
MAX_SIDE = 16_000
"""Pixels; WEBP ends at 16,383, and no such strip is of use for training."""
WEBP_PIXELS = 28_000_000
"""Pillow's WEBP decoder holds four copies of a picture, 16 bytes a pixel: a larger one would take over 600 MB."""
JPEG_QUALITY = 95
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, RuntimeError)
"""What Pillow's decoders raise on damaged files."""
COLLECTIONS = ("MPO", "HEIF")
"""Pillow calls them animated, but their further pictures are a depth map, the other eye, or a burst."""
SEQUENCE_BRANDS = (b"hevc", b"hevx", b"msf1")
"""Of HEIF: a sequence of frames. Any other brand is a still, or a collection whose main picture is taken."""


class CannotUse(Exception):
    """The picture is refused; `why` is a code that bot.vision.decoding.decoder has the sentence for."""

    def __init__(self, why: str, **values: int) -> None:
        super().__init__(why)
        self.why = why
        self.values = values


def main(arguments: list[str]) -> None:
    """Decode stdin to stdout."""
    memory_bytes, seconds, max_pixels, min_side = map(int, arguments)
    limit_resources(memory_bytes, seconds)
    try:
        head, picture = decode(sys.stdin.buffer.read(), max_pixels, min_side)
    except CannotUse as refusal:
        head, picture = {"ok": False, "why": refusal.why, **refusal.values}, b""
    except MemoryError:
        head, picture = {"ok": False, "why": "memory"}, b""
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + picture)
    sys.stdout.buffer.flush()


def decode(data: bytes, max_pixels: int, min_side: int) -> tuple[dict[str, Any], bytes]:
    """Result and picture; raises CannotUse."""
    from PIL import Image

    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = None  # sizes are checked below, with a better sentence
    image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise CannotUse("too-large", width=width, height=height)
    if image.format == "WEBP" and width * height > WEBP_PIXELS:
        raise CannotUse("memory")
    if max(width, height) > MAX_SIDE:
        raise CannotUse("too-long", width=width, height=height)
    if min(width, height) < min_side:
        raise CannotUse("too-small", width=width, height=height)
    if image.format not in COLLECTIONS and getattr(image, "is_animated", False):
        raise CannotUse("animated")
    lossless = image.format == "PNG" or (image.format == "WEBP" and data[12:16] == b"VP8L")
    try:
        image.load()
        image = _upright_srgb(image)
    except UNREADABLE as error:
        raise CannotUse("damaged") from error
    return _encode(image, lossless)


def _open(data: bytes) -> Any:
    from PIL import AvifImagePlugin, Image, UnidentifiedImageError

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    formats = ["JPEG", "PNG", "WEBP", "AVIF"]  # a phone's multi-picture JPEG (MPO) comes as JPEG
    if data[4:8] == b"ftyp" and data[8:12] not in (b"avif", b"avis"):
        import pi_heif

        if data[8:12] in SEQUENCE_BRANDS:
            raise CannotUse("animated")
        pi_heif.register_heif_opener(thumbnails=False, decode_threads=1)
        formats = ["HEIF"]
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError as error:
        raise CannotUse("damaged" if _claims(data) else "unknown") from error
    except UNREADABLE as error:
        raise CannotUse("damaged") from error


def _claims(data: bytes) -> bool:
    """Whether the first bytes are those of a format we take, so that it is damaged rather than something else."""
    return (
        data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
        or (data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis", b"heic", b"heix", b"mif1"))
    )


def _upright_srgb(image: Any) -> Any:
    """RGB, or RGBA where something can be seen through, turned upright, in sRGB.

    In place where that works: a second copy of the largest pictures is 160 MB.
    """
    from PIL import ImageOps

    icc = image.info.get("icc_profile")
    ImageOps.exif_transpose(image, in_place=True)
    alpha = None
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        lowest, highest = alpha.getextrema()
        if highest == 0:
            raise CannotUse("transparent")
        alpha = None if lowest == 255 else alpha
    colour = _srgb(_eight_bits(image), icc)
    if alpha is not None:
        colour.putalpha(alpha)
    return colour


def _eight_bits(image: Any) -> Any:
    """Modes of 16 bits a pixel scaled to 8; Pillow's own conversion would cut everything above 255 off."""
    if image.mode.startswith("I;16"):
        image = image.convert("I")
    if image.mode == "I":
        return image.point(lambda value: value * (1 / 257)).convert("L")
    return image


def _srgb(image: Any, icc: bytes | None) -> Any:
    """Colours in sRGB. A profile that is damaged or does not fit the picture is left out of account."""
    from PIL import ImageCms

    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(profile.profile.xcolor_space.strip(), "")
            base = _in_mode(image, "L" if image.mode in ("L", "LA") else "CMYK" if image.mode == "CMYK" else "RGB")
            if base.mode == mode and "srgb" not in ImageCms.getProfileDescription(profile).lower():
                srgb = ImageCms.createProfile("sRGB")
                if mode == "RGB":
                    ImageCms.profileToProfile(base, profile, srgb, outputMode="RGB", inPlace=True)
                    return base
                return ImageCms.profileToProfile(base, profile, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            return _in_mode(image, "RGB")
    return _in_mode(image, "RGB")


def _in_mode(image: Any, mode: str) -> Any:
    return image if image.mode == mode else image.convert(mode)


def _encode(image: Any, lossless: bool) -> tuple[dict[str, Any], bytes]:
    """Lossless WEBP for small lossless sources and for anything with transparency, else JPEG without chroma loss.

    JPEG knows no transparency and lossless WEBP is slow, so a large picture with transparency is made smaller.
    """
    image.info.clear()  # nothing of the source's text, GPS or colour profile goes on
    excess = image.width * image.height / LOSSLESS_PIXELS
    if image.mode == "RGBA" and excess > 1:
        image = image.resize((round(image.width / excess**0.5), round(image.height / excess**0.5)))
    width, height = image.size
    out = io.BytesIO()
    if image.mode == "RGBA" or (lossless and excess <= 1):
        suffix = "webp"
        image.save(out, "WEBP", lossless=True, method=0, quality=20)  # 6 times faster, 15% larger than default
    else:
        suffix = "jpg"
        image.save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    data = out.getvalue()
    return {"ok": True, "suffix": suffix, "width": width, "height": height, "bytes": len(data)}, data


if __name__ == "__main__":
    main(sys.argv[1:])
