"""Bulk operations as rules: what changes, what stays, and that the prefix is there once whatever is done."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rules.bulk.captions import Captioned, Subject, captions_with, in_almost_all, tag_counts
from bot.rules.bulk.codec import from_json, to_json
from bot.rules.bulk.operations import (
    AddTags,
    Dedupe,
    ImportCaptions,
    MoveTag,
    Recaption,
    RemoveTags,
    RenameTag,
    ReplacePattern,
    ReplaceText,
    SortTags,
    carry_out,
    in_sentences,
)
from bot.rules.caption import clean_caption
from tests.bot.rules.bulk.strategies import operations

LISA = Subject("lisaxl", "woman")
PROSE = "A photo of lisaxl, laughing. Behind her: 1,000 books!"


def captions(*bodies, waiting=False):
    return [
        Captioned(number, number, clean_caption(body, "lisaxl", "woman"), waiting)
        for number, body in enumerate(bodies, 1)
    ]


def done(operation, *bodies):
    """Bodies after the operation."""
    given = captions(*bodies)
    after = {each.picture_id: each.after for each in carry_out(operation, given, LISA).changes}
    return [LISA.body(after.get(each.picture_id, each.caption)) for each in given]


@pytest.mark.parametrize(
    ("operation", "before", "after"),
    [
        (RemoveTags(tags=("Smile",)), "smile, hat, SMILE", "hat"),
        (RemoveTags(tags=("long_hair", "hat")), "hat, long hair", ""),
        (RemoveTags(tags=("hat",)), "red hat", "red hat"),
        (RemoveTags(tags=("hat",)), "hat, She wears, hat, gladly.", "She wears, hat, gladly."),
        (RemoveTags(tags=("laughing",)), f"laughing, {PROSE}", PROSE),
        (RenameTag(old="hat", new="cap"), "smile, hat, x", "smile, cap, x"),
        (RenameTag(old="hat", new="smile"), "smile, hat, x", "smile, x"),
        (RenameTag(old="hat", new="red, cap"), "hat, hat", "red, cap"),
        (RenameTag(old="hat", new=""), "smile, hat", "smile"),
        (RenameTag(old="hat", new="woman"), "smile, hat", "smile"),
        (RenameTag(old="hat", new="Hat"), "hat", "Hat"),
        (MoveTag(tag="hat"), "smile, hat, x", "hat, smile, x"),
        (MoveTag(tag="hat"), f"{PROSE}, hat", f"hat, {PROSE}"),
        (AddTags(text="hat, smile"), "smile", "smile, hat"),
        (AddTags(text="hat", place="first"), "smile", "hat, smile"),
        (AddTags(text="hat"), f"smile, {PROSE}", f"smile, hat, {PROSE}"),
        (AddTags(text="hat"), PROSE, f"hat, {PROSE}"),
        (AddTags(text="lisaxl, woman"), "smile", "smile"),
        (ReplaceText(find="books", by="Books, shelves"), PROSE, PROSE.replace("books", "Books, shelves")),
        (ReplaceText(find="mile", by=""), "smile, Mile", "s, Mile"),
        (ReplaceText(find=", laughing", by=""), PROSE, PROSE.replace(", laughing", "")),
        (ReplaceText(find="hat", by="lisaxl, woman"), "hat, x", "x"),
        (ReplacePattern(find="", by="", found={1: "cap, Cap"}), "hat", "cap, Cap"),
        (SortTags(by="name"), f"c, b, {PROSE}, a", f"a, b, {PROSE}, c"),
        (SortTags(by="name"), PROSE, PROSE),
        (Dedupe(), f"a, b, A, a_, {PROSE}, b", f"a, b, a_, {PROSE}"),
        (ImportCaptions(texts={1: f"Woman, {PROSE}"}), "x", PROSE),
        (ImportCaptions(texts={2: "y"}), "x", "x"),
        (Recaption(mode="append", tags={1: ("hat", "x")}), f"x, {PROSE}", f"x, hat, {PROSE}"),
        (Recaption(mode="fill", tags={1: ("hat",)}), "x", "x"),
        (Recaption(mode="fill", tags={1: ("hat",)}), "", "hat"),
        (Recaption(mode="overwrite", tags={1: ("hat",)}), PROSE, "hat"),
    ],
)
def test_one_caption_before_and_after(operation, before, after):
    assert done(operation, before) == [after]
    again = from_json(to_json(operation))
    if not isinstance(operation, ReplacePattern):
        assert again == operation


def test_frequency_sorts_the_commonest_first():
    assert done(SortTags(by="frequency"), "a, b, c", "c, b", "c") == ["c, b, a", "c, b", "c"]


def test_only_the_chosen_pictures_change():
    assert done(RemoveTags(tags=("a",), pictures=(2,)), "a", "a", "a") == ["a", "", "a"]


def test_what_would_be_too_long_stays_whole():
    long = "word " * 190 + "end."
    edit = carry_out(AddTags(text="x" * 60), captions(long, "a"), LISA)
    assert [each.picture_id for each in edit.changes] == [2]
    assert edit.too_long == 1


def test_captions_that_wait_for_the_tagger_are_left_out_but_for_imports():
    waiting = captions("", waiting=True)
    edit = carry_out(AddTags(text="hat"), waiting, LISA)
    assert (edit.changes, edit.waiting) == ((), 1)
    assert carry_out(ImportCaptions(texts={1: "hat"}), waiting, LISA).changes


def test_counts_and_what_is_in_almost_all():
    given = captions("smile, hat", "Smile", "smile", "smile, hat", f"hat, {PROSE}", "smile, hat, smile")
    counts = tag_counts(given, LISA)
    assert [(each.tag, each.pictures) for each in counts] == [("smile", 5), ("hat", 4)]
    assert in_almost_all(counts, 5) == counts[:1]
    assert in_almost_all(counts, 4) == []
    assert [each.number for each in captions_with("HAT", given, LISA)] == [1, 4, 5, 6]
    assert in_sentences("laughing", given, LISA) == 0
    assert in_sentences("laughing. Behind her: 1,000 books!", given, LISA) == 1


WORDS = ("lisaxl", "woman", "lisaxl woman", "smile", "hat", "Hat", "long hair", "long_hair", "^_^", "5", "1,5")
TAGS = st.sampled_from(WORDS)
BODIES = st.lists(TAGS | st.just(PROSE) | st.text(",，. \naé1_()", max_size=12), max_size=6).map(", ".join)
TEXTS = st.text("lisaxlwomn ,，.é1", max_size=12) | TAGS
IDS = st.integers(1, 4)
PATTERNS = st.builds(ReplacePattern, find=st.just("x"), by=st.just(""), found=st.dictionaries(IDS, BODIES))
OPERATIONS = operations(TAGS, TEXTS, BODIES, IDS, PATTERNS)


@given(st.lists(BODIES, min_size=1, max_size=4), st.lists(OPERATIONS, max_size=8))
def test_the_prefix_is_there_once_after_any_operations(bodies, steps):
    given = captions(*bodies)
    for operation in steps:
        changed = {each.picture_id: each.after for each in carry_out(operation, given, LISA).changes}
        given = [dataclasses.replace(each, caption=changed.get(each.picture_id, each.caption)) for each in given]
        for each in given:
            items = [item.casefold() for item in each.caption.split(", ")]
            assert items[:2] == ["lisaxl", "woman"]
            assert items.count("lisaxl") == items.count("woman") == 1
            assert clean_caption(each.caption, "lisaxl", "woman") == each.caption


SAID = "She looks up, hat, smile, long hair, in the rain."


@given(st.lists(TAGS, max_size=4), OPERATIONS)
def test_a_sentence_is_left_to_the_letter_by_what_does_not_name_it(tags, operation):
    if isinstance(operation, ReplaceText | ReplacePattern | ImportCaptions | Recaption):
        return
    assert SAID in done(operation, ", ".join([*tags, SAID]))[0]
