"""Captions: `trigger, class, tags…`, the prefix exactly once and first."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bot.rules.names import plain

MAX_CAPTION = 1000
_COMMA = re.compile(r"(?<!\d)[,，]|[,，](?!\d)")
"""A comma that separates; the one of `1,000` does not."""
_PERSON_TAGS = {"woman": "1girl", "girl": "1girl", "man": "1boy", "boy": "1boy"}
"""Tags that only repeat the class word. Left in, they would take a share of what the trigger word shall learn.
`solo` stays: it says something about the picture (nobody else is in it), not about the subject."""


def build_caption(trigger: str, class_word: str, tags: Iterable[str]) -> str:
    """`trigger, class, tag, tag …` in the order given; tags that repeat the prefix or each other are left out."""
    known = {word.casefold() for word in (trigger, class_word, _PERSON_TAGS.get(class_word, ""))}
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
    # Cut in the middle of an item, what is left of it may be the class word.
    return shortened(prefix(trigger, class_word), own_items(caption, trigger, class_word))


def own_items(text: str, trigger: str, class_word: str) -> list[str]:
    """What stands between the commas of a text, without the prefix and without empty items."""
    repeated = {trigger.casefold(), class_word.casefold(), f"{trigger} {class_word}".casefold()}
    items = [item.strip() for item in _COMMA.split(plain(text))]
    return [item for item in items if item and item.casefold() not in repeated]


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
