"""What is in a LoRA file, for people: ranks, alphas, modules, metadata, and what loaders will make of it.

Reads the header and the alphas only, without torch, so it answers at once.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from trainer.contract.durable import sha256_file
from trainer.errors import LoraFileError
from trainer.formats.convert.adapter import ADAPTER, alpha_in, descriptions
from trainer.formats.header import Header, TensorInfo, read_header
from trainer.formats.identify import stranger, what_is
from trainer.formats.kohya_names import module_path

_NAMINGS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "kohya": (".lora_down.weight", ".lora_up.weight"),
        "peft": (".lora_A.weight", ".lora_B.weight"),
        "diffusers": (".lora.down.weight", ".lora.up.weight"),
    }
)
"""Ends of the two matrices' names in the namings in use."""

_PARTS = (
    ("unet", re.compile(r"lora_unet_|unet\.|base_model\.model\.|(?:down|mid|up)_block")),
    ("text encoder 2", re.compile(r"lora_te2_|text_encoder_2\.")),
    ("text encoder 1", re.compile(r"lora_te1?_|text_encoder\.")),
)
_SHOWN_TEXT = 200
"""Characters of a metadata value that are shown."""

_SHOWN_NAME = 100

_MAGNITUDES = (".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight")
"""Ends of the names of DoRA's magnitudes."""


@dataclass(frozen=True, slots=True)
class LoraReport:
    """What a LoRA file holds."""

    name: str
    file_bytes: int
    sha256: str
    naming: str
    """`kohya`, `peft`, `diffusers`, or empty when no LoRA matrix was found."""
    modules: Mapping[str, int]
    """Modules per part of the model."""
    convolutions: int
    """How many of them are convolutions over more than one pixel."""
    magnitudes: int
    """How many have DoRA's magnitudes."""
    ranks: Mapping[int, int]
    """Modules per rank."""
    alphas: Mapping[float, int]
    """Modules per alpha; modules without one are not counted."""
    dtypes: tuple[str, ...]
    """Number formats of the matrices, as safetensors names them."""
    metadata: Mapping[str, str]
    warnings: tuple[str, ...]
    """What will surprise the user, one sentence each."""


def describe(path: Path) -> LoraReport:
    """The report on a LoRA file; raises LoraFileError when it is not a whole safetensors file."""
    header = read_header(path)
    naming = next((n for n, (down, _) in _NAMINGS.items() if any(t.endswith(down) for t in header.tensors)), "")
    down, up = _NAMINGS.get(naming, ("", ""))
    downs = {name.removesuffix(down): info for name, info in header.tensors.items() if down and name.endswith(down)}
    alphas = dict(_alphas(path, header)) | dict(_described_alphas(header.metadata, downs))
    magnitudes = sum(name.endswith(_MAGNITUDES) for name in header.tensors)
    return LoraReport(
        name=path.name,
        file_bytes=header.file_bytes,
        sha256=sha256_file(path),
        naming=naming,
        modules=Counter(_part(module) for module in downs),
        convolutions=sum(info.shape[2:] not in ((), (1, 1)) for info in downs.values()),
        magnitudes=magnitudes,
        ranks=Counter(info.shape[0] for info in downs.values() if info.shape),
        alphas=Counter(alpha for module, alpha in alphas.items() if module in downs),
        dtypes=tuple(
            sorted({info.dtype for name, info in header.tensors.items() if down and name.endswith((down, up))})
        ),
        metadata=header.metadata,
        warnings=(*_warnings(path, header, naming, downs, alphas), *_dora_warnings(naming, magnitudes)),
    )


def a1111_version(metadata: Mapping[str, str]) -> str:
    """The model family A1111 takes a LoRA for: its own rule (extensions-builtin/Lora/network.py).

    `Unknown` (no metadata) is shown with every model; `SD1` and `SD2` are hidden while an SDXL model is loaded.
    """
    if metadata.get("ss_base_model_version", "").startswith("sdxl_"):
        return "SDXL"
    if metadata.get("ss_v2") == "True":
        return "SD2"
    return "SD1" if metadata else "Unknown"


def inspect_text(path: Path) -> str:
    """The report as text of several lines; raises LoraFileError as `describe` does."""
    report = describe(path)
    lines = [
        f"file       {_one_line(report.name)}",
        f"size       {report.file_bytes / 1e6:.1f} MB",
        f"sha256     {report.sha256}",
        f"naming     {report.naming or 'none'}",
        f"network    {_network(report)}",
        f"modules    {sum(report.modules.values())}{_counts(report.modules, '{count} {key}')}",
        f"rank       {_values(report.ranks)}",
        f"alpha      {_values(report.alphas)}",
        f"numbers    {', '.join(report.dtypes) or 'none'}",
        f"A1111      {a1111_version(report.metadata)}",
        *(f"warning    {_one_line(warning)}" for warning in report.warnings),
        f"metadata   {len(report.metadata)} entries",
        *(f"  {name} = {_one_line(text)}" for name, text in sorted(report.metadata.items())),
    ]
    return "\n".join(lines)


def _network(report: LoraReport) -> str:
    """`LoRA`, `LoCon (38 convolutions)`, `DoRA`, `DoRA with LoCon (38 convolutions)`."""
    kinds = ["DoRA"] * bool(report.magnitudes) + [f"LoCon ({report.convolutions} convolutions)"] * bool(
        report.convolutions
    )
    return " with ".join(kinds) or ("LoRA" if report.naming else "none")


def _part(module: str) -> str:
    return next((part for part, pattern in _PARTS if pattern.match(module)), "other")


def _alphas(path: Path, header: Header) -> Iterator[tuple[str, float]]:
    """Module and value of each alpha tensor of one number."""
    with path.open("rb") as file:
        for name, info in header.tensors.items():
            if name.endswith(".alpha") and info.dtype in _NUMBERS and info.shape in ((), (1,)):
                file.seek(header.data_start + info.begin)
                yield name.removesuffix(".alpha"), _NUMBERS[info.dtype](file.read(info.end - info.begin))


def _bf16(data: bytes) -> float:
    """bf16 is the upper half of an fp32."""
    value: float = struct.unpack("<f", b"\0\0" + data)[0]
    return value


def _number(form: str) -> Callable[[bytes], float]:
    return lambda data: float(struct.unpack(form, data)[0])


_NUMBERS: Mapping[str, Callable[[bytes], float]] = MappingProxyType(
    {"F64": _number("<d"), "F32": _number("<f"), "F16": _number("<e"), "BF16": _bf16, "I64": _number("<q")}
)


def _described_alphas(metadata: Mapping[str, str], downs: Mapping[str, TensorInfo]) -> Iterator[tuple[str, float]]:
    """Module and alpha as diffusers' metadata tells them; none when that is damaged or not there."""
    try:
        parts = descriptions(metadata.get(ADAPTER))
        for module, info in downs.items():
            part, _, path = module.partition(".")
            if part in parts and info.shape:
                yield module, alpha_in(parts[part], path, info.shape[0])
    except LoraFileError:
        return


def _warnings(
    path: Path, header: Header, naming: str, downs: Mapping[str, TensorInfo], alphas: Mapping[str, float]
) -> Iterator[str]:
    if not naming:
        yield f"There is no LoRA in it: it is {what_is(path)}."
        return
    if other := stranger({name: info.shape for name, info in header.tensors.items()}):
        yield f"It is {other}, not for SDXL."
        return
    family = a1111_version(header.metadata)
    if family in ("SD1", "SD2"):
        yield f"A1111 takes it for {family} and hides it beside SDXL: ss_base_model_version is missing or not sdxl_…"
    if naming != "kohya":
        yield f"It has {naming} names; ComfyUI ignores most of them. Convert it to kohya's names."
    if missing := len(downs.keys() - alphas.keys()):
        yield f"{missing} modules have no alpha; loaders then use the strength 1, whatever it was trained with."
    if any(module.startswith("lora_te1_") and "text_model" not in module for module in downs):
        yield "The first text encoder's names lack text_model; ComfyUI ignores them. Convert it to kohya's names."
    if naming == "kohya" and (unknown := [module for module in downs if not _is_sdxl(module)]):
        yield f"{len(unknown)} modules are none of SDXL's, as {unknown[0][:_SHOWN_NAME]}."


def _dora_warnings(naming: str, magnitudes: int) -> Iterator[str]:
    if magnitudes and naming == "kohya":
        yield "A1111 reads DoRA another way and draws something else; ComfyUI comes near; diffusers wants it converted."


def _is_sdxl(module: str) -> bool:
    try:
        module_path(module, 2)
    except LoraFileError:
        return False
    return True


def _counts(counts: Mapping[str, int], form: str) -> str:
    return (
        f" ({', '.join(form.format(key=key, count=count) for key, count in sorted(counts.items()))})" if counts else ""
    )


def _values(counts: Mapping[int, int] | Mapping[float, int]) -> str:
    """`32`, or `8 (20), 16 (702)` when modules differ."""
    if len(counts) == 1:
        return f"{next(iter(counts)):g}"
    return ", ".join(f"{value:g} ({count})" for value, count in sorted(counts.items())) or "none"


def _one_line(text: str) -> str:
    """Safe to print: one line, no control characters, cut."""
    clean = "".join(character if character.isprintable() else " " for character in text[: _SHOWN_TEXT + 1])
    return clean if len(text) <= _SHOWN_TEXT else f"{clean[:_SHOWN_TEXT]}… ({len(text)} characters)"
