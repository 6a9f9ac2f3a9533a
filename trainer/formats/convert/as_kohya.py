"""kohya's form: one file, `.alpha` beside each pair, two hashes in the metadata.

Own: `alpha`, the alphas' number format, empty where there are none, and `hashes`, the `sshs_*` entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.errors import LoraFileError
from trainer.formats.convert.lora import MEMORY, Lora, at_strength_1, memory_entry, own_of, remembered
from trainer.formats.kohya import ALPHA, DOWN, kohya_modules, kohya_tensors
from trainer.formats.lora_file import LoraFile, file_bytes, lora_bytes

LAYERS_PER_BLOCK = 2
"""SDXL's; every fine-tune of it has the same."""

_HASHES = ("sshs_model_hash", "sshs_legacy_hash")
_FORMATS: Mapping[str, torch.dtype] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32)
}


def read(file: LoraFile, alpha: float | None) -> Lora:
    """The LoRA in a kohya file; `alpha` is taken for modules without one, else their rank. Raises LoraFileError."""
    modules = kohya_modules(file.tensors, layers_per_block=LAYERS_PER_BLOCK, alpha=alpha)
    without = {name.removesuffix(DOWN) + ALPHA for name in file.tensors if name.endswith(DOWN)} - file.tensors.keys()
    return Lora(
        modules=modules,
        metadata={name: text for name, text in file.metadata.items() if name not in (*_HASHES, MEMORY)},
        form="kohya",
        own={
            "alpha": _alpha_format(file.tensors) or ("" if alpha is None else "float32"),
            "hashes": {name: file.metadata[name] for name in _HASHES if name in file.metadata},
        },
        memory=remembered(file.metadata),
        without_alpha=len(without) if alpha is None else 0,
    )


def written(lora: Lora) -> bytes:
    """The file; raises LoraFileError for a module kohya has no name for."""
    own = own_of(lora, "kohya")
    left_out = own.get("alpha") == "" and at_strength_1(lora.modules)
    dtype = None if left_out else _FORMATS.get(str(own.get("alpha")), torch.float32)
    tensors = kohya_tensors(lora.modules, layers_per_block=LAYERS_PER_BLOCK, alpha=dtype)
    metadata = {**lora.metadata, **memory_entry(lora, "kohya")}
    if "hashes" not in own:
        return lora_bytes(tensors, metadata)
    return file_bytes(tensors, {**metadata, **_texts(own["hashes"])})


def _alpha_format(tensors: Mapping[str, Tensor]) -> str:
    """The alphas' number format, empty without alphas; raises LoraFileError when they have several."""
    formats = {str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items() if name.endswith(ALPHA)}
    if len(formats) > 1:
        raise LoraFileError(f"its alphas have several number formats: {', '.join(sorted(formats))}.")
    return formats.pop() if formats else ""


def _texts(value: Any) -> dict[str, str]:
    """The remembered hashes, as far as they are texts: a file's metadata is anybody's."""
    known = value if isinstance(value, dict) else {}
    return {name: text for name in _HASHES if isinstance(text := known.get(name), str)}
