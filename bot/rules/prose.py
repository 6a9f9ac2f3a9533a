"""Tags and sentences in one caption: which items between commas are tags, and which belong to a sentence.

A caption may hold both: `lisaxl, woman, smile, She sits on a bench, looking away. The light is warm.` Bulk editing
takes tags by the item and leaves sentences alone; in doubt an item counts as part of a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LONG = 7
"""Words from which an item is a sentence without its full stop; the longest general tags of WD14's lists have six."""

_END = re.compile(r"[^\W_][\"'”’)\]]*[.!?…]+[\"'”’)\]]*(?:$|\s+[^\w\s]*(\w))|[。！？]")
"""The end of a sentence: a mark behind a word, then nothing or a next word; `._.` and `!?` are none."""
_OPENING = re.compile(r"[\"'“‘(\[]*(?:a|an|the)\s", re.IGNORECASE)


def tag_places(items: Sequence[str]) -> list[int]:
    """Places of the items that are tags; all others are parts of sentences."""
    in_prose: set[int] = set()
    for place, item in enumerate(items):
        if _ends_sentence(item):
            in_prose.update(range(_begin(items, place, max(in_prose, default=-1) + 1), place + 1))
        elif len(item.split()) >= LONG:
            in_prose.add(place)
    return [place for place in range(len(items)) if place not in in_prose]


def tags_of(items: Sequence[str]) -> list[str]:
    """The items that are tags."""
    return [items[place] for place in tag_places(items)]


def _ends_sentence(item: str) -> bool:
    for end in _END.finditer(item):
        following = end.group(1)
        if following is None or following.isupper():
            return True
    return False


def _begin(items: Sequence[str], end: int, earliest: int) -> int:
    """Where the sentence that ends in item `end` begins: at the nearest capital or article, else as early as can be."""
    for place in range(end, earliest - 1, -1):
        first = items[place].lstrip("\"'“‘([")[:1]
        if first.isupper() or _OPENING.match(items[place]):
            return place
    return earliest
