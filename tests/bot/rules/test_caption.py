"""Captions: the prefix once and first, whatever is typed; sentences stay as they were written."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.rules.captions.caption import MAX_CAPTION, build_caption, clean_caption
from bot.rules.captions.prose import tags_of
from bot.rules.captions.tagging import TagOptions, caption_tags

TRICKY = st.sampled_from("lisaxlwomn ,，\n\t1\u202e\u200dé猫\x00\ud800._()")
TYPED = st.text(TRICKY, max_size=80) | st.text(max_size=1500)


def test_the_tags_follow_the_prefix():
    assert build_caption("lisaxl", "woman", ["solo", "long hair"]) == "lisaxl, woman, solo, long hair"
    assert build_caption("inky", "", ["no humans"]) == "inky, no humans"
    assert build_caption("lisaxl", "woman", ()) == "lisaxl, woman"


def test_tags_that_repeat_the_class_word_or_each_other_are_left_out():
    assert build_caption("lisaxl", "woman", ["1girl", "smile", "woman", "smile"]) == "lisaxl, woman, smile"
    assert build_caption("rex", "dog", ["1girl", "dog", "animal"]) == "rex, dog, 1girl, animal"


@pytest.mark.parametrize("class_word", ["woman", "girl", "man", "boy", "person"])
@pytest.mark.parametrize("profile", ["photo-face", "plain"])
def test_no_tag_says_the_class_word_once_more_or_contradicts_it(class_word, profile):
    seen = ["1boy" if class_word in ("man", "boy") else "1girl", "smile"]
    tags = caption_tags(seen, [], "", TagOptions(model="", profile=profile))
    assert build_caption("lisaxl", class_word, tags) == f"lisaxl, {class_word}, smile"


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("", "lisaxl, woman"),
        ("smile", "lisaxl, woman, smile"),
        ("lisaxl, woman, smile", "lisaxl, woman, smile"),
        ("LisaXL, Woman, smile", "lisaxl, woman, smile"),
        ("lisaxl woman, smile", "lisaxl, woman, smile"),
        ("smile, woman, lisaxl", "lisaxl, woman, smile"),
        ("woman, lisaxl, lisaxl, smile", "lisaxl, woman, smile"),
        ("smile,,hat , ,", "lisaxl, woman, smile, hat"),
        ("smile，hat", "lisaxl, woman, smile, hat"),
        ("smile\nhat", "lisaxl, woman, smile, hat"),
        ("a woman sits\non a bench", "lisaxl, woman, a woman sits on a bench"),
        ("smile,\nhat on\nhead", "lisaxl, woman, smile, hat on head"),
        ("1,000 or 0,5，1girl,2girls,3", "lisaxl, woman, 1,000 or 0,5, 1girl, 2girls, 3"),
        ("1,2girls,1,000,000 books", "lisaxl, woman, 1, 2girls, 1,000,000 books"),
        ("LISAXL\u200d, \u200d, hat", "lisaxl, woman, hat"),
        ("A man, woman, and child.", "lisaxl, woman, A man, woman, and child."),
        ("lisaxl, woman, woman, and a child", "lisaxl, woman, woman, and a child"),
        ("smile, woman, On the sofa, woman, and dog.", "lisaxl, woman, smile, On the sofa, woman, and dog."),
        ("a photo of lisaxl, laughing", "lisaxl, woman, a photo of lisaxl, laughing"),
        ("Lisa's 1,000 books. She reads; it rains!", "lisaxl, woman, Lisa's 1,000 books. She reads; it rains!"),
        ("ha\u202et \u200b\x07on", "lisaxl, woman, hat on"),
        ("womanly hat", "lisaxl, woman, womanly hat"),
        ("(o)_(o), ^_^", "lisaxl, woman, (o)_(o), ^_^"),
        ("👩\u200d🎨 painting", "lisaxl, woman, 👩\u200d🎨 painting"),
    ],
)
def test_what_is_typed_and_what_is_stored(typed, stored):
    assert clean_caption(typed, "lisaxl", "woman") == stored


@pytest.mark.parametrize("trigger", ["ohwx1", "lisa_v2", "123", "a_1"])
def test_no_digit_hides_the_trigger(trigger):
    """kohya's files have no space behind commas."""
    for comma in ",，":
        tags = [trigger, "1girl", "2020", trigger, "1", "smile"]
        assert clean_caption(comma.join(tags), trigger, "woman").split(", ")[:3] == [trigger, "woman", "1girl"]
        assert trigger not in clean_caption(comma.join(tags), trigger, "").split(",", 1)[1].replace("，", ",").split(
            ","
        )
    assert clean_caption("costs 123,000", "123", "woman") == "123, woman, costs 123,000"


@given(TYPED)
@example("x" * 2000)
@example("x," * 1000)
@example("ab " * 700)
def test_any_text_becomes_a_caption(typed):
    caption = clean_caption(typed, "lisaxl", "woman")
    items = [item.casefold() for item in caption.split(", ")]
    assert items[:2] == ["lisaxl", "woman"]
    assert items.count("lisaxl") == 1
    assert [item.casefold() for item in tags_of(caption.split(", ")[2:])].count("woman") == 0
    assert len(caption) <= MAX_CAPTION
    assert not any(unicodedata.category(char) in ("Cc", "Cs") or char in "\u202e\u2066\ufeff" for char in caption)
    caption.encode()
    assert clean_caption(caption, "lisaxl", "woman") == caption


@given(st.lists(st.text("abc dé.!?'", min_size=1, max_size=30), max_size=5))
def test_words_are_never_changed(parts):
    """Every word that was typed is there, in order, when none of it is the prefix."""
    words = " ".join(parts).split()
    caption = clean_caption(", ".join(parts), "lisaxl", "woman")
    assert caption.replace(",", " ").split() == ["lisaxl", "woman", *words]


@given(TYPED)
def test_a_style_may_do_without_a_class_word(typed):
    caption = clean_caption(typed, "inky", "")
    assert caption == "inky" or caption.startswith("inky, ")
    assert clean_caption(caption, "inky", "") == caption
