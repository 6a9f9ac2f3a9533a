"""The toy SDXL's text side: two CLIP tokenizers and two CLIP text encoders, wired as SDXL wires them.

The vocabulary is SDXL's in kind: byte-level pieces, so that any text can be said, and one token for each word of the
toy world. A word it never saw, such as a trigger, becomes several pieces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from tokenizers import pre_tokenizers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from trainer.toy.avatars import GENERAL_TAGS, PEOPLE

LENGTH = 77
"""Tokens a prompt is padded or cut to, as in CLIP."""

START, END = "<|startoftext|>", "<|endoftext|>"
WORDS: tuple[str, ...] = tuple(
    dict.fromkeys(word for text in (*PEOPLE, *GENERAL_TAGS) for word in text.split() if word.isalpha())
)


@dataclass(frozen=True)
class TextSide:
    """Both tokenizers and both encoders. Hidden sizes are 64 and 96, their sum is the UNet's context width."""

    tokenizers: tuple[CLIPTokenizer, CLIPTokenizer]
    first: CLIPTextModel
    second: CLIPTextModelWithProjection

    @property
    def encoders(self) -> nn.ModuleList:
        """Both encoders as one module, for training."""
        return nn.ModuleList([self.first, self.second])


def new_tokenizers() -> tuple[CLIPTokenizer, CLIPTokenizer]:
    """Tokenizers over one vocabulary; the second pads with `!` (id 0), as SDXL's second one does."""
    vocab, merges = _vocabulary(WORDS)
    pads = (END, "!")
    first, second = (
        CLIPTokenizer(
            vocab=vocab,
            merges=merges,
            unk_token=END,
            bos_token=START,
            eos_token=END,
            pad_token=pad,
            model_max_length=LENGTH,
        )
        for pad in pads
    )
    return first, second


def _vocabulary(words: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Byte-level BPE in CLIP's form: 256 bytes, the same 256 ending a word, merges until each word is one token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _merges(words)
    pieces = [*letters, *(letter + "</w>" for letter in letters), *(left + right for left, right in merges)]
    return {piece: number for number, piece in enumerate(dict.fromkeys((*pieces, START, END)))}, merges


def _merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """The merges of byte-pair encoding (Sennrich et al. 2016), the most frequent pair first.

    Written here because the library's trainer breaks ties by chance, and then two processes disagree about ids.
    """
    split = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while pairs := Counter(pair for pieces in split for pair in pairwise(pieces)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for pieces in split:
            spots = (spot for spot, pair in reversed(list(enumerate(pairwise(pieces)))) if pair == best)
            for spot in spots:
                pieces[spot : spot + 2] = ["".join(best)]
    return merges


def new_text_side() -> TextSide:
    """Untrained encoders of three layers each, with their tokenizers."""
    tokenizers = new_tokenizers()
    common = {
        "vocab_size": len(tokenizers[0]),
        "max_position_embeddings": LENGTH,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "bos_token_id": tokenizers[0].bos_token_id,
        # Pooling looks for this id: with SDXL's old value 2 it would take the highest id instead.
        "eos_token_id": tokenizers[0].eos_token_id,
    }
    first = CLIPTextConfig(hidden_size=64, intermediate_size=256, projection_dim=64, hidden_act="quick_gelu", **common)
    second = CLIPTextConfig(hidden_size=96, intermediate_size=384, projection_dim=96, hidden_act="gelu", **common)
    return TextSide(tokenizers, CLIPTextModel(first), CLIPTextModelWithProjection(second))


def encode(text: TextSide, prompts: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor]:
    """SDXL's conditioning: `(b, 77, 160)`, both last-but-one states, and `(b, 96)`, the second's projection."""
    states: list[Tensor] = []
    pooled = torch.empty(0)
    for tokenizer, encoder in zip(text.tokenizers, (text.first, text.second), strict=True):
        ids = tokenizer(
            list(prompts), padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
        ).input_ids.to(device)
        output = encoder(ids, output_hidden_states=True)
        states.append(output.hidden_states[-2])
        if encoder is text.second:
            pooled = output.text_embeds
    return torch.cat(states, dim=-1), pooled
