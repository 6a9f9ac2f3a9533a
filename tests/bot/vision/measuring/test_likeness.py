"""The same picture is found again when it was mirrored, shifted, cut or compressed, and no other is taken for it."""

import io
from collections.abc import AsyncIterator, Callable

import pytest
from PIL import Image, ImageEnhance, ImageOps

from bot.rules.pictures.quality import ALIKE, SAME
from bot.vision.measuring.likeness import likeness, print_of
from bot.vision.measuring.measurer import Measurer
from bot.vision.measuring.pixels import thumb
from tests.bot.vision.measuring.test_measures import ASTRONAUT, PHOTOS

needs_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared photographs are not here")


def printed(image: Image.Image):
    return print_of(*thumb(image))


@pytest.fixture
async def measurer() -> AsyncIterator[Measurer]:
    made = Measurer()
    yield made
    await made.close()


@needs_photos
async def test_in_real_photographs_both_pairs_are_found_and_no_other(measurer):
    paths = sorted(PHOTOS.glob("*/*.jpg"))
    assert len(paths) == 20
    known = {number: await measurer.measure(path) for number, path in enumerate(paths)}
    first = dict(list(known.items())[:13])
    rest = {number: each for number, each in known.items() if number not in first}
    pairs = [*await measurer.compare(first, {}), *await measurer.compare(rest, first)]
    names = {
        (paths[pair.first].parent.name, paths[pair.first].stem, paths[pair.second].stem, pair.mirrored)
        for pair in pairs
        if pair.likeness >= ALIKE
    }
    assert names == {("cat", "02", "03", False), ("dog5", "02", "03", True)}
    assert all(pair.likeness >= SAME for pair in pairs)


def part(image: Image.Image, left: float, top: float, right: float, lower: float) -> Image.Image:
    width, height = image.size
    return image.crop((int(left * width), int(top * height), int(right * width), int(lower * height)))


def compressed(image: Image.Image) -> Image.Image:
    out = io.BytesIO()
    image.resize((image.width // 2, image.height // 2)).save(out, "JPEG", quality=40)
    return Image.open(out)


CHANGES: dict[str, tuple[Callable[[Image.Image], Image.Image], float]] = {
    "compressed and half as large": (compressed, SAME),
    "brightened": (lambda image: ImageEnhance.Brightness(image).enhance(1.3), SAME),
    "grey": (lambda image: image.convert("L").convert("RGB"), SAME),
    "mirrored": (ImageOps.mirror, SAME),
    "shifted": (lambda image: part(image, 0.15, 0, 1, 1), ALIKE),
    "made square": (lambda image: part(image, 0.1, 0, 0.9, 1), ALIKE),
    "cut a little": (lambda image: part(image, 0.05, 0.05, 0.95, 0.95), ALIKE),
    "mirrored and cut": (lambda image: ImageOps.mirror(part(image, 0.05, 0.05, 0.95, 0.95)), ALIKE),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found(name):
    change, least = CHANGES[name]
    image = Image.open(ASTRONAUT).convert("RGB")
    alike, mirrored = likeness(printed(image), printed(change(image)))
    assert alike >= least
    assert mirrored == ("mirrored" in name)


def test_empty_pictures_are_like_nothing():
    empty, full = Image.new("RGB", (900, 700), "grey"), Image.open(ASTRONAUT)
    assert likeness(printed(empty), printed(empty))[0] == 0.0
    assert likeness(printed(empty), printed(full))[0] == 0.0


@pytest.mark.parametrize("size", [(512, 512), (4000, 520), (520, 4000), (16_000, 512)])
def test_any_shape_can_be_compared(size):
    image = Image.effect_noise(size, 90).convert("RGB")
    assert likeness(printed(image), printed(image))[0] > 0.99
