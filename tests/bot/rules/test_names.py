"""Names that members give."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Refused
from bot.rules.consent import ATTESTATION, needs_consent
from bot.rules.names import class_word, dataset_name, kind_of, plain, shown_file, slug, trigger_word


@pytest.mark.parametrize(("typed", "word"), [("lisaxl", "lisaxl"), (" LisaXL ", "lisaxl"), ("a_1", "a_1")])
def test_a_trigger_word_is_kept_in_small_letters(typed, word):
    assert trigger_word(typed) == word


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("Lisa XL!", "lisa_xl"), ("é", "lisaxl"), ("", "lisaxl"), ("x" * 30, "x" * 24), ("Zoë-Art", "zoe_art")],
)
def test_another_trigger_word_is_refused_with_one_that_would_do(typed, hint):
    with pytest.raises(Refused, match=f"For example: {hint}\\."):
        trigger_word(typed)


@given(st.text())
def test_a_trigger_word_is_safe_wherever_it_stands(typed):
    try:
        word = trigger_word(typed)
    except Refused:
        return
    assert re.fullmatch("[a-z0-9_]{3,24}", word)


def test_class_words():
    assert class_word(" Woman ", "person") == "woman"
    assert class_word("", "style") == ""
    for wrong, kind in (("", "person"), ("", "object"), ("woman, tall", "person"), ("w" * 41, "person")):
        with pytest.raises(Refused):
            class_word(wrong, kind)


def test_dataset_names():
    assert dataset_name("  Lisa\n in \u202eParis ") == "Lisa in Paris"
    assert dataset_name("猫") == "猫"
    for wrong in ("", " ", "\u202e", "...", "x" * 61):
        with pytest.raises(Refused):
            dataset_name(wrong)


def test_kinds():
    assert kind_of("person") == "person"
    with pytest.raises(Refused, match="person, character, style, object"):
        kind_of("persona")


@given(st.text())
def test_a_slug_is_a_file_name(text):
    assert re.fullmatch("[a-z0-9_]{0,40}", slug(text))
    root = Path("/data/loras")
    assert (root / f"{slug(text)}.safetensors").resolve().parent == root


@given(st.text())
def test_plain_text_is_one_visible_line(text):
    shown = plain(text)
    assert shown == plain(shown)
    assert not re.search("[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff\n]", shown)


def test_a_file_name_in_a_sentence_can_do_nothing():
    assert shown_file("a`b`.jpg") == "`a'b'.jpg`"
    assert shown_file("gpj.\u202efdp@everyone") == "`gpj.fdp@everyone`"
    assert shown_file("") == "`a file without a name`"
    long = shown_file("x" * 300 + "-holiday-02.jpeg")
    assert len(long) <= 62
    assert long.endswith("holiday-02.jpeg`")


@given(st.text())
def test_no_file_name_leaves_its_backticks(name):
    shown = shown_file(name)
    assert shown.count("`") == 2
    assert shown[0] == shown[-1] == "`"
    assert "\n" not in shown


def test_only_people_are_asked_for_consent():
    assert needs_consent("person")
    assert not any(needs_consent(kind) for kind in ("character", "style", "object"))


def test_the_attestation_is_known_by_its_hash():
    """The text was changed? Then give it a new version and put its new hash here."""
    assert ATTESTATION.version == "2026-11"
    assert ATTESTATION.sha256 == "d8c1153a6d94e6931d99aef3e7bf1ffd2cc934c335af5fd8478c39ee1173ec38"
