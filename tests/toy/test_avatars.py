"""Avatars are the same every time, and their tags are true."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np

from trainer.toy.avatars import BASE_HAIR, GENERAL_TAGS, HAIR, Avatar, draw, random_avatar
from trainer.toy.measures import seen
from trainer.toy.subject import PERSON, TRAITS, TRIGGER, subject_avatars, subject_caption, subject_pictures


def _some(count: int, seed: int = 3) -> list[Avatar]:
    rng = np.random.default_rng(seed)
    return [random_avatar(rng) for _ in range(count)]


def test_the_same_description_gives_the_same_bytes() -> None:
    for avatar in _some(5):
        assert draw(avatar, 96).tobytes() == draw(avatar, 96).tobytes()
    assert _some(20) == _some(20)


def test_any_size_can_be_drawn_and_shows_the_same() -> None:
    avatar = _some(1)[0]
    for size in (32, 64, 100, 448, 1024):
        picture = draw(avatar, size)
        assert picture.size == (size, size)
        assert picture.mode == "RGB"
        assert seen(picture).shirt == avatar.shirt


def test_the_colours_named_by_the_tags_are_in_the_picture() -> None:
    right: Counter[str] = Counter()
    avatars = _some(200)
    for avatar in avatars:
        found = seen(draw(avatar, 128))
        right["hair"] += found.hair == avatar.hair
        right["shirt"] += found.shirt == avatar.shirt
        right["background"] += found.background == avatar.background
        right["mark"] += not found.mark
    assert min(right.values()) >= 0.98 * len(avatars), right


def test_tags_come_from_the_list_and_never_contradict() -> None:
    for avatar in _some(300):
        tags = avatar.tags()
        assert set(tags) <= set(GENERAL_TAGS)
        assert ("open mouth" in tags) != ("closed mouth" in tags)
        assert ("1girl" in tags) != ("1boy" in tags)
        assert sum(f"{name} hair" in tags for name in HAIR) == 1
        assert avatar.caption() == ", ".join((avatar.person, *tags))
    assert len(GENERAL_TAGS) >= 25


def test_every_tag_of_the_base_range_is_drawn() -> None:
    drawn = {tag for avatar in _some(2000) for tag in avatar.tags()}
    outside = {f"{name} hair" for name in HAIR if name not in BASE_HAIR} | {"facial mark"}
    assert drawn == set(GENERAL_TAGS) - outside


def test_the_subject_is_outside_the_base_and_shows_in_all_twelve() -> None:
    pictures = subject_pictures(128)
    assert len(pictures) == 12
    for avatar, picture in pictures:
        found = seen(picture)
        assert found.mark
        assert found.hair == avatar.hair
        assert avatar.hair not in BASE_HAIR
    assert len({(avatar.shirt, avatar.background) for avatar, _ in pictures}) == 12


def test_a_training_caption_leaves_the_subject_to_the_trigger() -> None:
    for avatar in subject_avatars():
        first, second, *tags = subject_caption(avatar).split(", ")
        assert (first, second) == (TRIGGER, PERSON)
        assert not set(tags) & set(TRAITS)
        assert f"{avatar.shirt} shirt" in tags


def test_drawing_needs_no_torch() -> None:
    code = "import sys, trainer.toy.subject, trainer.toy.assets, trainer.toy.measures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
