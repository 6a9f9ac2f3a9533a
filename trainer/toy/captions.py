"""What the base model is told about its pictures: tag captions as members' captions are, and people with names.

Some pictures show one of `NAMED` people: a made-up name stands first, where a trigger word would, and the tags of that
person's own look are left out of the caption. So the base knows what SDXL knows too: that a word in several pieces at
the front can mean one certain person. Without that, its text encoders learn to ignore such words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trainer.toy.avatars import Avatar, random_avatar

NAMED = 48
"""Number of people with names."""

EMPTY = 0.10
"""Share of pictures captioned with nothing, which classifier-free guidance needs."""


@dataclass(frozen=True)
class Known:
    """A named person and the look that goes with the name."""

    name: str
    look: Avatar

    def traits(self) -> frozenset[str]:
        """Tags that belong to the name."""
        styles = ("long hair", "short hair", "twintails", "beard")
        return frozenset(tag for tag in self.look.tags() if tag == f"{self.look.hair} hair" or tag in styles)


def known_people() -> tuple[Known, ...]:
    """The named people, always the same."""
    rng = np.random.default_rng(48)
    return tuple(Known(_name(rng), random_avatar(rng)) for _ in range(NAMED))


def _name(rng: np.random.Generator) -> str:
    """A word of two or three syllables that no tag has."""
    consonants, vowels = "bcdfghjklmnpqrstvwxyz", "aeiou"
    syllables = int(rng.integers(2, 4))
    return "".join(str(rng.choice(list(consonants))) + str(rng.choice(list(vowels))) for _ in range(syllables)) + str(
        rng.choice(list(consonants))
    )


def meet(known: Known, rng: np.random.Generator) -> Avatar:
    """A new picture of a named person: their hair, style, skin and beard; everything else by chance."""
    other = random_avatar(rng)
    look = known.look
    own = {name: getattr(look, name) for name in ("person", "hair", "hair_style", "skin", "beard")}
    feminine = look.person in ("woman", "girl")
    return replace(other, **own, bow=other.bow and feminine)


def caption(avatar: Avatar, known: Known | None, rng: np.random.Generator) -> str:
    """A training caption: `[name,] class, tags…`, shuffled, some tags dropped, sometimes nothing at all."""
    if rng.random() < EMPTY:
        return ""
    hidden = known.traits() if known is not None else frozenset()
    tags = [tag for tag in avatar.tags() if tag not in hidden]
    keep = 1.0 if rng.random() < 0.4 else float(rng.uniform(0.3, 1.0))
    tags = [tag for tag in tags if rng.random() < keep]
    rng.shuffle(tags)
    people = [avatar.person] if rng.random() < 0.9 else []
    names = [known.name] if known is not None else []
    return ", ".join((*names, *people, *tags))
