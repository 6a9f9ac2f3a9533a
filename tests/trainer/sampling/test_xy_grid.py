"""Sheets of checkpoints by weights: every picture whole in its cell, names that can be read, the base drawn once."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from tests.trainer.sampling.networks import CONVOLUTION, random_modules
from trainer.model.base import load_base
from trainer.sampling.draw import STEP, Drawing, draw
from trainer.sampling.grid import GAP
from trainer.sampling.networks import Acting, Network, attached
from trainer.sampling.xy_grid import Axes, draw_sheets, xy_grid


def network(name="lisaxl_v1", epoch="", modules=None):
    return Network(name, modules or {}, epoch, "")


def cells(rows, columns, size=(64, 48)):
    return [
        [Image.new("RGB", size, (40 * row + 10, 40 * column + 10, 200)) for column in range(columns)]
        for row in range(rows)
    ]


def places(sheet, axes, size):
    """Left and top of every cell, found by its colour."""
    pixels = np.asarray(sheet)
    for row in range(len(axes.rows)):
        for column in range(len(axes.columns)):
            tops, lefts = np.nonzero((pixels == (40 * row + 10, 40 * column + 10, 200)).all(axis=2))
            yield row, column, lefts.min(), tops.min(), len(tops) == size[0] * size[1]


def test_every_picture_is_whole_and_in_its_row_and_column():
    axes = Axes((network(epoch="5"), network(epoch="10"), network("c")), (0.5, 1.0))
    found = list(places(xy_grid(cells(3, 3), axes, "seed 1 · a cat"), axes, (64, 48)))
    assert all(whole for *_, whole in found)
    lefts, tops = {}, {}
    for row, column, left, top, _ in found:
        lefts.setdefault(column, set()).add(left)
        tops.setdefault(row, set()).add(top)
    assert [len(places) for places in (*lefts.values(), *tops.values())] == [1] * 6
    assert sorted(map(min, lefts.values())) == [GAP, 64 + 2 * GAP, 128 + 3 * GAP]


def test_rows_are_called_by_epoch_and_file_and_columns_by_weight():
    networks = (network("epoch-005", "5"), network("lisaxl_v1-000010", "10"), network("old"))
    axes = Axes(networks, (0.5, 1.0))
    assert axes.rows == ["epoch 5", "epoch 10 · lisaxl_v1-000010", "old"]
    assert axes.columns == ["no LoRA", "0.5", "1"]


def test_the_font_has_every_letter_of_our_own_names():
    font = ImageFont.load_default(40)
    axes = Axes((network("lisaxl_v1-000010", "10"),), (-0.5, 1.0))
    for letter in set("".join([*axes.columns, *axes.rows, "seed 123456789"])) - {" "}:
        assert bytes(font.getmask(letter)) != bytes(font.getmask("\U0010ffff")), letter


@pytest.mark.parametrize("columns", [2, 4, 8])
def test_names_stand_above_their_pictures_and_can_be_read_on_a_phone(columns):
    axes = Axes((network("epoch-005", "5"),), tuple(np.linspace(0.1, 1, columns - 1).round(1)))
    sheet = xy_grid(cells(1, columns, (256, 256)), axes, "")
    bright = np.asarray(sheet.convert("L")) > 120
    top = next(top for *_, top, _ in places(sheet, axes, (256, 256)))
    phone = 390 / sheet.width
    rows = np.nonzero(bright[:top].any(axis=1))[0]
    name_rows = rows[rows > top * 2 // 3]
    assert (np.ptp(name_rows) + 1) * phone >= 7  # height of capital letters of the row's name, in phone pixels
    header = bright[top // 3 : top * 2 // 3]
    for column in range(columns):
        left = GAP + column * (256 + GAP)
        assert header[:, left : left + 256].any()
        assert not header[:, left + 256 : left + 256 + GAP].any()  # no name runs into its neighbour


@pytest.mark.parametrize("text", ["x" * 500, "two\nlines", "日本語 🙂", ""])
def test_long_and_strange_texts_change_no_size(text):
    axes, plain = Axes((network(text),), (1.0,)), Axes((network("a"),), (1.0,))
    assert xy_grid(cells(1, 2), axes, text).size == xy_grid(cells(1, 2), plain, "a").size


def test_wrong_numbers_are_refused():
    axes = Axes((network(),), (1.0,))
    for wrong in ([], cells(2, 2), cells(1, 3)):
        with pytest.raises(ValueError):
            xy_grid(wrong, axes, "")


def test_each_cell_is_its_file_at_its_weight_with_the_same_seed(small_sdxl):
    base = load_base(str(small_sdxl), device=torch.device("cpu"), dtype=torch.float32)
    axes = Axes(
        tuple(network(f"n{seed}", "", random_modules(base, (CONVOLUTION,), seed=seed)) for seed in (1, 2)), (0.5, 2.0)
    )
    drawing, told = Drawing(size=(64, 64), steps=1, guidance=4.0), []
    first, second = draw_sheets(base, axes, "a cat", (3, 4), drawing, told.append)
    assert told.count(STEP) == 1 + 2 * 2  # the base alone once, whatever the rows

    def cell(sheet, row, column):
        band = max(11, sheet.width // 30) * 7 // 4
        left, top = GAP + column * (64 + GAP), 2 * band + row * (band + 64 + GAP) + band
        return np.asarray(sheet.crop((left, top, left + 64, top + 64)))

    for sheet, seed in ((first, 3), (second, 4)):
        [alone] = draw(base, ["a cat"], [seed], drawing)
        for row, one in enumerate(axes.networks):
            assert np.abs(cell(sheet, row, 0).astype(int) - np.asarray(alone)).max() <= 1
            for column, weight in enumerate(axes.weights, 1):
                with attached(base, [Acting(one, weight, weight)]):
                    [wanted] = draw(base, ["a cat"], [seed], drawing)
                assert np.abs(cell(sheet, row, column).astype(int) - np.asarray(wanted)).max() <= 1
    for other in ((0, 0), (0, 1), (1, 2)):
        assert np.abs(cell(first, 0, 2).astype(int) - cell(first, *other)).max() > 5
