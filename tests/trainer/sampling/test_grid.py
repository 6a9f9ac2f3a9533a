"""Grids: every picture whole in its place, captions below, files within their limit."""

import io

import numpy as np
import pytest
from PIL import Image

from trainer.sampling.grid import BACKGROUND, GAP, grid, save_webp, webp_bytes

COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200)]


def pictures(count, size=(64, 48)):
    return [Image.new("RGB", size, COLOURS[n]) for n in range(count)]


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 2, 2), (5, 3, 2)])
def test_each_picture_is_whole_and_in_reading_order(count, columns, rows):
    sheet = grid(pictures(count))
    assert sheet.size == (columns * (64 + GAP) - GAP, rows * (48 + GAP) - GAP)
    for n in range(count):
        left, top = n % columns * (64 + GAP), n // columns * (48 + GAP)
        assert sheet.crop((left, top, left + 64, top + 48)).getcolors() == [(64 * 48, COLOURS[n])]


def test_pictures_of_different_shapes_are_centred_not_cut():
    wide, tall = Image.new("RGB", (60, 20), COLOURS[0]), Image.new("RGB", (20, 60), COLOURS[1])
    sheet = grid([wide, tall])
    counts = {colour: count for count, colour in sheet.getcolors()}
    assert counts[COLOURS[0]] == counts[COLOURS[1]] == 1200
    assert sheet.getpixel((0, 0)) == BACKGROUND


@pytest.mark.parametrize("caption", ["lisaxl, woman", "x" * 500, "two\nlines", "日本語 🙂", ""])
def test_captions_stand_below_and_never_on_a_picture(caption):
    sheet = grid(pictures(4, (256, 256)), [caption] * 4)
    plain = grid(pictures(4, (256, 256)))
    assert sheet.width == plain.width
    assert sheet.height > plain.height
    assert {(256 * 256, colour) for colour in COLOURS[:4]} <= set(sheet.getcolors(1 << 16))
    ink = np.asarray(sheet.crop((0, 256, sheet.width, 256 + GAP))).max()
    assert (ink > max(BACKGROUND)) or sheet.height > plain.height


def test_a_caption_is_visible_and_a_long_one_stays_in_its_column():
    sheet = grid(pictures(2, (256, 256)), ["W" * 500, ""])
    below = np.asarray(sheet.crop((0, 256, sheet.width, sheet.height)))
    bright = (below.max(axis=2) > 120).any(axis=0)
    assert bright[:256].any()
    assert not bright[256:].any()


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError):
        grid([])
    with pytest.raises(ValueError):
        grid(pictures(2), ["one"])
    with pytest.raises(ValueError):
        webp_bytes(pictures(1)[0], 10)


@pytest.mark.parametrize("limit", [1000, 30_000, 1_000_000])
def test_even_noise_fits_into_the_limit(limit):
    noise = np.random.default_rng(0).integers(0, 256, (400, 300, 3), dtype=np.uint8)
    data = webp_bytes(Image.fromarray(noise), limit)
    assert len(data) <= limit
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "WEBP"
    assert abs(picture.width / picture.height - 0.75) < 0.1
    if limit == 1_000_000:
        assert picture.size == (300, 400)


def test_the_file_is_written_whole(tmp_path):
    save_webp(tmp_path / "grid.webp", grid(pictures(4)))
    assert [entry.name for entry in tmp_path.iterdir()] == ["grid.webp"]
    with Image.open(tmp_path / "grid.webp") as picture:
        assert picture.size == grid(pictures(4)).size
