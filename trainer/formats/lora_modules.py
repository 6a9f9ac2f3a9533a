"""A LoRA as modules, whatever the names of the file it came from or goes to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.contract.config import FilePrecision, TrainConfig
from trainer.errors import LoraFileError

DOWN, UP, MAGNITUDE = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector.weight"
"""Ends of the names in `trainer.model.lora.lora_state`."""

DTYPES: Mapping[FilePrecision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

_CONVOLUTION = re.compile(r"\.resnets\.[0-9]+\.conv\w+$|samplers\.0\.conv$")
"""Ends of the paths of SDXL's convolutions; every other module with a LoRA is linear."""


@dataclass(frozen=True, slots=True)
class LoraModule:
    """One module's LoRA."""

    down: Tensor
    """A: `(rank, in)`, or `(rank, in, k, k)` of a convolution."""
    up: Tensor
    """B: `(out, rank)`, or `(out, rank, 1, 1)`."""
    alpha: float
    """B A counts alpha / rank times."""
    magnitudes: Tensor | None = None
    """DoRA's, one for each output, `(out,)`; None without DoRA."""

    @property
    def rank(self) -> int:
        """Inner width."""
        return self.down.shape[0]


LoraModules = dict[str, LoraModule]
"""By `<part>.<module path>`, as in `trainer.model.lora.lora_state`."""


def trained_modules(state: Mapping[str, Tensor], config: TrainConfig) -> LoraModules:
    """The modules of a run's `lora_state`, in the numbers they are kept in.

    A and B are rounded to `config.file_precision`; magnitudes stay in fp32 (a rounded one would lengthen or shorten a
    whole row of the base). A rank-stabilised alpha is told as alpha x sqrt(rank), so that whoever computes alpha / rank
    gets the scale that was trained. Raises LoraFileError when a part of a module is missing or is no part of one.
    """
    dtype = DTYPES[config.file_precision]
    modules: LoraModules = {}
    for name, parts in sorted(grouped(state).items()):
        kept = {end: _plain(part, torch.float32 if end == MAGNITUDE else dtype) for end, part in parts.items()}
        modules[name] = checked_module(name, kept, file_alpha(parts[DOWN], config) if DOWN in parts else 0.0)
    return modules


def file_alpha(down: Tensor, config: TrainConfig) -> float:
    """The alpha a file tells for a module trained with these settings, from its A."""
    alpha = config.conv_alpha if down.shape[2:] not in ((), (1, 1)) else config.alpha
    return alpha * math.sqrt(down.shape[0]) if config.rank_stabilised else alpha


def grouped(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """`{module: {DOWN, UP or MAGNITUDE: tensor}}`; raises LoraFileError for a name with another end."""
    modules: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        end = next((end for end in (DOWN, UP, MAGNITUDE) if name.endswith(end)), None)
        if end is None:
            raise LoraFileError(f"{name!r} is not a LoRA matrix; lora_A.weight and lora_B.weight are.")
        modules.setdefault(name.removesuffix(end), {})[end] = tensor
    return modules


def checked_module(name: str, parts: Mapping[str, Tensor], alpha: float | None) -> LoraModule:
    """A module from its parts (as in `grouped`), with shapes as in LoraModule.

    Without an alpha it acts at strength 1, as if alpha were the rank: that is how sd-scripts (networks/lora.py,
    LoRAModule), ComfyUI (comfy/weight_adapter/lora.py) and A1111 (extensions-builtin/Lora/network.py) take a file.
    Linear layers that a file keeps as 1x1 convolutions become linear again. Raises LoraFileError when a matrix is
    missing, or when shapes do not fit each other.
    """
    if not {DOWN, UP} <= parts.keys():
        raise LoraFileError(f"the LoRA of {name!r} lacks one of its two matrices.")
    down, up, magnitudes = parts[DOWN], parts[UP], parts.get(MAGNITUDE)
    dimensions = 4 if _CONVOLUTION.search(name) else 2
    if dimensions == 2:
        down, up = (half[:, :, 0, 0].contiguous() if half.shape[2:] == (1, 1) else half for half in (down, up))
    fits = down.dim() == up.dim() == dimensions and up.shape[1] == down.shape[0] and up.shape[2:] in ((), (1, 1))
    if not fits or 0 in (*down.shape, *up.shape):
        raise LoraFileError(
            f"the two matrices of {name!r} do not fit each other: {tuple(down.shape)} and {tuple(up.shape)}."
        )
    if magnitudes is not None:
        if magnitudes.numel() != up.shape[0]:
            raise LoraFileError(
                f"the DoRA of {name!r} has {magnitudes.numel()} magnitudes for {up.shape[0]} outputs; "
                "only magnitudes of outputs are read (LyCORIS: wd_on_output)."
            )
        magnitudes = magnitudes.flatten()
    return LoraModule(down, up, float(down.shape[0]) if alpha is None else alpha, magnitudes)


def alpha_of(name: str, tensor: Tensor) -> float:
    """The number in an alpha's tensor; raises LoraFileError when it is none."""
    if tensor.numel() != 1 or not math.isfinite(float(tensor)):
        raise LoraFileError(f"the alpha of {name!r} is not a number.")
    return float(tensor)


def _plain(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to("cpu", dtype).contiguous()
