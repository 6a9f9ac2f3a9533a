"""Fixtures of the bot's tests: a config with small limits, the open database, pictures of every kind."""

import dataclasses
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PIL import Image

from bot.config import Config, IntakeConfig, PathsConfig, TaggerConfig
from bot.store.database import Store

PictureBytes = Callable[..., bytes]


@pytest.fixture(scope="session")
def tiny_tagger(tmp_path_factory) -> Path:
    """A folder with the tiny WD14-contract tagger; do not write into it."""
    from trainer.toy.tiny_tagger import build_tiny_tagger

    return build_tiny_tagger(tmp_path_factory.mktemp("tiny-tagger"))


@pytest.fixture
def config(tmp_path, tiny_tagger) -> Config:
    """A host's settings: everything under tmp_path, the tiny tagger, pictures from 64 pixels, at most 12 a dataset."""
    base = Config.from_mapping({"discord": {"guild_ids": []}})
    return dataclasses.replace(
        base,
        paths=PathsConfig(data=tmp_path / "data"),
        intake=IntakeConfig(message_content=True, min_side=64, max_pictures=12, max_file_bytes=2 * 1024 * 1024),
        tagger=TaggerConfig(model=str(tiny_tagger)),
    )


@pytest.fixture
async def store(config) -> AsyncIterator[Store]:
    """The open, empty database."""
    opened = await Store.open(config.paths.database)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def picture_bytes() -> PictureBytes:
    """Makes a picture file: `picture_bytes((96, 96), seed=3, format="PNG", **save options)`; seeds look different."""
    return make_picture


def make_picture(size: tuple[int, int] = (96, 96), seed: int = 0, format: str = "JPEG", **options) -> bytes:
    """A picture of four coloured quarters, told apart by `seed`; top left is the brightest."""
    return encoded(quarters(size, seed), format, **options)


def quarters(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Bright top left, red top right, green bottom left, blue bottom right, each shaded by `seed`."""
    width, height = size
    shade = seed * 7 % 60
    image = Image.new("RGB", size, (250 - shade, 250 - seed % 5, 250))
    image.paste((220 - shade, 20, 20 + seed % 7), (width // 2, 0, width, height // 2))
    image.paste((20, 200 - shade, 20), (0, height // 2, width // 2, height))
    image.paste((20, 20 + seed % 3, 190 - shade), (width // 2, height // 2, width, height))
    return image


def encoded(image: Image.Image, format: str, **options) -> bytes:
    """The image as a file's bytes."""
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()
