"""Sheets: each picture in its frame, what a square leaves out dimmed, and nothing that breaks the drawing."""

import io

import pytest
from PIL import Image

from bot.errors import MeasureError
from bot.vision.sheets.painter import Cell, Painter
from bot.vision.sheets.sheet_worker import CELL, COLOURS, COLUMNS, FRAME, GAP, GROUND, PAIR_SIDE


@pytest.fixture
def painter() -> Painter:
    return Painter()


def field(tmp_path, name: str = "a.png", size=(600, 600), mode: str = "RGB", colour="white"):
    Image.new(mode, size, colour).save(tmp_path / name)
    return tmp_path / name


def near(one, other, by: int = 40) -> bool:
    return all(abs(a - b) <= by for a, b in zip(one, other, strict=True))


async def drawn(work) -> Image.Image:
    image = Image.open(io.BytesIO(await work))
    image.load()
    return image


async def test_thirty_pictures_are_five_in_a_row_framed_by_level(painter, tmp_path):
    path = field(tmp_path)
    image = await drawn(painter.sheet([Cell(path, number, number % 3) for number in range(30)]))
    assert image.size == (COLUMNS * (CELL + GAP) + GAP, 6 * (CELL + GAP) + GAP)
    for place in range(30):
        left = GAP + place % COLUMNS * (CELL + GAP)
        top = GAP + place // COLUMNS * (CELL + GAP)
        assert near(image.getpixel((left + FRAME // 2, top + CELL - 30)), COLOURS[place % 3])
        assert near(image.getpixel((left + CELL // 2, top + CELL // 2)), (255, 255, 255))


async def test_few_pictures_are_larger(painter, tmp_path):
    image = await drawn(painter.sheet([Cell(field(tmp_path), 1, None)]))
    assert image.width == image.height > CELL


async def test_outside_its_square_a_picture_is_dimmed(painter, tmp_path):
    image = await drawn(painter.sheet([Cell(field(tmp_path), 1, None, (0.5, 0.5, 1.0, 1.0))]))
    inside, outside = image.getpixel((image.width * 3 // 4, image.height * 3 // 4)), image.getpixel((120, 250))
    assert near(inside, (255, 255, 255))
    assert max(outside) < 120


async def test_a_picture_that_is_gone_or_damaged_is_a_grey_field(painter, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff not really")
    cells = [Cell(tmp_path / "gone.jpg", 1, 0), Cell(tmp_path / "bad.jpg", 2, 0), Cell(field(tmp_path), 3, 0)]
    image = await drawn(painter.sheet(cells))
    assert near(image.getpixel((image.width // 6, image.height // 2)), (80, 80, 80))


async def test_transparency_is_shown_on_white_and_odd_shapes_fit(painter, tmp_path):
    clear = field(tmp_path, "c.webp", (40, 3000), "RGBA", (0, 0, 0, 0))
    image = await drawn(painter.sheet([Cell(clear, 1, 1), Cell(field(tmp_path, "w.png", (16000, 20)), 2, 2)]))
    assert near(image.getpixel((GAP + CELL * COLUMNS // 6, image.height // 2)), (255, 255, 255))


async def test_before_and_after_show_the_square(painter, tmp_path):
    picture = Image.new("RGB", (1000, 500), "white")
    picture.paste((200, 30, 30), (500, 0, 1000, 500))
    picture.save(tmp_path / "p.png")
    image = await drawn(painter.pair(tmp_path / "p.png", (0.5, 0.0, 1.0, 1.0)))
    assert near(image.getpixel((image.width * 3 // 4, image.height // 2)), (200, 30, 30))
    assert max(image.getpixel((100, image.height // 2))) < 120
    assert near(image.getpixel((image.width // 4, 20)), GROUND)


async def test_beside_a_tall_picture_the_square_takes_more_of_the_width(painter, tmp_path):
    box = (0.0, 0.0, 1.0, 0.25)
    tall = await drawn(painter.pair(field(tmp_path, size=(200, 800)), box))
    assert tall.width < (await drawn(painter.pair(field(tmp_path, size=(800, 800)), (0.0, 0.0, 1.0, 1.0)))).width
    assert near(tall.getpixel((tall.width - PAIR_SIDE // 2, tall.height // 2)), (255, 255, 255))


async def test_a_small_square_of_a_large_picture_is_as_sharp_as_it_is(painter, tmp_path):
    """Lines of one pixel: made smaller before the square is cut out, they would be grey."""
    picture = Image.new("RGB", (2160, 2160), "white")
    for left in range(0, 540, 2):
        picture.paste("black", (left, 0, left + 1, 540))
    picture.save(tmp_path / "p.png")
    image = await drawn(painter.pair(tmp_path / "p.png", (0.0, 0.0, 0.25, 0.25)))
    row = [image.getpixel((image.width - GAP - PAIR_SIDE + place, 100))[0] for place in range(40, 80)]
    assert max(row) - min(row) > 180


@pytest.mark.parametrize("command", ["kill -SEGV $$", "echo not a picture", "exec cat /dev/zero"])
async def test_a_worker_that_fails_or_was_taken_over_is_an_error_with_a_remedy(painter, monkeypatch, tmp_path, command):
    monkeypatch.setattr("bot.vision.sheets.painter.worker_command", lambda *_: ["/bin/sh", "-c", command])
    with pytest.raises(MeasureError, match="try again"):
        await painter.sheet([Cell(field(tmp_path), 1, 0)])
