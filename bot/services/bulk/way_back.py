"""What undoing a bulk edit would do to the captions of now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.rules.bulk.captions import Subject
from bot.rules.bulk.inverse import taken_back
from bot.rules.bulk.operations import Change
from bot.store.caption_edits import Since


@dataclass(frozen=True, slots=True)
class WayBack:
    """The captions that can be brought back, and why the others cannot."""

    changes: tuple[Change, ...]
    kept: int
    """Captions that stay as they are."""
    later: tuple[str, ...]
    """Titles of the later bulk edits that some of them hang on: undone first, these captions can be brought back."""


def way_back(done: Sequence[Change], since: Since, now: Mapping[int, str], subject: Subject) -> WayBack:
    """How to take back what was `done`, given the captions of `now` by picture.

    A caption is restored as it was where nothing has touched it, and where only bulk edits have, what was done is taken
    out of it, if that is clear. What somebody wrote by hand stays.
    """
    changes: list[Change] = []
    hindering: set[int] = set()
    for each in done:
        current = now[each.picture_id]
        by_bulk = since.traced.get(each.picture_id, each.after) == current
        if current == each.after:
            text: str | None = each.before
        else:
            text = taken_back(each.before, each.after, current, subject) if by_bulk else None
        if text is not None:
            changes.append(Change(each.picture_id, each.number, current, text))
        elif by_bulk:
            hindering.update(since.touched[each.picture_id])
    later = tuple(title for edit_id, title in since.titles.items() if edit_id in hindering)
    return WayBack(tuple(changes), len(done) - len(changes), later)
