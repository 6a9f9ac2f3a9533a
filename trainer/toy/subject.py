"""The subject: a person with a look the base model has never seen, in 12 pictures.

Green hair is outside `BASE_HAIR` and the base never saw a mark on a cheek, but the VAE has seen both. So a picture that
shows them after training shows what was learned, and one that does not shows what was not.
"""

from __future__ import annotations

from PIL import Image

from trainer.toy.avatars import Avatar, Person, draw

TRIGGER = "lisaxl"
PERSON: Person = "woman"
HAIR = "green"

TRAITS: tuple[str, ...] = ("green hair", "long hair", "facial mark")
"""Tags that are the subject itself: a member strikes them so that the trigger word takes them over."""

_LOOKS: tuple[tuple[str, str, bool, bool, bool], ...] = (
    ("red", "grey", True, False, False),
    ("blue", "yellow", True, False, False),
    ("green", "pink", False, False, True),
    ("yellow", "blue", True, True, False),
    ("white", "grey", False, False, False),
    ("black", "white", True, False, True),
    ("red", "blue", False, True, False),
    ("blue", "pink", True, True, False),
    ("green", "yellow", True, False, False),
    ("yellow", "white", False, False, True),
    ("white", "green", True, False, False),
    ("black", "green", False, False, False),
)
"""Shirt, background, smile, open mouth, glasses of each picture."""


def subject_avatars() -> tuple[Avatar, ...]:
    """The descriptions of the 12 pictures, always the same."""
    return tuple(
        Avatar(
            person=PERSON,
            hair=HAIR,
            hair_style="long",
            shirt=shirt,
            background=background,
            skin=0,
            smile=smile,
            open_mouth=open_mouth,
            glasses=glasses,
            mark="star",
            variation=7000 + number,
        )
        for number, (shirt, background, smile, open_mouth, glasses) in enumerate(_LOOKS)
    )


def subject_pictures(size: int) -> list[tuple[Avatar, Image.Image]]:
    """The 12 pictures as RGB, `size` × `size` pixels, each with its description."""
    return [(avatar, draw(avatar, size)) for avatar in subject_avatars()]


def subject_caption(avatar: Avatar) -> str:
    """A finished training caption: `trigger, class, tags…` without the tags that are the subject itself."""
    tags = (tag for tag in avatar.tags() if tag not in TRAITS)
    return ", ".join((TRIGGER, PERSON, *tags))
