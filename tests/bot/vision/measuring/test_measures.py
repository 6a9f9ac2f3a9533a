"""The measuring process: what it says of good, dark, blurred, barred and damaged pictures, and what it costs."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageFilter

from bot.errors import MeasureError
from bot.rules.pictures.quality import Level, verdict
from bot.vision.measuring.measurer import Measurer
from tests.bot.vision.decoding.test_hostile import png_claiming

ASTRONAUT = Path(__file__).parents[1] / "files" / "astronaut.jpg"
PHOTOS = Path(__file__).parents[4] / "../shared/photos"
MEGABYTES_ALLOWED = 600


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Measurer]:
    measurer = Measurer()
    try:
        yield measurer
    finally:
        await measurer.close()


@pytest.fixture
async def measurer() -> AsyncIterator[Measurer]:
    async with running() as made:
        yield made


def photo(size: int = 1024) -> Image.Image:
    """A portrait of an astronaut (NASA, public domain)."""
    return Image.open(ASTRONAUT).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)


def peak_megabytes(pid: int) -> int:
    """Most memory the process ever held."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def barred(image: Image.Image) -> Image.Image:
    wide = Image.new("RGB", (image.width, image.height + 200), "black")
    wide.paste(image, (0, 100))
    return wide


DOINGS = {
    "as it is": (lambda image: image, Level.GREEN, "good"),
    "dark": (lambda image: ImageEnhance.Brightness(image).enhance(0.15), Level.AMBER, "dark"),
    "blurred": (lambda image: image.filter(ImageFilter.GaussianBlur(8)), Level.RED, "blurred"),
    "barred": (barred, Level.AMBER, "bars at the border"),
    "one colour": (lambda image: Image.new("RGB", image.size, (90, 120, 90)), Level.RED, "nothing to see"),
}


@pytest.mark.parametrize("name", DOINGS)
async def test_what_was_done_to_a_picture_is_found(measurer, tmp_path, name):
    do, level, short = DOINGS[name]
    image = do(photo())
    image.save(tmp_path / "a.jpg", quality=92)
    measures = await measurer.measure(tmp_path / "a.jpg")
    found = verdict("object", *image.size, measures)
    assert (found.level, short in [each.short for each in found.findings]) == (level, True), found


async def test_a_plain_backdrop_is_no_bar(measurer, tmp_path):
    thing = Image.new("RGB", (1024, 1024), "white")
    thing.paste(photo(500), (260, 300))
    thing.save(tmp_path / "a.png")
    assert (await measurer.measure(tmp_path / "a.png")).bars == (0.0, 0.0, 0.0, 0.0)


async def test_what_cannot_be_opened_has_no_measures_and_the_next_one_has(measurer, tmp_path):
    (tmp_path / "a.jpg").write_bytes(ASTRONAUT.read_bytes()[:3000])
    assert await measurer.measure(tmp_path / "a.jpg") is None
    assert await measurer.measure(tmp_path / "gone.jpg") is None
    assert await measurer.measure(ASTRONAUT) is not None


async def test_one_that_kills_the_process_costs_only_itself(measurer, tmp_path):
    """More memory than it may have: either an error inside, or the end of the process; both are borne."""
    (tmp_path / "bomb.png").write_bytes(png_claiming(30_000, 20_000))
    assert await measurer.measure(tmp_path / "bomb.png") is None
    assert await measurer.measure(ASTRONAUT) is not None


async def test_a_process_that_never_works_is_an_error_with_its_reason(monkeypatch):
    monkeypatch.setattr("bot.workers.line_worker.worker_command", lambda *_: ["/bin/sh", "-c", "kill -SEGV $$"])
    async with running() as broken:
        with pytest.raises(MeasureError, match="does not work"):
            await broken.measure(ASTRONAUT)
        with pytest.raises(MeasureError, match="cannot be compared"):
            await broken.compare({}, {})


async def test_a_process_that_was_taken_over_is_not_believed(monkeypatch):
    lies = '{"measures": {"sharpness": 1e999}, "pairs": 7}'
    answering = f"echo '{{\"ready\": true}}'; while read question; do echo '{lies}'; done"
    monkeypatch.setattr("bot.workers.line_worker.worker_command", lambda *_: ["/bin/sh", "-c", answering])
    async with running() as taken:
        assert await taken.measure(ASTRONAUT) is None
        with pytest.raises(MeasureError):
            await taken.compare({}, {})


async def test_the_process_is_small_with_the_largest_pictures(measurer, tmp_path):
    noise = Image.effect_noise((500, 500), 90).convert("RGB")
    noise.resize((8000, 5000)).save(tmp_path / "large.jpg", quality=90)
    noise.resize((2000, 2000)).convert("RGBA").save(tmp_path / "clear.webp", lossless=True, method=0)
    Image.effect_noise((6000, 6000), 90).save(tmp_path / "large.png", compress_level=1)
    for name in ("large.jpg", "clear.webp", "large.png"):
        assert await measurer.measure(tmp_path / name) is not None
    assert peak_megabytes(measurer.worker.pid) < MEGABYTES_ALLOWED


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared photographs are not here")
async def test_real_photographs_the_small_set_is_acceptable_and_every_verdict_has_a_reason(measurer):
    for path in sorted(PHOTOS.glob("*/*.jpg")):
        with Image.open(path) as image:
            size = image.size
        found = verdict("object", *size, await measurer.measure(path))
        words = [each.short for each in found.findings]
        assert found.level is (Level.AMBER if path.parent.name == "dog" else Level.GREEN), (path, found)
        assert words == (["acceptable size"] if path.parent.name == "dog" else ["good"])
        assert str(size[0]) in found.sentence
        assert found.sentence.endswith(".")
