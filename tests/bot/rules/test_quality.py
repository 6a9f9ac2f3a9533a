"""What is said of one picture: each verdict a sentence that gives the reason, and rules by the dataset's kind."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rules.pictures.measures import Face, Measures
from bot.rules.pictures.quality import Level, Square, Twin, verdict
from trainer.contract.spec import KINDS

GOOD_FACE = Face((0.35, 0.2, 0.65, 0.6), 0.9, 300.0, 0.5)


def measures(**parts) -> Measures:
    usual = {
        **{"sharpness": 400.0, "light": 0.45, "contrast": 0.2, "dark": 0.0, "bright": 0.0},
        "bars": (0.0, 0.0, 0.0, 0.0),
        "palette": (1.0, *[0.0] * 26),
        "salient": (0.5, 0.5),
        "faces": (GOOD_FACE,),
        "thumb": "",
        "thumb_size": (64, 64),
    }
    return Measures(**{**usual, **parts})


def face(left: float, top: float, wide: float, high: float, **more) -> Face:
    return dataclasses.replace(Face((left, top, left + wide, top + high), 0.9, 300.0, 0.5), **more)


CASES = {
    "good": ("person", (1200, 1500), measures(), (), Level.GREEN, "Good: sharp, one face, 1200 × 1500 pixels."),
    "small": ("person", (700, 900), measures(), (), Level.AMBER, "Acceptable size: 700 × 900 pixels."),
    "too small": ("object", (400, 900), measures(), (), Level.RED, "Too small: 400 × 900 pixels."),
    "long": ("object", (1024, 2300), measures(), (), Level.AMBER, "Very long"),
    "strip": ("object", (1024, 4000), measures(), (), Level.RED, "A long strip"),
    "soft face": (
        "person",
        (1200, 1500),
        measures(faces=(face(0.3, 0.2, 0.3, 0.4, sharpness=60.0),)),
        (),
        Level.AMBER,
        "Its face is not quite sharp.",
    ),
    "blurred face": (
        "person",
        (1200, 1500),
        measures(faces=(face(0.3, 0.2, 0.3, 0.4, sharpness=12.0),)),
        (),
        Level.RED,
        "Its face is blurred.",
    ),
    "sharp face, blurred rest": ("person", (1200, 1500), measures(sharpness=5.0), (), Level.GREEN, "Good"),
    "blurred thing": ("object", (1200, 1500), measures(sharpness=12.0), (), Level.RED, "It is blurred."),
    "soft style": ("style", (1200, 1500), measures(sharpness=12.0), (), Level.AMBER, "It is not quite sharp."),
    "dark": ("object", (1200, 1500), measures(light=0.1), (), Level.AMBER, "It is very dark."),
    "black": ("object", (1200, 1500), measures(light=0.02), (), Level.RED, "hardly anything to see"),
    "grey field": ("object", (1200, 1500), measures(contrast=0.01), (), Level.RED, "hardly anything to see"),
    "white backdrop": ("object", (1200, 1500), measures(light=0.96, bright=0.9), (), Level.GREEN, "Good"),
    "bright face": (
        "person",
        (1200, 1500),
        measures(faces=(face(0.3, 0.2, 0.3, 0.4, light=0.9),)),
        (),
        Level.AMBER,
        "Its face is very bright.",
    ),
    "washed out": (
        "person",
        (1200, 1500),
        measures(faces=(face(0.3, 0.2, 0.3, 0.4, light=0.97),)),
        (),
        Level.RED,
        "washed out",
    ),
    "bars": (
        "object",
        (1200, 1500),
        measures(bars=(0.0, 0.12, 0.0, 0.1)),
        (),
        Level.AMBER,
        "flat bar at the top border",
    ),
    "no face": ("person", (1200, 1500), measures(faces=()), (), Level.RED, "I find no face in it."),
    "pair": (
        "person",
        (1200, 1500),
        measures(faces=(GOOD_FACE, face(0.1, 0.3, 0.15, 0.25))),
        (),
        Level.RED,
        "There are 2 faces in it.",
    ),
    "behind": (
        "person",
        (1200, 1500),
        measures(faces=(GOOD_FACE, face(0.7, 0.4, 0.05, 0.08))),
        (),
        Level.AMBER,
        "Somebody else is in the background.",
    ),
    "at the border": (
        "person",
        (1200, 1500),
        measures(faces=(GOOD_FACE, face(0.95, 0.4, 0.05, 0.08))),
        (),
        Level.AMBER,
        "Somebody else is near the border.",
    ),
    "cut": (
        "person",
        (1200, 1500),
        measures(faces=(face(-0.05, 0.2, 0.3, 0.4),)),
        (),
        Level.RED,
        "The border cuts the face.",
    ),
    "cut at the top": (
        "person",
        (1200, 1500),
        measures(faces=(face(0.3, 0.0, 0.3, 0.4),)),
        (),
        Level.AMBER,
        "cuts the top of the head",
    ),
    "distant": (
        "person",
        (1200, 1500),
        measures(faces=(face(0.4, 0.2, 0.06, 0.08),)),
        (),
        Level.AMBER,
        "The face is small.",
    ),
    "tiny": ("person", (1200, 1500), measures(faces=(face(0.4, 0.2, 0.02, 0.03),)), (), Level.RED, "The face is tiny."),
    "not measured": ("person", (1200, 1500), None, (), Level.AMBER, "I could not measure it."),
    "twice": ("object", (1200, 1500), measures(), (Twin(4, 0.99, False, True),), Level.RED, "The same as picture 4."),
    "mirrored": (
        "object",
        (1200, 1500),
        measures(),
        (Twin(4, 0.99, True, True),),
        Level.RED,
        "The same as picture 4, mirrored.",
    ),
    "nearly": (
        "object",
        (1200, 1500),
        measures(),
        (Twin(4, 0.8, False, True),),
        Level.AMBER,
        "Nearly the same as picture 4.",
    ),
    "the better of two": ("object", (1200, 1500), measures(), (Twin(4, 0.99, False, False),), Level.GREEN, "Good"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_picture_is_judged_in_a_sentence(name):
    kind, size, measured, twins, level, words = CASES[name]
    found = verdict(kind, *size, measured, twins)
    assert found.level is level
    assert words in found.sentence
    for finding in found.findings:
        assert finding.sentence.endswith(".")
        assert finding.level is Level.GREEN or finding.advice.endswith(".")
    assert [each.level for each in found.findings] == sorted((each.level for each in found.findings), reverse=True)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"person"}))
@pytest.mark.parametrize(
    "faces", [(), (GOOD_FACE, GOOD_FACE), (face(-0.1, 0.2, 0.3, 0.4),), (face(0.4, 0.2, 0.02, 0.03, sharpness=1.0),)]
)
def test_faces_matter_for_persons_only(kind, faces):
    assert verdict(kind, 1200, 1500, measures(faces=faces)).level is Level.GREEN


def test_measures_survive_being_kept():
    kept = measures(faces=(GOOD_FACE, face(-0.1, 0.2, 0.3, 0.4)))
    assert Measures.from_json(kept.to_json()) == kept


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "{}", '"x"'),
        measures().to_json().replace("0.45", "NaN"),
        measures().to_json().replace("400.0", '"@everyone"'),
        measures().to_json().replace("[64,64]", "[64,100000]"),
        measures().to_json().replace('"faces":[{', '"faces":[7,{'),
    ],
)
def test_what_is_no_measures_is_refused(text):
    with pytest.raises(ValueError):
        Measures.from_json(text)


LEFT = Square((0.0, 0.0, 0.5, 1.0), 1500, 1024)
"""Of a picture of 3000 × 1500 pixels."""
PAIR = measures(faces=(face(0.15, 0.2, 0.15, 0.4), face(0.7, 0.2, 0.15, 0.4)))

IN_SQUARES = {
    "one of two": ("person", (3000, 1500), PAIR, LEFT, Level.GREEN, "Good: sharp, one face, a square of 1500 × 1500"),
    "both": (
        "person",
        (3000, 2700),
        PAIR,
        Square((0.1, 0.0, 1.0, 1.0), 2700, 1024),
        Level.RED,
        "There are 2 faces in its square. Move the square, or drop it.",
    ),
    "the other's ear": (
        "person",
        (3000, 1500),
        measures(faces=(face(0.15, 0.2, 0.15, 0.4), face(0.49, 0.2, 0.15, 0.4))),
        LEFT,
        Level.GREEN,
        "Good",
    ),
    "half of the other": (
        "person",
        (3000, 1500),
        measures(faces=(face(0.15, 0.2, 0.15, 0.4), face(0.45, 0.2, 0.1, 0.3))),
        LEFT,
        Level.RED,
        "There are 2 faces",
    ),
    "a third one at the border": (
        "person",
        (3000, 1500),
        measures(faces=(face(0.15, 0.2, 0.15, 0.4), face(0.95, 0.4, 0.05, 0.1))),
        LEFT,
        Level.GREEN,
        "Good",
    ),
    "cut by the square": (
        "person",
        (3000, 1500),
        measures(faces=(face(0.4, 0.2, 0.15, 0.4),)),
        LEFT,
        Level.RED,
        "The border cuts the face. Move the square, or drop it: half faces are learned too.",
    ),
    "cut by the picture": (
        "person",
        (3000, 1500),
        measures(faces=(face(-0.05, 0.2, 0.15, 0.4),)),
        LEFT,
        Level.RED,
        "The border cuts the face.",
    ),
    "moved away from the face": (
        "person",
        (3000, 1500),
        measures(faces=(face(0.7, 0.2, 0.15, 0.4),)),
        LEFT,
        Level.RED,
        "Its square leaves the face out. Move the square to it.",
    ),
    "nobody in the picture": ("person", (3000, 1500), measures(faces=()), LEFT, Level.RED, "no face in its square."),
    "a face that was tiny": (
        "person",
        (8000, 6000),
        measures(faces=(face(0.5, 0.5, 0.02, 0.04),)),
        Square((0.45, 0.45, 0.578, 0.62067), 1024, 1024),
        Level.GREEN,
        "Good: sharp, one face, a square of 1024 × 1024 pixels.",
    ),
    "a long strip": ("object", (1024, 4000), measures(), Square((0, 0, 1, 0.256), 1024, 1024), Level.GREEN, "Good"),
    "bars cut off": (
        "object",
        (3000, 1500),
        measures(bars=(0.0, 0.0, 0.2, 0.0)),
        LEFT,
        Level.GREEN,
        "Good",
    ),
    "bars left": (
        "object",
        (3000, 1500),
        measures(bars=(0.2, 0.0, 0.2, 0.0)),
        LEFT,
        Level.AMBER,
        "Its square has a flat bar at the left border. Move the square, or it is learned.",
    ),
    "enlarged": (
        "object",
        (700, 900),
        measures(),
        Square((0, 0, 1, 0.77778), 700, 1024),
        Level.AMBER,
        "Acceptable size: a square of 700 × 700 pixels, enlarged to 1024 to train.",
    ),
    "enlarged to more": (
        "object",
        (1200, 1500),
        measures(),
        Square((0, 0, 1, 0.8), 1200, 1536),
        Level.AMBER,
        "a square of 1200 × 1200 pixels, enlarged to 1536 to train.",
    ),
    "never enlarged": (
        "object",
        (700, 900),
        measures(),
        Square((0, 0, 1, 0.77778), 700, 0),
        Level.AMBER,
        "Acceptable size: a square of 700 × 700 pixels. Fine",
    ),
    "enlarged a lot": (
        "object",
        (400, 900),
        measures(),
        Square((0, 0, 1, 0.44444), 400, 1024),
        Level.RED,
        "Too small: a square of 400 × 400 pixels, enlarged to 1024 to train.",
    ),
    "not measured": ("person", (3000, 1500), None, LEFT, Level.AMBER, "I could not measure it."),
}


@pytest.mark.parametrize("name", IN_SQUARES)
def test_where_a_square_is_used_it_is_judged(name):
    kind, size, measured, square, level, words = IN_SQUARES[name]
    found = verdict(kind, *size, measured, square=square)
    assert (found.level, words in found.sentence) == (level, True), found.sentence


SHARE = st.floats(0.0, 1.0)


@given(SHARE, SHARE, st.floats(0.05, 1.0), st.floats(0.05, 1.0), SHARE, SHARE, SHARE, SHARE)
def test_a_part_of_a_picture_has_its_faces_and_bars_where_they_were(x, y, wide, high, left, top, right, lower):
    box = (x * (1 - wide), y * (1 - high), x * (1 - wide) + wide, y * (1 - high) + high)
    inside = face(box[0] + wide / 4, box[1] + high / 4, wide / 2, high / 2, sharpness=7.0)
    outside = face(box[0] + wide * 0.95, box[1], wide / 2, high / 2)
    part = measures(faces=(outside, inside), bars=(left, top, right, lower)).within(box)
    assert part.faces == (dataclasses.replace(inside, box=pytest.approx((0.25, 0.25, 0.75, 0.75))),)
    assert part.bars[0] * wide == pytest.approx(min(max(0.0, left - box[0]), wide), abs=1e-9)
    assert part.bars[3] * high == pytest.approx(min(max(0.0, lower - (1 - box[3])), high), abs=1e-9)
    assert all(0.0 <= value <= 1.0 for value in (*part.bars, *part.salient))
    whole = measures(faces=(inside,), bars=(left, top, right, lower))
    assert whole.within((0.0, 0.0, 1.0, 1.0)) == whole
