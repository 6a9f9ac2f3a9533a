"""Taking back what an edit did to a caption that later edits have changed since."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from bot.rules.bulk.captions import Subject
from bot.rules.captions.caption import MAX_CAPTION
from bot.rules.captions.prose import tag_places
from bot.rules.captions.tagging import tag_key

_Items = list[tuple[str, str]]
"""(key, item); the key of what belongs to a sentence is empty."""


def taken_back(before: str, after: str, now: str, subject: Subject) -> str | None:
    """The caption of `now` without what an edit from `before` to `after` did; None where that is not clear.

    Clear are tags that came (they go), went (they come back behind the tag they stood behind), or were written in
    another's place, as long as what came still stands there once. Sentences and the order of tags are never clear.
    """
    old, new, items = (_items(subject.items(caption)) for caption in (before, after, now))
    done = SequenceMatcher(None, [key or item for key, item in old], [key or item for key, item in new], autojunk=False)
    steps = [step for step in done.get_opcodes() if step[0] != "equal"]
    gone = {key for _, start, end, _, _ in steps for key, _ in old[start:end]}
    came = {key for _, _, _, start, end in steps for key, _ in new[start:end]}
    if "" in gone | came or gone & came:
        return None
    for _, i, i_end, j, j_end in steps:
        back = [each for each in old[i:i_end] if each[0] not in _keys(items)]
        places = _places(items, [key for key, _ in new[j:j_end]])
        if places is None or (i < i_end and j < j_end and not places):
            return None
        place = places[0] if places else _place_behind(items, old[:i])
        items = [each for at, each in enumerate(items) if at not in places]
        items[place:place] = back
    text = subject.joined(item for _, item in items)
    return text if text != now and len(text) <= MAX_CAPTION else None


def _items(items: list[str]) -> _Items:
    tags = set(tag_places(items))
    return [(tag_key(item) if place in tags else "", item) for place, item in enumerate(items)]


def _keys(items: _Items) -> set[str]:
    return {key for key, _ in items}


def _places(items: _Items, keys: Sequence[str]) -> list[int] | None:
    """Where the tags stand, in order; one that went since is left out. None when one stands there twice."""
    places = [place for place, (key, _) in enumerate(items) if key in keys]
    return places if len({items[place][0] for place in places}) == len(places) else None


def _place_behind(items: _Items, earlier: _Items) -> int:
    """The place behind the nearest of the items that stood before; the first where none of them is left."""
    for key, item in reversed(earlier):
        for place, (other, text) in enumerate(items):
            if key == other and (key or item == text):
                return place + 1
    return 0
