"""Cached texts: each distinct caption is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Encode = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
"""Prompts to embeddings `(n, 77, c)` and pooled embeddings `(n, p)`."""

KEPT = 1024
"""Shuffled variants kept at most (0.65 MB each on SDXL in fp32); the least used goes first."""


class TextCache:
    """Embeddings by caption, on the device."""

    def __init__(self, encode: Encode, kept: int = KEPT) -> None:
        self._encode = encode
        self._kept = kept
        self._known: OrderedDict[str, tuple[Tensor, Tensor]] = OrderedDict()

    def keep(self, caption: str) -> None:
        """Encode a caption now, with room of its own in the cache, so that the encoders can be put away."""
        if caption not in self._known:
            self._kept += 1
        self._one(caption)

    def embeddings(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Embeddings `(n, 77, c)` and pooled embeddings `(n, p)`; captions not met before are encoded now."""
        pairs = [self._one(caption) for caption in captions]
        return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])

    def _one(self, caption: str) -> tuple[Tensor, Tensor]:
        if caption not in self._known:
            # One at a time: a result must not depend on which captions happened to be encoded together.
            hidden, pooled = self._encode([caption])
            self._known[caption] = (hidden[0], pooled[0])
            if len(self._known) > self._kept:
                self._known.popitem(last=False)
        self._known.move_to_end(caption)
        return self._known[caption]
