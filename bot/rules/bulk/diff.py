"""What differs between two captions, for people: pieces that stayed, went and came."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

CONTEXT = 2
"""Words that are shown on either side of a difference."""
_WORDS = re.compile(r"[^\s,]+|,|\s+")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of words."""

    kind: Literal["same", "gone", "new"]
    text: str


def pieces(before: str, after: str) -> list[Piece]:
    """The differences in order, each with a few words around it; what lies between is `…`."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    found: list[Piece] = []
    for group in _groups(old, new):
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                found.append(Piece("same", "".join(old[i1:i2])))
                continue
            if i2 > i1:
                found.append(Piece("gone", "".join(old[i1:i2])))
            if j2 > j1:
                found.append(Piece("new", "".join(new[j1:j2])))
        found.append(Piece("same", "…"))
    return found[:-1]


def _groups(old: list[str], new: list[str]) -> Iterator[list[tuple[str, int, int, int, int]]]:
    # What comes again and again in a long caption (spaces, commas, `the`) is no place to begin at: that takes seconds.
    matcher = SequenceMatcher(None, old, new, autojunk=True)
    yield from matcher.get_grouped_opcodes(2 * CONTEXT)  # half of them are spaces
