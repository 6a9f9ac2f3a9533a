"""Files that are not what they should be: each gets a sentence with its name and the reason, and no more happens."""

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from bot.config import IntakeConfig
from bot.errors import PictureRefused
from bot.vision.decoding.decoder import Decoder
from bot.workers.child import worker_environment
from tests.bot.conftest import encoded, make_picture, quarters

FILES = Path(__file__).parents[1] / "files"


def webp_claiming(width: int, height: int) -> bytes:
    """A WEBP whose header promises a canvas that its few bytes do not hold."""
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    still = encoded(noise((96, 96)), "WEBP")[12:]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas + still
    return b"RIFF" + struct.pack("<I", len(body)) + body


FRAMES = [quarters((96, 96), seed) for seed in range(3)]


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header promises a size that its few bytes do not hold."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def png_with(*extra: tuple[bytes, bytes], pixels: bool = True) -> bytes:
    """A sound PNG with further chunks before its pixels (or without pixels)."""
    sound = encoded(noise((96, 96)), "PNG")
    body = sound[33:] if pixels else sound[-12:]
    chunks = [struct.pack(">I", len(b)) + name + b + struct.pack(">I", zlib.crc32(name + b)) for name, b in extra]
    return sound[:33] + b"".join(chunks) + body


def bomb_text() -> bytes:
    """200 MB of text in 200 kB."""
    return zlib.compress(bytes(200_000_000))


def cut(data: bytes, share: float = 0.5) -> bytes:
    return data[: int(len(data) * share)]


def animated(format: str) -> bytes:
    return encoded(FRAMES[0], format, save_all=True, append_images=FRAMES[1:], duration=100)


def noise(size: tuple[int, int]) -> Image.Image:
    return Image.effect_noise(size, 80).convert("RGB")


HOSTILE = {
    "bomb.png": (lambda: png_claiming(30_000, 30_000), "has 30000 × 30000 pixels; 40 megapixels is the most"),
    "big.png": (lambda: png_claiming(8000, 5001), "has 8000 × 5001 pixels; 40 megapixels is the most"),
    "strip.png": (lambda: png_claiming(1, 60_000), "has 1 × 60000 pixels, which is too long a strip"),
    "small.jpg": (lambda: make_picture((400, 63)), "has 400 × 63 pixels; the shorter side needs at least 64"),
    "cut.jpg": (lambda: cut(encoded(noise((200, 200)), "JPEG")), "damaged or cut short"),
    "cut.png": (lambda: cut(encoded(noise((200, 200)), "PNG")), "damaged or cut short"),
    "cut.webp": (lambda: cut(encoded(noise((200, 200)), "WEBP")), "damaged or cut short"),
    "cut.avif": (lambda: cut(encoded(noise((200, 200)), "AVIF")), "damaged or cut short"),
    "cut.heic": (lambda: cut((FILES / "still.heic").read_bytes(), 0.8), "damaged or cut short"),
    "head.jpg": (lambda: make_picture()[:30], "damaged or cut short"),
    "lie.png": (lambda: png_claiming(4000, 4000), "damaged or cut short"),
    "apng.png": (lambda: animated("PNG"), "is animated"),
    "moving.webp": (lambda: animated("WEBP"), "is animated"),
    "moving.avif": (lambda: animated("AVIF"), "is animated"),
    "burst.heics": (lambda: b"\0\0\0\x18ftyphevc" + b"\0" * 200, "is animated"),
    "party.gif": (lambda: animated("GIF"), "is a GIF, which may be animated"),
    "drawing.svg": (lambda: b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "paper.jpg": (lambda: b"%PDF-1.7\n" + b"x" * 400, "is a PDF"),
    "galaxy.jpg": (lambda: b"SIMPLE  =                    T" + b" " * 4000, "is a FITS file"),
    "raw.jpg": (lambda: encoded(quarters((96, 96)), "TIFF"), "is a TIFF or raw photo"),
    "pixels.jpg": (lambda: encoded(quarters((96, 96)), "BMP"), "is a BMP"),
    "album.jpg": (lambda: b"PK\x03\x04" + b"\0" * 300, "is a ZIP or document"),
    "clip.jpg": (lambda: b"\0\0\0\x18ftypmp42" + b"\0" * 300, "is a video"),
    "script.eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 96\n", "is not a picture that I can open"),
    "notes.jpg": (lambda: "Grüße aus Köln".encode(), "is not a picture that I can open"),
    "zeros.jpg": (lambda: bytes(1000), "is not a picture that I can open"),
    "nothing.jpg": (lambda: b"", "is empty"),
    "page.png": (lambda: b"<!doctype html><script>alert(1)</script>" * 20, "is not a picture that I can open"),
    "program.jpg": (lambda: b"\x7fELF" + bytes(2000), "is not a picture that I can open"),
    "icon.jpg": (lambda: encoded(quarters((64, 64)), "ICO"), "is not a picture that I can open"),
    "layers.jpg": (lambda: b"8BPS\0\1" + bytes(600), "is not a picture that I can open"),
    "both.gif": (lambda: animated("GIF") + b"PK\x03\x04" + bytes(300), "is a GIF, which may be animated"),
    "said.png": (lambda: png_with((b"zTXt", b"Comment\0\0" + bomb_text())), "damaged or cut short"),
    "no-pixels.png": (lambda: png_with(pixels=False), "damaged or cut short"),
    "nowhere.png": (lambda: png_claiming(0, 0), "damaged or cut short"),
    "endless.webp": (lambda: b"RIFF\xff\xff\xff\xffWEBPVP8X" + bytes(200), "damaged or cut short"),
    "bomb.webp": (lambda: webp_claiming(16_000, 16_000), "damaged or cut short"),
    "ghost.png": (lambda: encoded(Image.new("RGBA", (96, 96), (255, 0, 0, 0)), "PNG"), "is transparent all over"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_file_is_refused_with_its_name_and_the_reason(decoder, name):
    make, reason = HOSTILE[name]
    with pytest.raises(PictureRefused) as refusal:
        await decoder.decode(make(), f"`{name}`")
    sentence = str(refusal.value)
    assert sentence.startswith(f"`{name}` ")
    assert reason in sentence
    assert sentence.endswith(".")
    assert "Traceback" not in sentence


async def test_the_decoder_goes_on_after_a_refusal(decoder):
    with pytest.raises(PictureRefused):
        await decoder.decode(b"nothing of use", "`a`")
    assert (await decoder.decode(make_picture(), "`b`")).width == 96


async def test_a_polyglot_leaves_only_its_pixels(decoder):
    payload = b"PK\x03\x04 <script>alert(1)</script>" * 20
    decoded = await decoder.decode(make_picture() + payload, "`p.jpg`")
    assert b"<script>" not in decoded.data
    assert b"PK\x03\x04" not in decoded.data


async def test_memory_is_bounded():
    """The picture's pixels alone (32 megapixels × 3 bytes) do not fit beside what Python takes."""
    small = Decoder(IntakeConfig(min_side=64, decode_memory_bytes=140 * 2**20))
    with pytest.raises(PictureRefused, match="needs too much memory"):
        await small.decode(png_claiming(8000, 4000), "`a.png`")


async def test_time_is_bounded():
    hasty = Decoder(IntakeConfig(min_side=64, decode_seconds=0.001))
    with pytest.raises(PictureRefused, match=r"took longer than"):
        await hasty.decode(make_picture(), "`a.jpg`")


async def test_a_worker_that_dies_is_a_refusal(monkeypatch, decoder):
    monkeypatch.setattr("bot.vision.decoding.decoder.worker_command", lambda *_: ["/bin/sh", "-c", "kill -SEGV $$"])
    with pytest.raises(PictureRefused, match=r"^`a.jpg` is damaged"):
        await decoder.decode(make_picture(), "`a.jpg`")


@pytest.mark.parametrize(
    "answer",
    [
        '{"ok": true, "suffix": "../../x", "width": 9, "height": 9, "bytes": 1}\\nx',
        '{"ok": true, "suffix": "jpg", "width": 9, "height": 9, "bytes": 7}\\nx',
        '{"ok": true, "suffix": "jpg"}\\nx',
        '{"ok": false, "why": "too-small", "width": "@everyone", "height": 1}\\n',
        "[]\\n",
        "@everyone\\n",
    ],
)
async def test_a_worker_that_was_taken_over_is_not_believed(monkeypatch, decoder, answer):
    monkeypatch.setattr("bot.vision.decoding.decoder.worker_command", lambda *_: ["/usr/bin/printf", answer])
    with pytest.raises(PictureRefused, match=r"^`a.jpg` is damaged") as refusal:
        await decoder.decode(make_picture(), "`a.jpg`")
    assert "@everyone" not in str(refusal.value)


def test_a_worker_gets_no_secret(monkeypatch):
    monkeypatch.setenv("LORELEI_TOKEN", "very-secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    names = set(worker_environment())
    assert "PATH" in names
    assert not names & {"LORELEI_TOKEN", "CREDENTIALS_DIRECTORY", "HOME"}
