"""Text conditioning of SDXL: what the UNet sees of a prompt (Podell et al. 2023, arXiv:2307.01952, section 2.1).

Both encoders' penultimate hidden states are joined along the channels; the second encoder's projection of the end
token of the first chunk is the pooled embedding. A long prompt is read in chunks of 75 tokens, each with marks of its
own for begin and end, and their hidden states follow each other, as in A1111.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.model.base import BaseModel
from trainer.model.chunks import Chunk, Sections, chunks_of, padded, plain
from trainer.model.device import send


@torch.no_grad()
def encode_prompts(base: BaseModel, prompts: Sequence[str], *, chunks: int = 1) -> tuple[Tensor, Tensor]:
    """Embeddings of plain texts in which nothing has a special meaning: training captions.

    Each is read in `chunks` chunks: what does not fit is cut, and what is left over is filled with empty chunks. With
    one chunk this is what diffusers does.

    Returns `(n, 77 * chunks, 768 + 1280)` and `(n, 1280)` on SDXL, on the encoders' device and in their number format.
    """
    return encode_with_gradients(base, prompts, chunks=chunks)


def encode_with_gradients(base: BaseModel, prompts: Sequence[str], *, chunks: int = 1) -> tuple[Tensor, Tensor]:
    """As `encode_prompts`, with gradients for whatever is trained in the encoders."""
    return _encode_both(base, [plain(prompt) for prompt in prompts], chunks)


@torch.no_grad()
def encode_weighted(base: BaseModel, prompts: Sequence[Sections], *, chunks: int) -> tuple[Tensor, Tensor]:
    """Embeddings of parsed prompts, with their weights and BREAKs; shapes and `chunks` as in `encode_prompts`.

    A weight multiplies its tokens' hidden states, and each chunk's states of each encoder then get their old mean
    back (A1111's `Original` emphasis, modules/sd_emphasis.py). The pooled embedding knows no weights.
    """
    return _encode_both(base, prompts, chunks)


def chunks_needed(base: BaseModel, prompts: Sequence[Sections | str], most: int | None = None) -> int:
    """Chunks that the longest of the prompts takes in either tokenizer, at least 1 and at most `most`."""
    texts = [plain(prompt) if isinstance(prompt, str) else prompt for prompt in prompts]
    tokenizers = (base.tokenizer, base.tokenizer_2)
    return max((len(chunks_of(tokenizer, text, most)) for text in texts for tokenizer in tokenizers), default=1)


def _encode_both(base: BaseModel, prompts: Sequence[Sections], chunks: int) -> tuple[Tensor, Tensor]:
    hidden_1, _ = _encode(base.tokenizer, base.text_encoder, prompts, chunks)
    hidden_2, pooled = _encode(base.tokenizer_2, base.text_encoder_2, prompts, chunks)
    return torch.cat([hidden_1, hidden_2], dim=-1), pooled


def _encode(tokenizer: Any, encoder: Any, prompts: Sequence[Sections], chunks: int) -> tuple[Tensor, Tensor]:
    """Hidden states `(n, 77 * chunks, width)`, and the encoder's first output (the projection, where it has one)
    of each first chunk.
    """
    rows: list[Chunk] = []
    for prompt in prompts:
        own = chunks_of(tokenizer, prompt, chunks)
        rows += [padded(tokenizer, chunk) for chunk in (*own, *[[]] * (chunks - len(own)))]
    ids = torch.tensor([[token for token, _ in row] for row in rows], dtype=torch.long)
    weights = torch.tensor([[weight for _, weight in row] for row in rows], dtype=torch.float32)
    output = encoder(send(ids, encoder.device), output_hidden_states=True)
    hidden = emphasised(output.hidden_states[-2], weights)
    return hidden.reshape(len(prompts), -1, hidden.shape[-1]), output[0][::chunks]


def emphasised(hidden: Tensor, weights: Tensor) -> Tensor:
    """Hidden states `(n, 77, width)` times the tokens' weights `(n, 77)`, each row with the mean it had before.

    In fp32: the mean of 59,000 numbers around 0 is not to be had in 8 bits.
    """
    if bool((weights == 1).all()):
        return hidden
    before = hidden.float()
    weighted = before * weights.to(hidden.device)[:, :, None]
    mean, new_mean = (states.mean(dim=(1, 2), keepdim=True) for states in (before, weighted))
    return (weighted * (mean / new_mean)).to(hidden.dtype)
