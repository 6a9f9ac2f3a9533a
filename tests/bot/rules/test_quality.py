"""What is said of one picture: each verdict a sentence that gives the reason, and rules by the dataset's kind."""

import dataclasses

import pytest

from bot.rules.measures import Face, Measures
from bot.rules.quality import Level, Twin, verdict
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
