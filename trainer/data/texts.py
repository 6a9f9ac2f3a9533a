"""Texts as the UNet sees them: each distinct caption encoded once, or anew where the text encoders are trained."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.contract.spec import JobSpec
from trainer.model.base import BaseModel
from trainer.model.text import chunks_needed, encode_prompts, encode_with_gradients

Encode = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
"""Prompts to embeddings `(n, 77 k, c)` of k chunks, and pooled embeddings `(n, p)`."""

KEPT = 1024
"""Changing captions kept at most (0.65 MB a chunk each on SDXL in fp32); the least used goes first."""
CHUNK = 75
"""Tokens of a chunk."""


class Texts(Protocol):
    """Embeddings by caption, on the device."""

    def keep(self, caption: str) -> None:
        """Make ready for a caption that will be asked for in many steps."""

    def embeddings(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Embeddings `(n, 77 k, c)` of k chunks, and pooled embeddings `(n, p)`."""


def texts_for(base: BaseModel, spec: JobSpec, config: TrainConfig) -> Texts:
    """The texts of a run: encoded once and remembered, or live and with gradients where a text encoder is trained.

    All captions of a run are read in as many chunks as its longest one needs, up to `caption_tokens`: short captions
    are then seen as every loader shows short prompts, and a batch has texts of one length.
    """
    chunks = chunks_needed(base, [picture.caption for picture in spec.pictures], int(config.caption_tokens) // CHUNK)
    if trains_text(config):
        return LiveTexts(partial(encode_with_gradients, base, chunks=chunks))
    return TextCache(partial(encode_prompts, base, chunks=chunks), KEPT // chunks)


def trains_text(config: TrainConfig) -> bool:
    """True where a text encoder is trained too."""
    return config.text_encoder_1 or config.text_encoder_2


class LiveTexts:
    """Every caption is encoded when it is asked for, with gradients unless the caller forbids them.

    In memory only, like all texts: a caption tells of a person, so none outlives the job's own files.
    """

    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    def keep(self, caption: str) -> None:
        """Nothing to do: tomorrow the encoders will say something else."""

    def embeddings(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """See Texts."""
        return self._encode(captions)


class TextCache:
    """Each caption is encoded once, while frozen text encoders say the same every time."""

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
        """See Texts; captions not met before are encoded now."""
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
