"""Squares: inside the picture, never smaller than need be, around the face; and as the trainer cuts them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rules.pictures.crop import MOVES, SQUARE, moved, pixels, suggested
from tests.bot.rules.test_quality import face, measures
from trainer.contract.presets import load_preset
from trainer.data.buckets import fit_picture

SIDES = st.integers(512, 6000)
SHARES = st.floats(0.0, 1.0)


def whole(box, width, height):
    """The square in pixels: left, top, side."""
    left, top, right, lower = box
    assert 0 <= left < right <= 1
    assert 0 <= top < lower <= 1
    assert abs((right - left) * width - (lower - top) * height) < 1.0
    return left * width, top * height, (right - left) * width


@given(SIDES, SIDES, SHARES, SHARES, st.floats(0.02, 0.9), st.lists(st.sampled_from(MOVES), max_size=30))
def test_any_square_is_inside_and_never_enlarged_without_need(width, height, x, y, tall, moves):
    known = measures(faces=(face(x - tall / 3, y - tall / 2, tall / 1.5, tall),))
    box = suggested("person", width, height, known)
    for move in (None, *moves):
        box = moved(box, move, width, height) if move else box
        _, _, side = whole(box, width, height)
        assert side >= min(SQUARE, width, height) - 1
        assert side <= min(width, height) + 1


@pytest.mark.parametrize("size", [(3000, 2000), (1100, 2200), (1024, 1024), (2000, 1024)])
@pytest.mark.parametrize("x", [0.1, 0.5, 0.85])
def test_the_face_is_inside_with_room_above(size, x):
    width, height = size
    known = measures(faces=(face(x - 0.07, 0.3, 0.14, 0.2), face(0.5, 0.5, 0.02, 0.03)))
    left, top, side = whole(suggested("person", width, height, known), width, height)
    assert left <= (x - 0.07) * width + 1
    assert (x + 0.07) * width <= left + side + 1
    above = 0.3 * height - top
    assert 0.1 * side < above < 0.5 * side


def test_without_a_face_the_detail_is_kept():
    known = measures(faces=(), salient=(0.8, 0.5))
    assert suggested("person", 3000, 1000, known) == suggested("object", 3000, 1000, known)
    left, top, side = whole(suggested("object", 3000, 1000, known), 3000, 1000)
    assert (round(left), round(top), round(side)) == (1900, 0, 1000)


def test_a_person_in_a_dataset_of_things_is_not_looked_for():
    known = measures(salient=(0.5, 0.5), faces=(face(0.0, 0.1, 0.1, 0.1),))
    assert suggested("object", 3000, 1000, known) == suggested("object", 3000, 1000, None)


def test_each_press_moves_and_stops_at_the_border():
    box = suggested("object", 3000, 1500, None)
    for move, back in (("left", "right"), ("closer", "wider")):
        there = moved(box, move, 3000, 1500)
        assert there != box
        assert moved(there, back, 3000, 1500) == pytest.approx(box, abs=0.001)
    for _ in range(40):
        box = moved(box, "right", 3000, 1500)
    assert box[2] == 1.0
    assert moved(box, "right", 3000, 1500) == box
    assert moved(box, "up", 3000, 1500) == box, "a square as high as the picture has no room"


def test_closer_ends_where_it_would_enlarge():
    box = suggested("object", 3000, 2000, None)
    for _ in range(20):
        box = moved(box, "closer", 3000, 2000)
    assert pixels(box, 3000) == SQUARE
    small = suggested("object", 800, 600, None)
    assert moved(small, "closer", 800, 600) == small


@pytest.mark.parametrize(("width", "height"), [(3000, 2000), (1100, 2200), (1440, 1440), (800, 600), (512, 900)])
def test_the_trainer_cuts_what_the_preview_shows(width, height):
    """Within a pixel of the scaled picture, at any place the square can be moved to."""
    config = load_preset("face").config.with_overrides({"square": True})
    box = suggested("person", width, height, measures(faces=(face(0.5, 0.2, 0.1, 0.15),)))
    for move in itertools.chain(*itertools.repeat(MOVES, 3)):
        box = moved(box, move, width, height)
        fitted = fit_picture(width, height, config, box)
        scale = fitted.scaled[1] / width
        left, top, side = whole(box, width, height)
        assert side * scale == pytest.approx(fitted.bucket.width, abs=1.5)
        assert (top * scale, left * scale) == pytest.approx(fitted.crop, abs=1.5)
