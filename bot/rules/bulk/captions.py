"""The captions of a dataset as bulk editing sees them: prefix, items, tags and how often each tag stands there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bot.rules.captions.caption import own_items, prefix
from bot.rules.captions.prose import tags_of
from bot.rules.captions.tagging import tag_key

ALMOST_ALL = 0.9
"""Share of the pictures from which a tag says nothing about one of them: left in, it takes part of what the trigger
word shall learn (kohya-colab's advice; the trait of a tag that is taken out is absorbed by the trigger)."""
FEWEST = 5
"""Pictures under which a share means nothing."""
REMEMBERED = 2048
"""Captions whose items and tags are remembered, some 4 kB each: taking one apart takes a millisecond or two, and a page
that is open asks for the tags of all again and again."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the prefix of a dataset's captions is made of."""

    trigger: str
    class_word: str

    @property
    def prefix(self) -> list[str]:
        """The items every caption begins with."""
        return prefix(self.trigger, self.class_word)

    def items(self, caption: str) -> list[str]:
        """The items behind the prefix."""
        return list(_items(caption, self.trigger, self.class_word))

    def tags(self, caption: str) -> list[str]:
        """Those of the items that are tags and no part of a sentence."""
        return list(_tags(caption, self.trigger, self.class_word))

    def joined(self, items: Iterable[str]) -> str:
        """The caption of these items, which hold nothing of the prefix."""
        return ", ".join([*self.prefix, *items])

    def body(self, caption: str) -> str:
        """The text behind the prefix."""
        return ", ".join(self.items(caption))


@lru_cache(maxsize=REMEMBERED)
def _items(caption: str, trigger: str, class_word: str) -> tuple[str, ...]:
    return tuple(own_items(caption, trigger, class_word))


@lru_cache(maxsize=REMEMBERED)
def _tags(caption: str, trigger: str, class_word: str) -> tuple[str, ...]:
    return tuple(tags_of(_items(caption, trigger, class_word)))


@dataclass(frozen=True, slots=True)
class Captioned:
    """A picture's caption in a dataset."""

    picture_id: int
    number: int
    """Of the picture in its dataset, from 1."""
    caption: str
    waiting: bool = False
    """The tagger has not written it yet."""


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag and in how many captions it stands."""

    tag: str
    """As it is written most often."""
    pictures: int

    @property
    def code(self) -> str:
        """Short name of the tag for a custom_id."""
        return tag_code(self.tag)


def tag_code(tag: str) -> str:
    """Ten hex digits that stand for a tag, however it is spelt."""
    return hashlib.sha256(tag_key(tag).encode()).hexdigest()[:10]


def tag_counts(captions: Iterable[Captioned], subject: Subject) -> list[TagCount]:
    """Every tag with its number of captions, the commonest first; sentences are not counted."""
    spelt: dict[str, Counter[str]] = {}
    for each in captions:
        for key, tag in {tag_key(tag): tag for tag in subject.tags(each.caption)}.items():
            spelt.setdefault(key, Counter())[tag] += 1
    counts = [TagCount(spellings.most_common(1)[0][0], spellings.total()) for spellings in spelt.values()]
    return sorted(counts, key=lambda each: (-each.pictures, tag_key(each.tag)))


def in_almost_all(counts: Sequence[TagCount], pictures: int) -> list[TagCount]:
    """Tags that stand in (almost) every caption."""
    if pictures < FEWEST:
        return []
    return [each for each in counts if each.pictures >= ALMOST_ALL * pictures]


def why_common(captions: str, trigger: str) -> str:
    """What to do about tags in (almost) all of `captions` ("12 captions")."""
    return (
        f"These stand in (almost) all of {captions}. What is always there is best left out: `{trigger}` then learns it."
        " Keep what shall stay changeable, such as clothes."
    )


def captions_with(tag: str, captions: Iterable[Captioned], subject: Subject) -> list[Captioned]:
    """The captions in which the tag stands."""
    key = tag_key(tag)
    return [each for each in captions if key in map(tag_key, subject.tags(each.caption))]
