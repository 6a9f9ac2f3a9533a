"""Faces: counted right in real photographs, and the one-face rule on portraits composed from a real one."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from bot.rules.pictures.quality import Level, verdict
from bot.vision.measuring.centerface import CenterFace, decode, distinct
from bot.vision.measuring.measure_worker import measure
from tests.bot.vision.measuring.photographs import photographs
from tests.bot.vision.measuring.test_measures import PHOTOS, photo

PHOTOGRAPHS = os.environ.get("LORELEI_PHOTOGRAPHS", "")


@pytest.fixture(scope="module")
def detector() -> CenterFace:
    return CenterFace()


@pytest.mark.skipif(
    not (PHOTOGRAPHS and PHOTOS.is_dir()),
    reason="LORELEI_PHOTOGRAPHS is not set (tests/bot/vision/measuring/photographs.py)",
)
def test_faces_are_counted_right_in_45_of_50_photographs(detector):
    counted = [(name, faces, len(detector.find(image))) for name, image, faces in photographs(Path(PHOTOGRAPHS))]
    assert len(counted) == 50
    wrong = [each for each in counted if each[1] != each[2]]
    assert len(wrong) <= 5, wrong


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared photographs are not here")
def test_no_face_is_seen_in_photographs_of_animals(detector):
    for path in sorted(PHOTOS.glob("*/*.jpg")):
        assert detector.find(Image.open(path).convert("RGB")) == [], path


def background(size: tuple[int, int]) -> Image.Image:
    """A wall without a face: the portrait's lower left, enlarged."""
    return photo(512).crop((0, 380, 130, 510)).resize(size, Image.Resampling.LANCZOS)


def portrait() -> Image.Image:
    """Head and shoulders, 1024 × 1200 pixels."""
    return photo(2560).crop((600, 80, 1624, 1280))


def pair() -> Image.Image:
    both = Image.new("RGB", (2048, 1200))
    both.paste(portrait(), (0, 0))
    both.paste(ImageOps.mirror(portrait()), (1024, 0))
    return both


def cut() -> Image.Image:
    """The right half of the face is beyond the border."""
    return photo(2560).crop((100, 80, 1130, 1280))


def distant() -> Image.Image:
    """The whole astronaut far away in a wide scene."""
    scene = background((2000, 2000))
    scene.paste(photo(760), (600, 1100))
    return scene


def beside() -> Image.Image:
    """A portrait, and somebody much smaller near the border."""
    scene = portrait()
    scene.paste(photo(2560).crop((850, 250, 1430, 950)).resize((130, 157)), (890, 700))
    return scene


SCENES: dict[str, tuple[Callable[[], Image.Image], dict[str, Level]]] = {
    "portrait": (portrait, {}),
    "mirrored portrait": (lambda: ImageOps.mirror(portrait()), {}),
    "pair": (pair, {"more than one person": Level.RED}),
    "cut face": (cut, {"cut face": Level.RED}),
    "face cut on the other side": (lambda: ImageOps.mirror(cut()), {"cut face": Level.RED}),
    "distant face": (distant, {"distant face": Level.AMBER}),
    "somebody beside": (beside, {"somebody else": Level.AMBER}),
    "no face": (lambda: background((1200, 1200)), {"no face": Level.RED}),
}
RULES = {"no face", "more than one person", "somebody else", "cut face", "cut at the top", "distant face", "tiny face"}


@pytest.mark.parametrize("name", SCENES)
def test_the_one_face_rule(detector, tmp_path, name):
    """All that is said of faces, and no more; that these enlargements of one small portrait are soft is true."""
    make, expected = SCENES[name]
    image = make()
    image.save(tmp_path / "a.jpg", quality=92)
    measures = measure(tmp_path / "a.jpg", detector)
    found = {each.short: each.level for each in verdict("person", *image.size, measures).findings}
    assert {short: level for short, level in found.items() if short in RULES} == expected, measures.faces
    for kind in ("object", "style", "character"):
        assert not RULES & {each.short for each in verdict(kind, *image.size, measures).findings}


def test_overlapping_boxes_are_one_face_and_the_surest_is_kept():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [40, 40, 50, 50]], np.float32)
    assert distinct(boxes, np.array([0.6, 0.9, 0.7], np.float32)) == [1, 2]
    assert distinct(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)) == []


def test_a_cell_is_decoded_as_centerface_means_it():
    heat, size, offset = (np.zeros((depth, 80, 80), np.float32) for depth in (1, 2, 2))
    heat[0, 10, 20] = 0.8
    size[:, 10, 20] = np.log([5.0, 2.5])  # 20 pixels high, 10 wide
    offset[:, 10, 20] = 0.25, -0.25
    boxes, sure = decode(heat, size, offset)
    assert sure.tolist() == pytest.approx([0.8])
    assert boxes[0].tolist() == pytest.approx([76.0, 33.0, 86.0, 53.0], abs=1e-4)
