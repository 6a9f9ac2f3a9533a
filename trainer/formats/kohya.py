"""The tensors of a kohya (sd-scripts) SDXL LoRA file, as A1111, ComfyUI and diffusers read it; names: `kohya_names`.

Each module has `.lora_down.weight` and `.lora_up.weight`, `.alpha` (one number; strength is alpha / rank), and with
DoRA `.dora_scale`: one magnitude for each output, shaped `(out, 1)` or `(out, 1, 1, 1)` so that it fits the weight.

That is LyCORIS's form with wd_on_output, and who reads it so draws what was trained. Others do not, and nothing in a
file could tell them otherwise (the tests show by how much):
- ComfyUI (comfy/weight_adapter/base.py, weight_decompose) divides by the lengths of the base's rows, not of the trained
  ones: nearly the same for a LoRA that changes little;
- A1111 1.10 (extensions-builtin/Lora/network.py, apply_weight_decompose) takes a magnitude to be one of an input, which
  is something else altogether;
- diffusers 0.42 leaves `.dora_scale` of an SDXL file out with a warning; `convert` to its own form loads exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.errors import LoraFileError
from trainer.formats import lora_modules
from trainer.formats.kohya_names import kohya_name, module_path
from trainer.formats.lora_modules import LoraModule, LoraModules, alpha_of, checked_module

DOWN, UP, ALPHA, DORA = ".lora_down.weight", ".lora_up.weight", ".alpha", ".dora_scale"
_ENDS = (DOWN, UP, ALPHA, DORA)
_OURS = {DOWN: lora_modules.DOWN, UP: lora_modules.UP, DORA: lora_modules.MAGNITUDE}


def kohya_tensors(
    modules: LoraModules, *, layers_per_block: int, alpha: torch.dtype | None = torch.float32
) -> dict[str, Tensor]:
    """The tensors of a kohya file, sorted by name.

    alpha: number format of the alphas, None to leave them out. fp32 unless a file is to be made again as it was: a
    rounded alpha would scale the whole LoRA. Raises LoraFileError for a module kohya has no name for.
    """
    tensors: dict[str, Tensor] = {}
    for path, module in modules.items():
        name = kohya_name(path, layers_per_block)
        if alpha is not None:
            tensors[name + ALPHA] = torch.tensor(module.alpha, dtype=alpha)
        tensors[name + DOWN] = module.down
        tensors[name + UP] = module.up
        if module.magnitudes is not None:
            tensors[name + DORA] = module.magnitudes.view(-1, *[1] * (module.down.dim() - 1))
    return dict(sorted(tensors.items()))


def kohya_modules(tensors: Mapping[str, Tensor], *, layers_per_block: int, alpha: float | None = None) -> LoraModules:
    """The modules in a kohya file's tensors, the inverse of `kohya_tensors`.

    alpha: of modules that have none in the file; None takes their rank (see `checked_module`). Raises LoraFileError
    when a matrix is missing or does not fit the other, and for anything else than LoRAs of SDXL's modules.
    """
    strangers = [name for name in tensors if not name.endswith(_ENDS)]
    names = {name.removesuffix(end) for name in tensors for end in _ENDS if name.endswith(end)}
    if strangers or not names:
        raise LoraFileError(f"not a kohya LoRA of SDXL: it holds {(strangers or ['nothing'])[0]!r}.")
    paths = {name: module_path(name, layers_per_block) for name in sorted(names)}
    if twice := [path for path, count in Counter(paths.values()).items() if count > 1]:
        raise LoraFileError(f"the module {twice[0]!r} is in it twice, under two names.")
    return {path: _module(name, path, tensors, alpha) for name, path in paths.items()}


def _module(name: str, path: str, tensors: Mapping[str, Tensor], alpha: float | None) -> LoraModule:
    if name + ALPHA in tensors:
        alpha = alpha_of(name, tensors[name + ALPHA])
    parts = {ours: tensors[name + end] for end, ours in _OURS.items() if name + end in tensors}
    return checked_module(path, parts, alpha)
