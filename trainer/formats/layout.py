"""How the safetensors library lays tensors out in a file, told without copying them.

The library's own `save` joins a file in memory and keeps every other thread waiting for it; its `save_file` does not,
but writes metadata in a random order, and a LoRA's hashes must be known before its header is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

NAMES: Mapping[torch.dtype, str] = MappingProxyType(
    {
        torch.uint64: "U64",
        torch.int64: "I64",
        torch.float64: "F64",
        torch.complex64: "C64",
        torch.float32: "F32",
        torch.uint32: "U32",
        torch.int32: "I32",
        torch.bfloat16: "BF16",
        torch.float16: "F16",
        torch.uint16: "U16",
        torch.int16: "I16",
        torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
        torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
        torch.float8_e4m3fn: "F8_E4M3",
        torch.float8_e5m2: "F8_E5M2",
        torch.int8: "I8",
        torch.uint8: "U8",
        torch.bool: "BOOL",
    }
)
"""safetensors' names, in the order in which tensors of these dtypes follow each other: the widest numbers first, so
that each begins at a multiple of its width."""
_PLACES = {dtype: place for place, dtype in enumerate(NAMES)}


def laid_out(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], list[memoryview]]:
    """The header's entries without metadata, and each tensor's bytes, both in the order of the file.

    The bytes are the tensors' own memory where that is contiguous and on the CPU, copies otherwise. Raises KeyError for
    a dtype the format has no name for.
    """
    entries: dict[str, Any] = {}
    data: list[memoryview] = []
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (_PLACES[item[1].dtype], item[0])):
        piece = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
        begin, end = end, end + len(piece)
        entries[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        data.append(piece)
    return entries, data
