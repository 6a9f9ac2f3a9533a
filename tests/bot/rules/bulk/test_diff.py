"""What is shown of a change: every word of it, however long the captions are and whatever comes again and again."""

from difflib import SequenceMatcher

import pytest

from bot.rules.bulk import diff
from bot.rules.bulk.diff import pieces

PROSE = " ".join(f"the {word} and the rest," for word in ("light", "bench", "river", "girl", "hat", "tree") * 8)


def told(before, after):
    return [(each.kind, each.text) for each in pieces(before, after)]


@pytest.mark.parametrize(
    ("before", "after"),
    [("a b " * 250, "b, " * 333), (PROSE, PROSE.replace("river", "sea")), (PROSE, f"{PROSE} smile")],
)
def test_what_went_and_what_came_is_all_there(before, after):
    shown = told(before, after)
    gone, new = ("".join(text for kind, text in shown if kind == wanted) for wanted in ("gone", "new"))
    assert len(gone) - len(new) == len(before) - len(after)


def test_what_comes_again_and_again_is_no_place_to_begin_at(monkeypatch):
    """Or each of a thousand spaces is tried against each of a thousand others."""
    tried = []

    class Watched(SequenceMatcher):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            tried.append(max(map(len, self.b2j.values()), default=0))

    monkeypatch.setattr(diff, "SequenceMatcher", Watched)
    pieces("a b " * 250, "b, " * 333)
    assert tried == [0]
