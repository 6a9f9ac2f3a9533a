"""Text conditioning of SDXL: what the UNet sees of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.model.base import BaseModel


@torch.no_grad()
def encode_prompts(base: BaseModel, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Embeddings of prompts, as SDXL's UNet takes them (Podell et al. 2023, arXiv:2307.01952, section 2.1).

    Both encoders' penultimate hidden states are joined along the channels; the second encoder's projection of its
    end token is the pooled embedding. Prompts beyond the tokenizers' length are cut, as diffusers does.

    Returns `(n, 77, 768 + 1280)` and `(n, 1280)` on SDXL, on the encoders' device and in their number format.
    """
    hidden_1, _ = _encode(base.tokenizer, base.text_encoder, prompts)
    hidden_2, pooled = _encode(base.tokenizer_2, base.text_encoder_2, prompts)
    return torch.cat([hidden_1, hidden_2], dim=-1), pooled


def _encode(tokenizer: Any, encoder: Any, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Penultimate hidden states `(n, 77, width)` and the encoder's first output (the projection, where it has one)."""
    tokens = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    output = encoder(tokens.input_ids.to(encoder.device), output_hidden_states=True)
    return output.hidden_states[-2], output[0]
