"""Texts: which are remembered, which are live, and how many chunks they have."""

import pytest
import torch

from tests.trainer.contract.jobs import make_spec
from tests.trainer.jobs import SMALL
from trainer.contract.config import TrainConfig
from trainer.contract.spec import PictureSpec
from trainer.data.texts import TextCache, texts_for
from trainer.model.base import load_base
from trainer.model.lora import attach_lora
from trainer.model.text import encode_prompts


def test_captions_known_beforehand_are_never_encoded_again_however_many_they_are():
    asked = []

    def encode(prompts):
        asked.extend(prompts)
        return torch.zeros(1, 77, 2), torch.zeros(1, 3)

    cache = TextCache(encode, kept=1)
    captions = [str(number) for number in range(5)]
    for caption in [*captions, "0"]:
        cache.keep(caption)
    cache.embeddings(captions)
    cache.embeddings(captions)
    assert asked == captions


def test_each_text_is_encoded_once_and_the_oldest_forgotten():
    asked = []

    def encode(prompts):
        asked.extend(prompts)
        return torch.full((1, 77, 2), float(len(asked))), torch.full((1, 3), float(len(asked)))

    cache = TextCache(encode, kept=2)
    text, pooled = cache.embeddings(["a", "b", "a"])
    assert text[:, 0, 0].tolist() == pooled[:, 0].tolist() == [1.0, 2.0, 1.0]
    cache.embeddings(["c"])
    assert asked == ["a", "b", "c"]
    cache.embeddings(["a"])
    assert asked == ["a", "b", "c"]
    cache.embeddings(["b"])
    assert asked == ["a", "b", "c", "b"]


# --- of a real base ---------------------------------------------------------------------------------------------------
LONG = ", ".join(f"tag {word}" for word in "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")
"""Twice as many tokens as a chunk holds, and a few more."""


@pytest.fixture
def base(tiny_sdxl):
    return load_base(str(tiny_sdxl), device=torch.device("cpu"), dtype=torch.float32)


def spec(*captions):
    pictures = tuple(PictureSpec(file=f"{n:064x}.png", caption=text) for n, text in enumerate(captions))
    return make_spec([], pictures=pictures)


@pytest.mark.parametrize(
    ("tokens", "captions", "chunks"),
    [("225", ["a"], 1), ("225", ["a", LONG], 3), ("150", ["a", LONG], 2), ("75", ["a", LONG], 1)],
)
def test_a_run_reads_its_captions_in_as_many_chunks_as_the_longest_needs(base, tokens, captions, chunks):
    hidden, _ = texts_for(base, spec(*captions), TrainConfig(caption_tokens=tokens)).embeddings(captions)
    assert hidden.shape[:2] == (len(captions), 77 * chunks)
    for row, caption in enumerate(captions):
        assert hidden[row].equal(encode_prompts(base, [caption], chunks=chunks)[0][0])


@pytest.mark.parametrize("encoder", ["text_encoder_1", "text_encoder_2"])
def test_a_trained_text_encoder_is_asked_anew_and_learns(base, encoder):
    config = TrainConfig.from_mapping({**SMALL, encoder: True})
    weights = attach_lora(base, config, 0, dtype=torch.float32)
    texts = texts_for(base, spec("a", "b"), config)
    texts.keep("a")
    first, pooled = texts.embeddings(["a", "b"])
    (first.square().sum() + pooled.square().sum()).backward()
    own = {name: weight for name, weight in weights.items() if name.startswith("text_encoder")}
    assert any(weight.grad is not None and weight.grad.any() for weight in own.values())
    with torch.no_grad():
        for weight in own.values():
            weight.add_(0.1)
    assert not texts.embeddings(["a", "b"])[0].equal(first)


def test_a_frozen_text_encoder_gives_no_gradients(base):
    assert not texts_for(base, spec("a"), TrainConfig()).embeddings(["a"])[0].requires_grad
