"""Chunks of a prompt, written out: A1111's rules of where a full one ends and what BREAK does."""

from itertools import chain

import pytest

from trainer.formats.clip_bpe import END, clip_tokenizer
from trainer.model.chunks import Piece, chunks_of, padded, plain


@pytest.fixture(scope="module")
def tokenizer():
    return clip_tokenizer(END)


def texts(tokenizer, sections, most=None):
    return [[tokenizer.decode([token]) for token, _ in chunk] for chunk in chunks_of(tokenizer, sections, most)]


def tags(count):
    """That many tokens of words and commas in turn: `cat , cat , …`."""
    return "cat, " * (count // 2) + "cat" * (count % 2)


def test_a_short_prompt_is_one_chunk_and_so_is_none(tokenizer):
    assert texts(tokenizer, plain("a cat")) == [["a", "cat"]]
    assert texts(tokenizer, plain("")) == [[]]
    assert texts(tokenizer, ((),)) == [[]]


@pytest.mark.parametrize(
    ("prompt", "sizes"),
    [
        ("cat " * 75, [75]),
        ("cat " * 76, [75, 1]),
        ("cat " * 151, [75, 75, 1]),
        (tags(75) + " dog", [74, 2]),  # the comma before the last word: that word moves on
        ("cat " * 55 + ", " + "dog " * 20, [56, 20]),  # a comma 20 tokens before the end is near enough …
        ("cat " * 54 + ", " + "dog " * 21, [75, 1]),  # … and one before that is not
        ("cat " * 74 + ", dog", [75, 1]),  # the chunk ends with its comma: nothing moves
        ("cat " * 60 + ", " + "dog " * 14 + ", cat", [75, 2]),  # a comma that no longer fits takes nothing with it
    ],
)
def test_a_full_chunk_ends_behind_a_comma_near_its_end(tokenizer, prompt, sizes):
    chunks = texts(tokenizer, plain(prompt))
    assert [len(chunk) for chunk in chunks] == sizes
    words = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert list(chain(*chunks)) == [tokenizer.decode([token]) for token in words]  # nothing lost, nothing doubled


@pytest.mark.parametrize(("most", "sizes"), [(1, [75]), (2, [56, 75]), (3, [56, 75, 20])])
def test_a_limit_cuts_the_end_and_fills_the_last_chunk(tokenizer, most, sizes):
    prompt = "cat " * 55 + ", " + "dog " * 95
    assert [len(chunk) for chunk in texts(tokenizer, plain(prompt), most)] == sizes


@pytest.mark.parametrize(
    ("sections", "chunks"),
    [
        (["cat", "dog"], [["cat"], ["dog"]]),
        (["", "dog"], [[], ["dog"]]),
        (["cat", "", "dog"], [["cat"], [], ["dog"]]),
        (["cat", ""], [["cat"]]),  # a BREAK at the end begins nothing
        (["", ""], [[]]),
    ],
)
def test_a_section_begins_a_chunk(tokenizer, sections, chunks):
    assert texts(tokenizer, tuple((Piece(text),) for text in sections)) == chunks
    assert len(texts(tokenizer, tuple((Piece(text),) for text in sections), most=1)) == 1


def test_weights_stay_with_their_tokens_when_these_move(tokenizer):
    sections = ((Piece("cat " * 60 + ","), Piece("dog " * 20, 1.3)),)
    first, second = chunks_of(tokenizer, sections)
    assert [weight for _, weight in first] == [1.0] * 61
    assert [weight for _, weight in second] == [1.3] * 20


@pytest.mark.parametrize("pad", [END, "!"])
def test_a_chunk_is_padded_as_the_tokenizer_itself_does(pad):
    tokenizer = clip_tokenizer(pad)
    for prompt in ("", "a cat", "cat " * 75):
        [chunk] = chunks_of(tokenizer, plain(prompt))
        theirs = tokenizer(prompt, padding="max_length", max_length=77, truncation=True)["input_ids"]
        assert [token for token, _ in padded(tokenizer, chunk)] == theirs
