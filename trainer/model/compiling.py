"""Compiled transformer blocks: the UNet's 70 BasicTransformerBlocks share a few kernels, made once by torch's compiler.

Only these blocks, not the whole UNet: they are where the time goes, and compile in seconds rather than minutes
(regional compilation, diffusers' `compile_repeated_blocks`). Names of weights stay what they are.

A compiler that fails never ends a training: whatever it cannot do runs as it would have without it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import torch
import torch._dynamo
import torch._functorch.config
import torch._inductor.config
from diffusers import UNet2DConditionModel

from trainer.contract.config import TrainConfig

STATIC_SHAPES = 2
"""With more kinds of batches than these, kernels for any size are made: slightly slower, but made once."""
LIMIT = 32
"""Most variants of the block that are compiled; what comes after runs uncompiled. A variant is a width of the UNet (two
in SDXL), with gradients or without, with the LoRA or without, and each kind of batch where their sizes are fixed."""
WIDTHS = 2
"""Of SDXL's transformer blocks."""
VARIANT_STEPS = 60
"""Steps that repay the compiling of one variant. Reckoned, not measured: some 6 s for a variant, and 0.1 s saved in a
step on a fast card, where a step takes a second or less; on a slow one more is saved, so there it pays earlier. To be
measured on a card; see docs/BENCHMARKS.md."""

_log = logging.getLogger(__name__)


def expected_variants(config: TrainConfig, kinds: Collection[object]) -> int:
    """Variants of the block that a run compiles whose batches are of these kinds (see `LIMIT`).

    A step has one with the LoRA, and with preservation one without; samples and validation have one each.
    """
    sizes = len(kinds) if len(kinds) <= STATIC_SHAPES else 1
    ways = 2 if config.preservation_weight else 1
    looks = (config.sample_count > 0) + (config.validation_share > 0)
    return WIDTHS * (sizes * ways + looks)


def is_worth_compiling(config: TrainConfig, device: torch.device, steps: int, kinds: Collection[object]) -> bool:
    """Whether a run of so many steps compiles: as `config.compile` says, and where that is `auto`, runs on a GPU that
    are long enough for their variants.

    On a CPU compiled blocks were measured 7 % faster, after two minutes of compiling.
    """
    if config.compile == "auto":
        return device.type == "cuda" and steps >= VARIANT_STEPS * expected_variants(config, kinds)
    return config.compile == "on"


def compile_blocks(unet: UNet2DConditionModel, kinds: Collection[object], *, backend: str = "inductor") -> None:
    """Have the UNet's transformer blocks compiled when they are first called.

    `kinds` are the kinds of batches to come: each a size of pictures and a number of them.
    """
    # Process-wide, as torch has it; a trainer's process trains one job.
    torch._dynamo.config.suppress_errors = True
    torch._dynamo.config.recompile_limit = LIMIT
    # With the forward pass, where errors are caught; otherwise the backward pass compiles at its first call.
    torch._functorch.config.force_non_lazy_backward_lowering = True
    # Dropout then leaves out what it would have left out uncompiled.
    torch._inductor.config.fallback_random = True
    try:
        unet.compile_repeated_blocks(dynamic=len(kinds) > STATIC_SHAPES, backend=backend)
    except (RuntimeError, ValueError) as error:  # a Python that torch cannot compile for, or a UNet without such blocks
        _log.warning("training goes on uncompiled: %s", error)
