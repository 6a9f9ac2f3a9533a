"""A1111's prompt syntax, written out; the first cases are the examples of its own documentation."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainer.contract.prompts import as_prompt
from trainer.errors import BadSample
from trainer.model.chunks import Piece
from trainer.sampling.prompt import MOST_WEIGHT, LoraTag, lora_tags, sections_of


def pieces(prompt):
    [section] = sections_of(prompt)
    return [(piece.text, round(piece.weight, 4)) for piece in section]


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("normal text", [("normal text", 1)]),
        ("an (important) word", [("an ", 1), ("important", 1.1), (" word", 1)]),
        ("(unbalanced", [("unbalanced", 1.1)]),
        (r"\(literal\]", [("(literal]", 1)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ("a ", 1),
                ("house", 1.573),
                (" ", 1.1),
                ("on", 1),
                (" a ", 1.1),
                ("hill", 0.55),
                (", sun, ", 1.1),
                ("sky", 1.4641),
                (".", 1.1),
            ],
        ),
        ("((cat))", [("cat", 1.21)]),
        ("[cat]", [("cat", 0.9091)]),
        ("[[cat]]", [("cat", 0.8264)]),
        ("(cat:1.2)", [("cat", 1.2)]),
        ("(cat : 1.2 )", [("cat ", 1.2)]),
        ("(cat:-0.5)", [("cat", -0.5)]),
        ("(cat:.5)", [("cat", 0.5)]),
        ("(a [b] c:2)", [("a ", 2), ("b", 1.8182), (" c", 2)]),
        ("(((a)", [("a", 1.331)]),
        ("[a", [("a", 0.9091)]),
        ("a) b] c", [("a) b] c", 1)]),
        ("cat:1.2) dog", [("cat:1.2) dog", 1)]),
        ("[cat:1.2]", [("cat:1.2", 0.9091)]),
        ("(cat:1.2.3)", [("cat:1.2.3", 1.1)]),
        ("(cat:)", [("cat:", 1.1)]),
        ("12:30", [("12:30", 1)]),
        (r"star \(symbol\), (\(x\):1.5)", [("star (symbol), ", 1), ("(x)", 1.5)]),
        (r"a \\ b \ c", [("a \\ b  c", 1)]),
        ("(a:1e9)", [("a:1e9", 1.1)]),
        (f"(a:{'9' * 400})", [("a", 100)]),
        ("((" * 5000 + "a", [("a", 100)]),
        (f"((a:0):{'9' * 400})", [("a", 0)]),
        ("()", []),
        ("", []),
    ],
)
def test_weights_are_a1111s(prompt, wanted):
    assert pieces(prompt) == [(text, pytest.approx(weight)) for text, weight in wanted]


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("cat BREAK dog", [["cat"], ["dog"]]),
        ("cat\nBREAK\ndog", [["cat"], ["dog"]]),
        ("BREAK dog", [[], ["dog"]]),
        ("cat BREAK", [["cat"], []]),
        ("cat BREAK BREAK dog", [["cat"], [], ["dog"]]),
        ("BREAKFAST break", [["BREAKFAST break"]]),
    ],
)
def test_break_begins_a_section(prompt, wanted):
    assert [[piece.text for piece in section] for section in sections_of(prompt)] == wanted


def test_a_break_within_brackets_is_one():
    assert sections_of("(cat BREAK dog:1.5)") == ((Piece("cat", 1.5),), (Piece("dog", 1.5),))


SYNTAX = st.lists(
    st.sampled_from(
        [*"()[]\\:<>,. |", "1.2", ":1.3)", "BREAK", " BREAK ", "<lora:a:1>", "<lora:", "cat", "9" * 30, "é🙂"]
    )
    | st.text(max_size=5)
).map("".join)
"""Texts in which much has a meaning."""


@given(SYNTAX)
@example("<<lora:a:1>>")
@example("((a:0):" + "9" * 400 + ")")
def test_any_text_is_a_prompt(text):
    for section in sections_of(text):
        assert all(piece.text and abs(piece.weight) <= MOST_WEIGHT for piece in section)
    with suppress(BadSample):
        lora_tags(text)


@given(SYNTAX)
@example("a BREAK b <lora:c:1> :( star (symbol) [d] \\ \\( e:1.2)")
def test_a_caption_as_a_prompt_is_nothing_but_its_text(text):
    prompt = as_prompt(text)
    assert sections_of(prompt) == (((Piece(text),) if text else ()),)
    assert lora_tags(prompt) == ()


def test_a_caption_without_syntax_is_its_own_prompt():
    assert as_prompt("lisaxl, woman, 1girl, :d, <3, >_<, BREAKFAST") == "lisaxl, woman, 1girl, :d, <3, >_<, BREAKFAST"
    assert as_prompt("star (symbol)") == r"star \(symbol\)"


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("a <lora:lisaxl_v1:0.9> b", [LoraTag("lisaxl_v1", 0.9, 0.9)]),
        ("<lora:lisaxl_v1>", [LoraTag("lisaxl_v1", 1, 1)]),
        ("<lora:a:0.5:1>", [LoraTag("a", 0.5, 1)]),
        ("<lora:a:te=0:unet=0.8>", [LoraTag("a", 0, 0.8)]),
        ("<lora:a:0.7:unet=0.2>", [LoraTag("a", 0.7, 0.2)]),
        ("<lora:a:te=0.4>", [LoraTag("a", 0.4, 0.4)]),
        ("<lora:a:-1><lyco:b:.25> <lora:a:2>", [LoraTag("a", -1, -1), LoraTag("b", 0.25, 0.25), LoraTag("a", 2, 2)]),
        ("no tags, 3 < 4 > 2", []),
    ],
)
def test_lora_tags_are_read_and_leave_the_text(prompt, wanted):
    assert lora_tags(prompt) == tuple(wanted)
    assert all("lora" not in piece.text for section in sections_of(prompt) for piece in section)


def test_a_tag_leaves_nothing_behind_but_its_neighbours():
    assert sections_of("a <lora:x:1>(cat:1.2)") == ((Piece("a "), Piece("cat", 1.2)),)


@pytest.mark.parametrize(
    "prompt",
    [
        *("<lora:a:strong>", "<lora:a:1,2>", "<lora:a:nan>", "<lora:a:1e400>", "<lora:a:101>", "<lora:a:1:2:3>"),
        *("<lora: :1>", "<lora:a:dyn=4>", "<lora:a:>", "<lora:a:te=x>", "<hypernet:a:1>", "<lora:a:١>"),
    ],
)
def test_a_tag_that_cannot_be_followed_is_one_sentence(prompt):
    with pytest.raises(BadSample) as error:
        lora_tags(prompt)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)
    sections_of(prompt)  # its text still can be drawn
