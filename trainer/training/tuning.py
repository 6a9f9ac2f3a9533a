"""A UNet fitted to its device and to the batches to come, before its LoRA is attached; only roundings change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel

from trainer.contract.config import TrainConfig
from trainer.contract.limits import LATENT_FACTOR
from trainer.data.buckets import Bucket
from trainer.data.sampler import Batch
from trainer.model.compiling import compile_blocks, is_worth_compiling
from trainer.model.layout import choose_layout
from trainer.planning.way import Way

Kinds = Counter[tuple[Bucket, int]]
"""Sizes of pictures, and how many of them go through the UNet together; how often."""
FEW_KINDS = 4
"""Up to so many kinds cuDNN's trials of its algorithms, anew for each, are soon made up for."""


def kinds_of(batches: Sequence[Batch], buckets: Sequence[Bucket], way: Way) -> Kinds:
    """What goes through the UNet in these batches of pictures of the buckets."""
    return Counter((buckets[batch[0]], pictures) for batch in batches for pictures in way.sizes(len(batch)))


def tune(unet: UNet2DConditionModel, kinds: Kinds, config: TrainConfig, device: torch.device, steps: int) -> None:
    """Choose cuDNN's and the UNet's ways on a GPU, and compile its blocks where a run of so many steps is worth it.

    The UNet is still frozen: what is tried leaves no gradient on a weight, and a LoRA's own convolutions stay as they
    are.
    """
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = len(kinds) <= FEW_KINDS
        [((bucket, pictures), _)] = kinds.most_common(1)
        choose_layout(unet, (bucket.width // LATENT_FACTOR, bucket.height // LATENT_FACTOR), pictures)
    if is_worth_compiling(config, device, steps, kinds):
        compile_blocks(unet, kinds)
