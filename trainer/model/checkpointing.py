"""Gradient checkpointing, block by block: what a block computed is thrown away and computed once more when the backward
pass gets there (Chen et al. 2016, arXiv:1604.06174). The numbers stay the same; only time is paid for memory.

Units are the UNet's residual blocks and transformer blocks, as diffusers checkpoints them. A unit that is compiled is
called compiled, within the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import nn
from torch.utils.checkpoint import checkpoint

UNITS = (ResnetBlock2D, BasicTransformerBlock)
_MIDDLE = "mid_block.resnets.0"
"""Called by diffusers (0.36 to 0.42) without the hook that checkpoints the others."""


def units(unet: nn.Module, *, from_start: bool = False) -> list[str]:
    """Paths of the units that save anything for the backward pass, in the order they run.

    Gradients end at the first module with a LoRA: what runs before it saves nothing, unless gradients reach it
    `from_start`, through the time embedding that a trained second text encoder has its part in.
    """
    running = list(_running(unet))
    trained = [0] if from_start else [place for place, (_, module) in enumerate(running) if _is_trained(module)]
    reached = running[trained[0] :] if trained else []
    return [path for path, module in reached if isinstance(module, UNITS) and path != _MIDDLE]


def checkpoint_units(unet: Any, paths: Collection[str], *, has_dropout: bool = False) -> None:
    """Recompute these units in the backward pass, and no others.

    With dropout the second run must leave out the same: then torch's random state is kept for it.
    """
    if not paths:
        unet.disable_gradient_checkpointing()
        return
    chosen = {id(unet.get_submodule(path)) for path in paths}

    def call(module: Callable[..., Any], *args: Any) -> Any:
        if id(module) not in chosen:
            return module(*args)
        return checkpoint(module, *args, use_reentrant=False, preserve_rng_state=has_dropout)

    unet.enable_gradient_checkpointing(call)


def _running(unet: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The UNet's blocks down to units, and what lies beside them, in the order they run."""
    for path, block in _stages(unet):
        for kind, place in _turns(block):
            yield from _parts(f"{path}.{kind}.{place}", block.get_submodule(f"{kind}.{place}"))
        for kind in ("downsamplers", "upsamplers"):
            if getattr(block, kind, None) is not None:
                yield f"{path}.{kind}", block.get_submodule(kind)


def _stages(unet: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name in ("down_blocks", "mid_block", "up_blocks"):
        stage = unet.get_submodule(name) if getattr(unet, name, None) is not None else None
        if isinstance(stage, nn.ModuleList):
            yield from ((f"{name}.{place}", block) for place, block in enumerate(stage))
        elif stage is not None:
            yield name, stage


def _turns(block: nn.Module) -> Iterator[tuple[str, int]]:
    """Residual blocks and attentions in turn; the middle begins and ends with a residual block."""
    resnets, attentions = (len(getattr(block, kind, None) or ()) for kind in ("resnets", "attentions"))
    for place in range(resnets):
        yield "resnets", place
        if place < attentions:
            yield "attentions", place


def _parts(path: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The module itself, or what a transformer consists of."""
    blocks = getattr(module, "transformer_blocks", None)
    if blocks is None:
        yield path, module
        return
    yield f"{path}.proj_in", module.get_submodule("proj_in")
    for place, block in enumerate(blocks):
        yield f"{path}.transformer_blocks.{place}", block


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
