"""What the UNet is told while it draws: prompts, what to avoid, and the picture's size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.model.base import BaseModel
from trainer.model.chunks import Sections
from trainer.model.text import chunks_needed, encode_weighted

TOGETHER = 2
"""Pictures drawn at once; guidance doubles them. Training fits with 5 and gradients, so this always does."""


@dataclass(frozen=True, slots=True)
class Conditioning:
    """Of a few pictures that are drawn at once; with guidance the rows of the negative prompt come first."""

    pictures: range
    """Their places among all."""
    text: Tensor
    """`(2n, 77 * chunks, 2048)` on SDXL, or `(n, …)` without guidance."""
    pooled: Tensor
    """`(2n, 1280)` on SDXL."""
    time_ids: Tensor
    """`(2n, 6)` fp32: original height and width, crop top and left, target height and width, in pixels."""


def conditionings(
    base: BaseModel, prompts: Sequence[Sections], negative: Sections | None, size: tuple[int, int]
) -> list[Conditioning]:
    """Conditionings of all pictures in their order, a few pictures each; without guidance `negative` is None.

    size: width and height in pixels. Prompt and negative prompt are filled with empty chunks to the longer one's
    number. Pictures of different numbers are never drawn together: a longer neighbour would change a picture.
    """
    avoided = [] if negative is None else [negative]
    numbers = [chunks_needed(base, [prompt, *avoided]) for prompt in prompts]
    width, height = size
    built = []
    for pictures in _runs(numbers):
        chunks = numbers[pictures.start]
        text, pooled = encode_weighted(base, [prompts[picture] for picture in pictures], chunks=chunks)
        if negative is not None:
            no_text, no_pooled = _avoided(base, negative, text, pooled, chunks)
            text, pooled = torch.cat([no_text, text]), torch.cat([no_pooled, pooled])
        # Always fp32: bf16 has 8 bits, not enough for every size.
        time_ids = torch.tensor([height, width, 0, 0, height, width], device=text.device, dtype=torch.float32)
        built.append(Conditioning(pictures, text, pooled, time_ids.expand(len(text), -1)))
    return built


def _runs(numbers: Sequence[int]) -> Iterator[range]:
    """Neighbours with the same number, at most TOGETHER of them."""
    first = 0
    while first < len(numbers):
        last = first + 1
        while last < len(numbers) and last - first < TOGETHER and numbers[last] == numbers[first]:
            last += 1
        yield range(first, last)
        first = last


def _avoided(base: BaseModel, negative: Sections, text: Tensor, pooled: Tensor, chunks: int) -> tuple[Tensor, Tensor]:
    """What stands for the negative prompt, shaped as `text` and `pooled`.

    An empty one is what the base was trained with as "no prompt": zeros for SDXL (as in A1111), the encoders' answer
    for a model trained with empty captions.
    """
    if not any(negative) and base.zeros_for_empty_prompt:
        return torch.zeros_like(text), torch.zeros_like(pooled)
    no_text, no_pooled = encode_weighted(base, [negative], chunks=chunks)
    return no_text.expand_as(text), no_pooled.expand_as(pooled)
