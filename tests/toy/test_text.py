"""The toy tokenizers take any text, as CLIP's do."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.toy.text import LENGTH, WORDS, encode, new_text_side, new_tokenizers

TOKENIZERS = new_tokenizers()


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_the_toy_world_is_one_token(word: str) -> None:
    assert TOKENIZERS[0].tokenize(word) == [f"{word}</w>"]


@pytest.mark.parametrize("word", ["lisaxl", "ohwx", "zoë", "日本", "x2"])
def test_an_unknown_word_is_several_pieces_and_none_is_unknown(word: str) -> None:
    pieces = TOKENIZERS[0].tokenize(word)
    assert len(pieces) > 1
    ids = TOKENIZERS[0](word).input_ids
    assert TOKENIZERS[0].unk_token_id not in ids[1:-1]


def test_every_process_gives_a_word_the_same_ids() -> None:
    code = "from trainer.toy.text import new_tokenizers; print(new_tokenizers()[0]('boy bow lisaxl').input_ids)"
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    assert runs == {f"{TOKENIZERS[0]('boy bow lisaxl').input_ids}\n".encode()}


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_a_start_an_end_and_the_length_of_clip(text: str) -> None:
    for tokenizer in TOKENIZERS:
        ids = tokenizer(text, padding="max_length", max_length=LENGTH, truncation=True).input_ids
        assert len(ids) == LENGTH
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.eos_token_id in ids


def test_the_encoders_pool_at_the_first_end_token() -> None:
    text = new_text_side()
    assert TOKENIZERS[0].pad_token == "<|endoftext|>"
    assert TOKENIZERS[1].pad_token == "!"
    for encoder in text.encoders:
        assert encoder.config.eos_token_id == TOKENIZERS[0].eos_token_id
    with torch.no_grad():
        states, pooled = encode(text, ["woman, red hair", ""], torch.device("cpu"))
    assert states.shape == (2, LENGTH, 64 + 96)
    assert pooled.shape == (2, 96)
