"""Members' regular expressions: bounded in time and memory, whatever is written."""

import pytest

from bot.errors import Refused
from bot.services.bulk.patterns import Patterns

LONG = 30.0
"""Seconds, a process's start among them, for expressions that are not slow."""
TEXTS = {7: "red hat, blue hat", 9: "smile"}


async def test_each_text_is_replaced_by_groups_too():
    found = await Patterns(LONG).replaced(r"(\w+) hat", r"hat of \1", TEXTS)
    assert found == {7: "hat of red, hat of blue", 9: "smile"}


@pytest.mark.parametrize(
    ("find", "by"), [("(", ""), ("x", r"\9"), ("(?P<a>x)(?P<a>y)", ""), ("[z-a]", ""), ("smile", r"\g<no>")]
)
async def test_what_is_no_pattern_is_said_so(find, by):
    with pytest.raises(Refused, match="not a pattern"):
        await Patterns(LONG).replaced(find, by, TEXTS)


@pytest.mark.parametrize("find", [r"(a+)+$", r"(a|a)*$", r"(.*.*)*x"])
async def test_one_that_never_ends_is_stopped(find):
    with pytest.raises(Refused, match=r"longer than|too much"):
        await Patterns(seconds=1.0).replaced(find, "", {1: "a" * 60 + "!"})


@pytest.mark.parametrize("find", ["(" * 5000 + ")" * 5000, "a{99999999999}"])
async def test_one_that_is_too_large_is_refused(find):
    with pytest.raises(Refused):
        await Patterns(LONG).replaced(find, "", {1: "a" * 900})


async def test_an_answer_is_never_larger_than_it_may_be():
    found = await Patterns(LONG).replaced("", "x" * 400, {1: "a" * 1000})
    assert len(found[1]) == 20_000
