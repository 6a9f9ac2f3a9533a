"""Drawn portraits whose tags are true by construction.

An `Avatar` is a description; `Avatar.tags` says what a tagger should find in its picture and `draw` makes that picture,
the same bytes every time. Nothing here needs torch: the bot's tests and the demo draw avatars too.

Not covered: other poses, more than one person, text. The drawing itself is in `drawing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from trainer.toy import drawing
from trainer.toy.drawing import RGB, Paints

Person = Literal["woman", "man", "girl", "boy"]
HairStyle = Literal["long", "short", "twintails"]
Mark = Literal["star", "heart", "dot"]

PEOPLE: tuple[Person, ...] = ("woman", "man", "girl", "boy")

HAIR: dict[str, RGB] = {
    "black": (34, 30, 38),
    "brown": (108, 62, 34),
    "blonde": (240, 203, 98),
    "red": (206, 68, 32),
    "grey": (168, 171, 182),
    "pink": (246, 138, 182),
    "blue": (56, 112, 224),
    "green": (46, 168, 84),
    "purple": (132, 70, 186),
}
"""Every hair colour a tagger knows. The base model has seen only `BASE_HAIR` of them."""

BASE_HAIR: tuple[str, ...] = ("black", "brown", "blonde", "red", "grey", "pink")

SHIRT: dict[str, RGB] = {
    "red": (208, 44, 52),
    "blue": (44, 88, 204),
    "green": (40, 138, 76),
    "yellow": (242, 200, 48),
    "white": (246, 246, 248),
    "black": (42, 42, 50),
}

BACKGROUND: dict[str, RGB] = {
    "blue": (150, 202, 248),
    "green": (166, 222, 168),
    "yellow": (252, 236, 158),
    "pink": (252, 198, 214),
    "grey": (186, 188, 194),
    "white": (252, 252, 252),
}

SKIN: tuple[RGB, ...] = ((252, 222, 196), (238, 194, 156), (196, 142, 100), (156, 106, 76))

MARK_PAINT: RGB = (38, 74, 214)

GENERAL_TAGS: tuple[str, ...] = (
    *("1girl", "1boy", "child"),
    *(f"{name} hair" for name in HAIR),
    *("long hair", "short hair", "twintails"),
    *(f"{name} shirt" for name in SHIRT),
    *(f"{name} background" for name in BACKGROUND),
    *("smile", "open mouth", "closed mouth", "closed eyes", "blush", "beard"),
    *("glasses", "hat", "hair bow", "facial mark"),
)
"""Everything a picture can be tagged with, in the order of the toy tagger's list."""


@dataclass(frozen=True)
class Avatar:
    """One portrait. `variation` seeds what no tag speaks of: small shifts of place, size and shade."""

    person: Person
    hair: str
    hair_style: HairStyle
    shirt: str
    background: str
    skin: int = 0
    smile: bool = False
    open_mouth: bool = False
    closed_eyes: bool = False
    blush: bool = False
    beard: bool = False
    glasses: bool = False
    hat: bool = False
    bow: bool = False
    mark: Mark | None = None
    variation: int = 0

    def tags(self) -> tuple[str, ...]:
        """What the picture shows, in WD14's words with spaces, in the order of `GENERAL_TAGS`."""
        shown = {
            "1girl": self.person in ("woman", "girl"),
            "1boy": self.person in ("man", "boy"),
            "child": self.person in ("girl", "boy"),
            f"{self.hair} hair": True,
            # As WD14's annotators do: twintails are long hair too.
            "long hair": self.hair_style != "short",
            "short hair": self.hair_style == "short",
            "twintails": self.hair_style == "twintails",
            f"{self.shirt} shirt": True,
            f"{self.background} background": True,
            "smile": self.smile,
            "open mouth": self.open_mouth,
            "closed mouth": not self.open_mouth,
            "closed eyes": self.closed_eyes,
            "blush": self.blush,
            "beard": self.beard,
            "glasses": self.glasses,
            "hat": self.hat,
            "hair bow": self.bow,
            "facial mark": self.mark is not None,
        }
        return tuple(tag for tag in GENERAL_TAGS if shown.get(tag, False))

    def caption(self) -> str:
        """The product's caption form without a trigger word: `class, tags…`."""
        return ", ".join((self.person, *self.tags()))

    def paints(self) -> Paints:
        """The colours to draw with: the named ones, each a little lighter or darker by `variation`."""
        rng = np.random.default_rng((self.variation, 1))
        return Paints(
            hair=_shade(HAIR[self.hair], rng),
            shirt=_shade(SHIRT[self.shirt], rng),
            background=_shade(BACKGROUND[self.background], rng),
            skin=_shade(SKIN[self.skin], rng),
            mark=MARK_PAINT,
        )

    def placement(self) -> drawing.Placement:
        """Where the figure stands: a shift of at most 2 % of the side and a size within 4 %."""
        rng = np.random.default_rng((self.variation, 2))
        dx, dy = rng.uniform(-0.02, 0.02, 2)
        return drawing.Placement(dx=float(dx), dy=float(dy), zoom=float(rng.uniform(0.96, 1.04)))


def _shade(colour: RGB, rng: np.random.Generator) -> RGB:
    """`colour`, each channel moved by up to 8 of 255 on top of a common move of up to 8."""
    moved = np.array(colour) + rng.uniform(-8, 8) + rng.uniform(-8, 8, 3)
    red, green, blue = (int(value) for value in np.clip(moved, 0, 255))
    return red, green, blue


def draw(avatar: Avatar, size: int, paints: Paints | None = None) -> Image.Image:
    """The portrait as an RGB picture of `size` × `size` pixels; `paints` replaces the colours its tags name.

    Drawn at least twice as large and scaled down, so edges are smooth at any size.
    """
    shape = drawing.Shape(
        child=avatar.person in ("girl", "boy"),
        feminine=avatar.person in ("woman", "girl"),
        hair_style=avatar.hair_style,
        smile=avatar.smile,
        open_mouth=avatar.open_mouth,
        closed_eyes=avatar.closed_eyes,
        blush=avatar.blush,
        beard=avatar.beard,
        glasses=avatar.glasses,
        hat=avatar.hat,
        bow=avatar.bow,
        mark=avatar.mark,
    )
    return drawing.portrait(shape, paints or avatar.paints(), avatar.placement(), size)


def random_avatar(rng: np.random.Generator, hair: tuple[str, ...] = BASE_HAIR, marks: float = 0.0) -> Avatar:
    """A random portrait with hair of one of the colours `hair` and, with probability `marks`, a mark on the cheek."""
    person: Person = PEOPLE[int(rng.integers(4))]
    feminine = person in ("woman", "girl")
    styles: tuple[HairStyle, ...] = ("long", "short")
    if person == "girl":
        styles = ("long", "short", "twintails", "twintails")
    elif person == "woman":
        styles = ("long", "long", "short", "twintails")
    style: HairStyle = styles[int(rng.integers(len(styles)))] if feminine or rng.random() < 0.25 else "short"
    kinds: tuple[Mark, ...] = ("star", "heart", "dot")
    hat = bool(rng.random() < 0.25)
    shirt, background = str(rng.choice(tuple(SHIRT))), str(rng.choice(tuple(BACKGROUND)))
    while shirt == background == "white":  # a white shirt on white cannot be seen, so its tag would not be true
        background = str(rng.choice(tuple(BACKGROUND)))
    return Avatar(
        person=person,
        hair=str(rng.choice(hair)),
        hair_style=style,
        shirt=shirt,
        background=background,
        skin=int(rng.integers(len(SKIN))),
        smile=bool(rng.random() < 0.5),
        open_mouth=bool(rng.random() < 0.35),
        closed_eyes=bool(rng.random() < 0.15),
        blush=bool(rng.random() < 0.2),
        beard=person == "man" and bool(rng.random() < 0.35),
        glasses=bool(rng.random() < 0.3),
        hat=hat,
        bow=feminine and not hat and bool(rng.random() < 0.25),
        mark=kinds[int(rng.integers(3))] if rng.random() < marks else None,
        variation=int(rng.integers(2**31)),
    )
