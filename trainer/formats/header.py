"""The header of a safetensors file, read and written with the standard library alone.

A safetensors file is: 8 bytes length n (little endian), n bytes of JSON (name -> dtype, shape, data_offsets, and
`__metadata__` with texts), then the tensors' bytes (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainer.errors import LoraFileError

LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library itself."""

BYTES_OF = MappingProxyType(
    {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
    | {"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1}
)
"""Bytes per number of each dtype of a plain layout."""

_SIZES = 2**63
_DTYPE = re.compile(r"[A-Z0-9_]{1,16}")

_STRANGERS: tuple[tuple[bytes, str], ...] = (
    (
        b"PK\x03\x04",
        "is a pickle of torch.save (.pt, .ckpt) under another name; such files can run code and are refused",
    ),
    (b"\x80\x02", "is a pickle under another name; such files can run code and are refused"),
    (b"\x80\x03", "is a pickle under another name; such files can run code and are refused"),
    (b"\x80\x04", "is a pickle under another name; such files can run code and are refused"),
    (b"version https://git-lfs", "is only a Git LFS pointer; fetch the real file with git lfs pull"),
    (b"<!DOCTYPE", "is a web page; the download needs another address or a login"),
    (b"<html", "is a web page; the download needs another address or a login"),
    (b"GGUF", "is a GGUF file; take the .safetensors version"),
)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies and what it is."""

    dtype: str
    """safetensors' name, such as `F16` or `BF16`."""
    shape: tuple[int, ...]
    begin: int
    """First byte, counted from the header's end."""
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """Everything a safetensors file says before its tensors."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    data_start: int
    """Byte of the file at which the tensors begin."""
    file_bytes: int


def read_header(path: Path) -> Header:
    """The header of a safetensors file; no tensor is read.

    Raises LoraFileError with one sentence for a file that is missing, cut short, a pickle, a web page or otherwise
    not safetensors.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(64)
            length = int.from_bytes(start[:8], "little")
            _check_start(path, start, length, size)
            file.seek(8)
            raw = file.read(length)
    except OSError as error:
        raise LoraFileError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    header = Header(*_parse(path, raw), data_start=8 + length, file_bytes=size)
    promised = _bytes_promised(path, header)
    if header.data_start + promised > size:
        missing = header.data_start + promised - size
        raise LoraFileError(f"{path.name} is cut short by {missing} bytes; download or copy it again.")
    if header.data_start + promised < size:
        raise LoraFileError(f"{path.name} has bytes behind its last tensor; it is damaged, get it again.")
    return header


def _bytes_promised(path: Path, header: Header) -> int:
    """Length of the tensors' bytes; raises LoraFileError where tensors overlap or leave holes, as the library does."""
    position = 0
    for info in sorted(header.tensors.values(), key=lambda info: (info.begin, info.end)):
        if info.begin != position:
            raise LoraFileError(f"{path.name} has tensors that overlap or leave holes; it is damaged, get it again.")
        position = info.end
    return position


def _check_start(path: Path, start: bytes, length: int, size: int) -> None:
    # A header of 640 bytes begins as a pickle does: what has its JSON where it belongs is looked at as what it says.
    plausible = start[8:9] == b"{" and 8 + length <= size
    for magic, what in _STRANGERS:
        if start.startswith(magic) and not plausible:
            raise LoraFileError(f"{path.name} {what}.")
    if size < 10 or not start[8:9] == b"{" or length > LONGEST_HEADER:
        raise LoraFileError(f"{path.name} is not a safetensors file.")
    if 8 + length > size:
        raise LoraFileError(f"{path.name} is cut short within its header; download or copy it again.")


def _parse(path: Path, raw: bytes) -> tuple[Mapping[str, TensorInfo], Mapping[str, str]]:
    try:
        value = json.loads(raw)
        metadata = value.pop("__metadata__", None) or {}
        tensors = {name: _tensor_info(entry) for name, entry in value.items()}
        if not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError("metadata must be text")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LoraFileError(f"{path.name} has a damaged safetensors header; get it again.") from error
    return MappingProxyType(tensors), MappingProxyType(metadata)


def _tensor_info(entry: Mapping[str, Any]) -> TensorInfo:
    """Raises ValueError (or what a wrong type raises) unless offsets, shape and dtype are such and agree."""
    begin, end = entry["data_offsets"]
    info = TensorInfo(entry["dtype"], tuple(entry["shape"]), begin, end)
    if not all(type(number) is int and 0 <= number < _SIZES for number in (*info.shape, begin, end)) or end < begin:
        raise ValueError("sizes must be whole numbers of 64 bits")
    if not _DTYPE.fullmatch(info.dtype):
        raise ValueError("a dtype is a short name such as BF16")
    count = 1
    for side in info.shape:
        count *= side
    if info.dtype in BYTES_OF and end - begin != count * BYTES_OF[info.dtype]:
        raise ValueError("offsets do not fit the shape")
    return info


def header_bytes(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON of a header with these tensor entries; metadata sorted, so that equal input is equal bytes.

    The safetensors library writes metadata in a random order (a hash map). The length is the library's own: compact
    JSON, filled up with spaces to a multiple of 8.
    """
    value = {"__metadata__": dict(sorted(metadata.items())), **tensors} if metadata else dict(tensors)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
