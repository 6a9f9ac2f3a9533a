"""Captions: `trigger, class, tags…`, the prefix exactly once and first."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from bot.rules.captions.prose import tag_places
from bot.rules.names import plain

MAX_CAPTION = 1000
_COMMA = re.compile(r"[,，]")
_NUMBER = re.compile(r"(?<!\w)\d+(?:[,，]\d+)+(?!\w)")
"""`1,000` or `0,5`, whose comma separates nothing; that of `ohwx1,1girl` does."""
_NUMBER_OR_COMMA = re.compile(f"{_NUMBER.pattern}|{_COMMA.pattern}")
_JOINERS = "\u200c\u200d"
_PERSON_TAGS = {
    **dict.fromkeys(("woman", "girl", "lady", "female"), ("1girl", "woman")),
    **dict.fromkeys(("man", "boy", "guy", "male"), ("1boy", "man")),
    **dict.fromkeys(("person", "human"), ("1girl", "1boy", "woman", "man")),
}
"""Tags that only repeat the class word, as a tagger calls it and as *photo face* does (bot.rules.captions.photo_face).
Left in, they would take a share of what the trigger word shall learn. `solo` stays: it says something about the picture
(nobody else is in it), not about the subject."""


def build_caption(trigger: str, class_word: str, tags: Iterable[str]) -> str:
    """`trigger, class, tag, tag …` in the order given; tags that repeat the prefix or each other are left out."""
    known = {word.casefold() for word in (trigger, class_word, *_PERSON_TAGS.get(class_word, ()))}
    items = []
    for tag in tags:
        if tag.casefold() not in known:
            known.add(tag.casefold())
            items.append(tag)
    return shortened(prefix(trigger, class_word), items)


def clean_caption(text: str, trigger: str, class_word: str) -> str:
    """A person's caption as it is stored: prefix once and first, one space after commas, at most 1,000 characters.

    Only whole items between commas that are the trigger or class word are taken out; a sentence stays as written, also
    when the trigger word is in it. Applying it twice changes nothing.
    """
    items = own_items(text, trigger, class_word)
    caption = shortened(prefix(trigger, class_word), items)
    # What is left of an item that was cut may be the class word, and a sentence that lost its end may be none.
    return shortened(prefix(trigger, class_word), own_items(caption, trigger, class_word))


def own_items(text: str, trigger: str, class_word: str) -> list[str]:
    """What stands between the commas of a text, without the prefix and without empty items.

    The trigger goes wherever it is an item of its own. The class word goes beside it and where it is a tag; in a
    sentence it is a word like others: `A cat, dog, and bird`.
    """
    class_key = class_word.casefold()
    triggers = {trigger.casefold(), f"{trigger} {class_word}".casefold()}
    items = [item for item in _separated(_on_one_line(text), trigger) if item.strip(_JOINERS)]
    keys = [item.strip(_JOINERS).casefold() for item in items]
    head = list(itertools.takewhile(lambda key: key in triggers or key == class_key, keys))
    if class_key in head and not triggers.isdisjoint(head):
        place = head.index(class_key)
        del items[place], keys[place]
    items = [item for item, key in zip(items, keys, strict=True) if key not in triggers]
    repeated = {place for place in tag_places(items) if items[place].strip(_JOINERS).casefold() == class_key}
    return [item for place, item in enumerate(items) if place not in repeated]


def _on_one_line(text: str) -> str:
    """The text without line breaks; lines that are tags, one each, are as good as commas."""
    lines = [line for line in map(plain, text.splitlines()) if line]
    tags = not any(map(_COMMA.search, lines)) and len(tag_places(lines)) == len(lines)
    return plain((", " if tags else " ").join(lines))


def _separated(text: str, trigger: str) -> list[str]:
    """The text at its commas but those of numbers; no number hides a trigger of digits: `123,2020`."""
    cuts = [match.start() for match in _NUMBER_OR_COMMA.finditer(text) if _COMMA.fullmatch(match[0])]
    items = [text[start + 1 : end].strip() for start, end in itertools.pairwise([-1, *cuts, len(text)])]
    return [piece for item in items for piece in _pieces(item, trigger)]


def _pieces(item: str, trigger: str) -> list[str]:
    pieces = _COMMA.split(item)
    return pieces if trigger in pieces and _NUMBER.fullmatch(item) else [item]


def prefix(trigger: str, class_word: str) -> list[str]:
    """What every caption of a dataset begins with."""
    return [trigger, class_word] if class_word else [trigger]


def shortened(first: list[str], items: list[str]) -> str:
    """Joined by `, `; whole items, and of the last one whole words, are dropped from the end where it is too long."""
    text = ", ".join([*first, *items])
    if len(text) <= MAX_CAPTION:
        return text
    start = len(", ".join(first))
    kept = text[:MAX_CAPTION]
    cut = max(kept.rfind(", "), kept.rfind(" "), start)
    return kept[:cut].rstrip(", ")
