"""Tags and sentences in one caption: which items between commas are tags, and which belong to a sentence.

A caption may hold both: `lisaxl, woman, smile, She sits on a bench, looking away. The light is warm.` Bulk editing
takes tags by the item and leaves sentences alone; in doubt an item counts as part of a sentence, which runs from its
first capital or article to its full stop or, where it has none, to the end of the caption.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LONG = 7
"""Words from which an item is a sentence without its full stop; the longest general tags of WD14's lists have six."""

_END = re.compile(r"[^\W_][\"'”’)\]]*[.!?…]+[\"'”’)\]]*(?:$|\s+[^\w\s]*(\w))|[。！？]")
"""The end of a sentence: a mark behind a word, then nothing or a next word; `._.` and `!?` are none."""
_ARTICLE = re.compile(r"[\"'“‘(\[]*(?:a|an|the)\s", re.IGNORECASE)
_QUOTES = "\"'“‘(["
_OPENING_WORDS = 4
"""Words from which an item with a capital opens a sentence, though no full stop follows (three behind an article);
names such as `Captain Copper` have fewer."""


def tag_places(items: Sequence[str]) -> list[int]:
    """Places of the items that are tags; all others are parts of sentences."""
    in_prose = {place for place, item in enumerate(items) if len(item.split()) >= LONG}
    start = 0
    while start < len(items):
        rest = range(start, len(items))
        end = next((place for place in rest if _ends_sentence(items[place])), None)
        opening = next((place for place in rest if _opens_sentence(items[place])), None)
        if end is not None:
            begin = next((place for place in range(start, end + 1) if _may_open(items[place])), start)
            start = end + 1
        elif opening is not None:
            begin, start = opening, len(items)
        else:
            break
        in_prose.update(range(begin, start))
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


def _may_open(item: str) -> bool:
    """Whether a sentence that ends further on may begin here; phones give a lone first word its capital too."""
    quoted = item[:1] in _QUOTES
    return (_has_capital(item) and (quoted or len(item.split()) > 1)) or _ARTICLE.match(item) is not None


def _opens_sentence(item: str) -> bool:
    """Whether a sentence begins here even if nothing ends it."""
    words = len(item.split()) + (_ARTICLE.match(item) is not None)
    return _has_capital(item) and words >= _OPENING_WORDS


def _has_capital(item: str) -> bool:
    return item.lstrip(_QUOTES)[:1].isupper()
