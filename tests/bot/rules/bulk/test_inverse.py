"""What an edit did is taken out of a caption that has moved on, where that is clear."""

import pytest

from bot.rules.bulk.captions import Subject
from bot.rules.bulk.inverse import taken_back

SUBJECT = Subject("lisaxl", "woman")


@pytest.mark.parametrize(
    ("before", "after", "now", "expected"),
    [
        ("a, b, c", "a, c", "a, c, x", "a, b, c, x"),
        ("a, b, c", "a, c", "x, c", "b, x, c"),
        ("a, b, c", "c", "c, x", "a, b, c, x"),
        ("a, b", "a", "a, b, x", None),
        ("a", "a, b", "x, B, a", "x, a"),
        ("a", "a, b", "a, x", None),
        ("a", "a, b", "a, b, x, b", None),
        ("a, old, c", "a, new, c", "new, c, a", "old, c, a"),
        ("a, old", "a, one, two", "x, two, a", "x, old, a"),
        ("a, old, c", "a, new, c", "a, c", None),
        ("a, b", "b", "x, b", "a, x, b"),
        ("b, a", "a, b", "a, b, x", None),
        ("a, a", "a", "a, x", None),
        ("a, She sits here, reading.", "a", "a, x", None),
        ("a", "b", "b, She sits here, reading.", "a, She sits here, reading."),
        ("a, b", "a", "a, " + "x" * 981, None),
    ],
)
def test_what_is_clear_is_taken_back(before, after, now, expected):
    found = taken_back(*(SUBJECT.joined([each]) for each in (before, after, now)), SUBJECT)
    assert found == (expected and SUBJECT.joined([expected]))
