"""Bulk operations as rules: what changes, what stays, and that the prefix is there once whatever is done."""

import contextlib
import dataclasses
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Refused
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
from bot.rules.captions.caption import clean_caption
from bot.rules.captions.prose import tag_places, tags_of
from tests.bot.rules.bulk.strategies import on_tags, on_text

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
        (RenameTag(old="hat", new="red, Red, cap"), "hat", "red, cap"),
        (AddTags(text="hat, smile"), "smile", "smile, hat"),
        (AddTags(text="hat, Hat, hat"), "smile", "smile, hat"),
        (RemoveTags(tags=("love live!",)), "smile, love live!, hat", "smile, hat"),
        (RemoveTags(tags=("holding a cup",)), "a woman sits, holding a cup", "a woman sits, holding a cup"),
        (SortTags(by="name"), "smile, hat, a woman sits, with her dog", "hat, smile, a woman sits, with her dog"),
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


def test_a_whole_tag_is_found_one_at_a_time():
    with pytest.raises(Refused, match="one tag at a time, for example “smile”"):
        done(RenameTag(old="smile, red hat", new="x"), "smile, red hat")


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
    assert in_sentences(["laughing"], given, LISA) == 0
    assert in_sentences(["laughing. Behind her: 1,000 books!", "laughing"], given, LISA) == 1


SUBJECTS = st.sampled_from(
    [
        *(LISA, Subject("ohwx1", "woman"), Subject("lisa_v2", "dog"), Subject("123", "cat"), Subject("inky", "")),
        *(Subject("smile", "hat"), Subject("rex", "c++ (a.b*)"), Subject("and", "a big dog"), Subject("a_1", "1girl")),
    ]
)
"""Triggers that end in digits, are a tag or a word of sentences; class words that are a tag, a pattern, a sentence."""
TAGS = st.sampled_from(
    [
        *("smile", "hat", "Hat", "long hair", "long_hair", "red hat", "1girl", "2girls", "5", "1,5", "2020", "1,000"),
        *("looking at viewer", "an apple", "the king", "Captain Copper", "mia (love live!)", "k-on!", "is it?", "inc."),
        *(
            "^_^",
            "(o)_(o)",
            ";d",
            ">:(",
            "o,o",
            "🎩",
            "👩\u200d🎨",
            "\u0642\u0628\u0639\u0629",
            "\u200d",
            "\u202esmile",
        ),
        *("lisaxl", "ohwx1", "lisa_v2", "123", "Smile", "woman", "dog", "lisaxl woman", "c++ (a.b*)"),
    ]
)
PROSES = st.sampled_from(
    [
        *(PROSE, "She sits, reading.", "a woman sits on a bench, with her dog, holding a cup", "what a day, so happy!"),
        *("A cat, dog, woman, and hat on a sofa.", "woman sitting, with a hat, and smile", "standing under big tree."),
        *("她坐在那里，看书。", "she waits, hat, smile", "“Hello,” she says, and\nleaves!", "in the rain, hat"),
        *("costs 1,000, or 0,5, and 123,000", "a dog, a cat, and a bird", "one two three four five six seven, hat"),
    ]
)
JOINTS = st.sampled_from([", ", ",", "，", ",\n", " , "])
LOOSE = st.text(",，. \n\u200d\u200eaéA1_()!?", max_size=12)
TEXTS = st.tuples(st.lists(TAGS | TAGS | PROSES | LOOSE, max_size=6), JOINTS).map(lambda pair: pair[1].join(pair[0]))
IDS = st.integers(1, 4)
PATTERNS = st.builds(ReplacePattern, find=st.just("x"), by=st.just(""), found=st.dictionaries(IDS, TEXTS))
ON_TAGS, ON_TEXT = on_tags(TAGS, TEXTS, IDS), on_text(TAGS, TEXTS, IDS, PATTERNS)


def after(operation, given, subject):
    """The captions with what the operation changes; as they are where it is refused."""
    with contextlib.suppress(Refused):
        changed = {each.picture_id: each.after for each in carry_out(operation, given, subject).changes}
        return [dataclasses.replace(each, caption=changed.get(each.picture_id, each.caption)) for each in given]
    return given


def written(bodies, subject):
    return [
        Captioned(number, number, clean_caption(body, subject.trigger, subject.class_word))
        for number, body in enumerate(bodies, 1)
    ]


@given(SUBJECTS, st.lists(TEXTS, min_size=1, max_size=4), st.lists(ON_TAGS | ON_TEXT, max_size=8))
def test_the_prefix_is_there_once_after_any_operations(subject, bodies, operations):
    given = written(bodies, subject)
    for operation in operations:
        given = after(operation, given, subject)
        for each in given:
            items = each.caption.split(", ")
            bare = [re.sub("[\u200c\u200d]", "", item).casefold() for item in items]
            assert items[: len(subject.prefix)] == subject.prefix
            assert bare.count(subject.trigger) == 1
            assert "" not in bare
            assert subject.class_word not in map(str.casefold, tags_of(subject.items(each.caption)))
            assert clean_caption(each.caption, subject.trigger, subject.class_word) == each.caption


@given(SUBJECTS, st.lists(TAGS, max_size=4), PROSES, TEXTS, st.lists(ON_TAGS, min_size=1, max_size=5))
def test_what_is_done_to_tags_leaves_sentences_to_the_letter_and_in_place(subject, tags, prose, more, operations):
    said = subject.body(clean_caption(prose, subject.trigger, subject.class_word))
    given = written([", ".join([*tags, said, more])], subject)
    for operation in operations:
        runs = sentences(subject.items(given[0].caption))
        given = after(operation, given, subject)
        assert said in given[0].caption
        rest = ", ".join(sentences(subject.items(given[0].caption)))
        for run in runs:
            assert run in rest
            rest = rest.partition(run)[2]


def sentences(items):
    """The runs of items that are no tags, each as text."""
    tags = set(tag_places(items))
    runs = itertools.groupby(range(len(items)), key=lambda place: place in tags)
    return [", ".join(items[place] for place in places) for is_tag, places in runs if not is_tag]
