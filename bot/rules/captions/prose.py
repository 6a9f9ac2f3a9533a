"""Tags and sentences in one caption: which items between commas are tags, and which belong to a sentence.

A caption may hold both: `lisaxl, woman, smile, She sits on a bench, looking away. The light is warm.` Bulk editing
takes tags by the item and leaves sentences alone; in doubt an item counts as part of a sentence.

An item speaks if it has seven words, if it opens as a sentence does (four words behind a capital, three with an
article: `A man waits`, `a man waits`; `the eiffel tower` is a name), or if it holds one of the little words that no
tag of WD14's lists has (`holding a cup`, `with her dog`). Without a full stop, a sentence runs from the first item
that speaks to the end of the caption, and takes the item before along where it only goes on (`woman sitting, with her
dog`), and what is joined to it and articles right before (`a dog, a cat, or two, and a bird`). With one, it runs up to
it from the first item that may open it, by an article or a capital that stands not alone; where nothing may, from the
sentence before. Where nothing speaks either, a short item's full stop is its own (`nike inc.`) and a `!` or `?` is a
title's (`love live!`). What stands in brackets behind a name says nothing: `mia (love live!)`.

None of this makes a tag of a sentence's item when tags around it come, go or change places.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LONG = 7
"""Words from which an item is a sentence whatever they are; the longest general tags of WD14's lists have six, but for
a handful of 6,900."""

_END = re.compile(r"[^\W_][\"'”’)\]]*([.!?…]+)[\"'”’)\]]*(?:$|\s+[^\w\s]*(\w))|[。！？]")
"""The end of a sentence: a mark behind a word, then nothing or a next word; `._.` and `!?` are none."""
_ARTICLE = re.compile(r"[\"'“‘(\[]*(?:an?|(the))\s", re.IGNORECASE)
_QUOTES = "\"'“‘(["
_QUALIFIED = re.compile(r"([^()]*[^()\s])(?:\s+\([^()]*\))+")
"""`name (series)`, as boorus tell names apart."""
_OPENING_WORDS = 4
"""Words from which an item with a capital opens a sentence, though no full stop follows (three with an article); names
such as `Captain Copper` have fewer."""
_ON = r"and|but|or|with|while|who|which|where|in|on|at|by|from|near|next|under|behind|against"
_GOES_ON = re.compile(rf"(?:{_ON})\s", re.IGNORECASE)
_JOINS = re.compile(r"(?:and|but|or)\s", re.IGNORECASE)
_LITTLE = re.compile(
    r"(?:and|but|with|while|who|which|where|her|his|their|she|he)\s"
    r"|.*\s(?:an?|is|are|was|were|has|her|his|their|its)\s"
    r"|(?:.*\s)?(?:in|on|at|by|with|from|near|under|behind|against|through)\sthe\s",
    re.IGNORECASE,
)
"""Words by which a sentence is known though it has neither capital nor full stop. `the` alone is none: `looking to the
side`, `alexander the great`."""


def tag_places(items: Sequence[str]) -> list[int]:
    """Places of the items that are tags; all others are parts of sentences."""
    in_prose: set[int] = set()
    start = 0
    while start < len(items):
        found = _ended(items, start) or _endless(items, start)
        if found is None:
            break
        in_prose.update(found)
        start = found.stop
    return [place for place in range(len(items)) if place not in in_prose]


def tags_of(items: Sequence[str]) -> list[str]:
    """The items that are tags."""
    return [items[place] for place in tag_places(items)]


def _ended(items: Sequence[str], start: int) -> range | None:
    """The places of the first sentence behind `start` that has a full stop."""
    opening: int | None = None
    spoken = False
    for place in range(start, len(items)):
        item = items[place]
        if opening is None and _may_open(item):
            opening = start if spoken else place
        spoken = spoken or _speaks(item)
        end = _end_of(item)
        if opening is not None and end:
            return range(opening, place + 1)
        if spoken and end:
            return range(start, place + 1)
        if end in (".", "。"):
            alone = end == "." and len(item.split()) < _OPENING_WORDS
            return range(place if alone else start, place + 1)
    return None


def _endless(items: Sequence[str], start: int) -> range | None:
    """The places of a sentence behind `start` that nothing ends."""
    for place in range(start, len(items)):
        if _speaks(items[place]):
            begin = place - 1 if place > start and _GOES_ON.match(items[place]) else place
            while begin > start and (_ARTICLE.match(items[begin - 1]) or _JOINS.match(items[begin])):
                begin -= 1
            return range(begin, len(items))
    return None


def _end_of(item: str) -> str:
    """The mark that ends a sentence in the item: `.`, `!` (also for ?), `。` (also for ！ and ？), or nothing."""
    for end in _END.finditer(_named(item)):
        mark, following = end.groups()
        if mark is None:
            return "。"
        if following is None or following.isupper():
            return "." if mark[0] in ".…" else "!"
    return ""


def _may_open(item: str) -> bool:
    """Whether a sentence that ends further on may begin here; phones give a lone first word its capital too."""
    quoted = item[:1] in _QUOTES
    return (_has_capital(item) and (quoted or len(item.split()) > 1)) or _ARTICLE.match(item) is not None


def _speaks(item: str) -> bool:
    """Whether the item is part of a sentence even if nothing ends it."""
    item = _named(item)
    words = len(item.split())
    if words >= LONG or _LITTLE.match(item):
        return True
    capital, article = _has_capital(item), _ARTICLE.match(item)
    named = article is not None and article[1] is not None and not capital
    return (capital or article is not None) and words >= _OPENING_WORDS - (article is not None and not named)


def _named(item: str) -> str:
    """The item without what stands in brackets behind it."""
    qualified = _QUALIFIED.fullmatch(item)
    return qualified[1] if qualified else item


def _has_capital(item: str) -> bool:
    return item.lstrip(_QUOTES)[:1].isupper()
