"""From what the tagger sees to the tags of a caption: a dataset's tagger options, and what each of them does.

kohya's tagger script is the model (tag_images_by_wd14_tagger.py); where its options do nothing or come out in the
wrong order (facts in peers' issue lists: replacements, always-first tags), these do what they say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bot.rules.captions.kaomoji import shown_tag, underscored
from bot.rules.captions.photo_face import photographed

Profile = Literal["photo-face", "plain"]
Characters = Literal["leave-out", "keep", "expand"]
Ratings = Literal["no", "first", "last"]
PROFILES: tuple[Profile, ...] = get_args(Profile)
CHARACTERS: tuple[Characters, ...] = get_args(Characters)
RATINGS: tuple[Ratings, ...] = get_args(Ratings)

_SERIES = re.compile(r"(.+?)_\((.+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TagOptions:
    """How captions are made of what the tagger sees."""

    model: str
    """Hub id or folder; empty is the host's."""
    general: float = 0.35
    """General tags the model is less sure of are left out."""
    character: float = 0.85
    """The same for names of known characters."""
    mcut: bool = False
    """Take each picture's largest gap between probabilities in place of the two thresholds."""
    profile: Profile = "plain"
    characters: Characters = "keep"
    """`expand` writes `name (series)` as two tags, `name, series`."""
    ratings: Ratings = "no"
    """Where the rating (general, sensitive, questionable, explicit) stands in the caption, if at all."""
    underscores: bool = False
    """Write `long_hair` as the tagger's list does."""
    undesired: tuple[str, ...] = ()
    """Tags never written, in either spelling, by their name before or after a replacement."""
    replacements: tuple[tuple[str, str], ...] = ()
    """Tag → what stands for it; in place, once."""
    first: tuple[str, ...] = ()
    """Tags that stand first where they are seen, in this order."""


def caption_tags(general: Sequence[str], characters: Sequence[str], rating: str, options: TagOptions) -> list[str]:
    """Tags of a caption without its prefix, from what the tagger saw (names with spaces, in the CSV's order)."""
    profile: Callable[[str], str] = photographed if options.profile == "photo-face" else _as_it_is
    wanted = _Wanted.of(options)
    tags = [spoken for tag in general for spoken in wanted.instead_of(tag, profile)]
    if options.characters != "leave-out":
        for name in _expanded(characters) if options.characters == "expand" else characters:
            tags += wanted.instead_of(name, _as_it_is)
    if options.ratings != "no" and rating:
        tags = [rating, *tags] if options.ratings == "first" else [*tags, rating]
    tags = _first(tags, options.first)
    return [underscored(tag) for tag in tags] if options.underscores else tags


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A member's replacements and undesired tags, by their keys."""

    own: Mapping[str, str]
    undesired: frozenset[str]

    @classmethod
    def of(cls, options: TagOptions) -> _Wanted:
        return cls({tag_key(old): new for old, new in options.replacements}, frozenset(map(tag_key, options.undesired)))

    def instead_of(self, tag: str, profile: Callable[[str], str]) -> Iterable[str]:
        """What is written for a tag: nothing, itself, or what replaces it; a replacement goes before a profile."""
        key = tag_key(tag)
        spoken = self.own[key] if key in self.own else profile(tag)
        if spoken and key not in self.undesired and tag_key(spoken) not in self.undesired:
            yield spoken


def _as_it_is(tag: str) -> str:
    return tag


def _expanded(characters: Iterable[str]) -> Iterable[str]:
    """`a (b)` as `a` and `b`, as kohya's character_tag_expand does."""
    for name in characters:
        split = _SERIES.fullmatch(underscored(name))
        yield from (shown_tag(part) for part in split.groups()) if split else (name,)


def _first(tags: Sequence[str], first: Sequence[str]) -> list[str]:
    """`tags` without repeats; those of `first` that are there stand before the others, in the order of `first`."""
    by_key: Mapping[str, str] = {tag_key(tag): tag for tag in reversed(tags)}
    order = dict.fromkeys(key for key in map(tag_key, first) if key in by_key)
    return [by_key[key] for key in dict.fromkeys([*order, *map(tag_key, tags)])]


def tag_key(tag: str) -> str:
    """What two spellings of one tag have in common: `Long_Hair` and `long hair`."""
    return shown_tag(" ".join(tag.split()).casefold())
