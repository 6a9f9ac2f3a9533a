"""Writing and reading LoRA files: kohya's names, safetensors, durable, the same bytes for the same input."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.contract.durable import write_parts
from trainer.errors import LoraFileError
from trainer.formats.header import header_bytes, read_header
from trainer.formats.kohya import kohya_tensors
from trainer.formats.layout import laid_out
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
    anyway. Equal input gives equal bytes. Other threads go on meanwhile: hashing and writing leave the interpreter
    free, which the library's `save` does not. Raises LoraFileError when a weight is not finite or too large for the
    format, and ChannelError when the disk refuses.
    """
    tensors = kohya_tensors(trained_modules(state, config), layers_per_block=layers_per_block)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise LoraFileError(f"The weights of {name} are no longer numbers; train again with a lower learning rate.")
    write_parts(path, _lora_parts(tensors, metadata))


def lora_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A kohya file whole: as `file_bytes`, with the two hashes added to the metadata."""
    return b"".join(_lora_parts(tensors, metadata))


def file_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A file whole: header with sorted metadata, then the tensors as the safetensors library lays them."""
    entries, data = laid_out(tensors)
    return b"".join((header_bytes(entries, metadata), *data))


def _lora_parts(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> list[bytes | memoryview]:
    """What a kohya file consists of, in order; the tensors' bytes lie where they are."""
    entries, data = laid_out(tensors)
    training = {name: text for name, text in metadata.items() if name.startswith("ss_")}
    hashes = tensor_hashes(header_bytes(entries, training), data)
    return [header_bytes(entries, {**metadata, **hashes}), *data]


def tensor_hashes(header: bytes, data: Sequence[memoryview]) -> dict[str, str]:
    """sd-scripts' two hashes, by which A1111 knows a LoRA (library/train_util.py, precalculate_safetensors_hashes).

    Both look at a file with `ss_*` metadata only, so that later edits of other fields leave them alone: the new one
    is the sha256 of everything behind the header; the old one of 64 kB from byte 0x100000, cut to 8 digits.
    """
    begin, end = 0x100000, 0x110000
    start, whole = bytearray(header), hashlib.sha256()
    for piece in data:
        start += piece[: max(0, end - len(start))]
        whole.update(piece)
    return {
        "sshs_model_hash": whole.hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(start[begin:end]).hexdigest()[:8],
    }


def read_lora(path: Path) -> LoraFile:
    """A LoRA file's tensors (as stored) and metadata; raises LoraFileError for anything that is not safetensors."""
    header = read_header(path)
    try:
        return LoraFile(load_file(path), dict(header.metadata))
    except (SafetensorError, OSError, ValueError) as error:
        raise LoraFileError(f"{path.name} is damaged; get it again.") from error
