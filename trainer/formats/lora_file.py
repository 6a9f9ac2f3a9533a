"""Writing and reading LoRA files: kohya's names, safetensors, durable, the same bytes for the same input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.contract.durable import write_atomic
from trainer.errors import LoraFileError
from trainer.formats.header import header_bytes, read_header
from trainer.formats.kohya import kohya_tensors
from trainer.formats.lora_modules import trained_modules


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A LoRA file in memory."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def save_lora(
    path: Path, state: Mapping[str, Tensor], *, config: TrainConfig, layers_per_block: int, metadata: Mapping[str, str]
) -> None:
    """Write a LoRA as kohya's safetensors, atomically and durably; adds the two hashes of the tensors to the metadata.

    state: as in `trainer.model.lora.lora_state`, trained with `config`, which also says the number format. fp16, its
    default, has the size of bf16 and 3 more bits: LoRA weights lie between 1e-5 and 1, well inside its range (smaller
    ones lose at most 3e-8), bf16-trained weights fit exactly down to 8e-6, and A1111 and ComfyUI compute in fp16
    anyway. Equal input gives equal bytes. Raises LoraFileError when a weight is not finite or too large for the
    format, and ChannelError when the disk refuses.
    """
    tensors = kohya_tensors(trained_modules(state, config), layers_per_block=layers_per_block)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise LoraFileError(f"The weights of {name} are no longer numbers; train again with a lower learning rate.")
    write_atomic(path, lora_bytes(tensors, metadata))


def lora_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A kohya file whole: as `file_bytes`, with the two hashes added to the metadata."""
    entries, data = _laid_out(tensors)
    training = {name: text for name, text in metadata.items() if name.startswith("ss_")}
    hashes = tensor_hashes(header_bytes(entries, training), data)
    return b"".join((header_bytes(entries, {**metadata, **hashes}), data))


def file_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A file whole: header with sorted metadata, then the tensors as the safetensors library lays them."""
    entries, data = _laid_out(tensors)
    return b"".join((header_bytes(entries, metadata), data))


def _laid_out(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], memoryview]:
    """The header's entries without metadata, and the tensors' bytes."""
    plain = save(dict(tensors))
    length = int.from_bytes(plain[:8], "little")
    return json.loads(plain[8 : 8 + length]), memoryview(plain)[8 + length :]


def tensor_hashes(header: bytes, data: memoryview) -> dict[str, str]:
    """sd-scripts' two hashes, by which A1111 knows a LoRA (library/train_util.py, precalculate_safetensors_hashes).

    Both look at a file with `ss_*` metadata only, so that later edits of other fields leave them alone: the new one
    is the sha256 of everything behind the header; the old one of 64 kB from byte 0x100000, cut to 8 digits.
    """
    begin = 0x100000 - len(header)
    old = header[0x100000:0x110000] + bytes(data[max(begin, 0) : max(begin + 0x10000, 0)])
    return {
        "sshs_model_hash": hashlib.sha256(data).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(old).hexdigest()[:8],
    }


def read_lora(path: Path) -> LoraFile:
    """A LoRA file's tensors (as stored) and metadata; raises LoraFileError for anything that is not safetensors."""
    header = read_header(path)
    try:
        return LoraFile(load_file(path), dict(header.metadata))
    except (SafetensorError, OSError, ValueError) as error:
        raise LoraFileError(f"{path.name} is damaged; get it again.") from error
