"""diffusers' form: one file, peft's names behind `unet.`, `text_encoder.` and `text_encoder_2.`, and in the metadata
`lora_adapter_metadata`: each part's description (see `adapter`) as JSON, its keys behind the part's name.

Without that entry diffusers takes every alpha for its rank, so that a LoRA is too strong or too weak. The older names
`.lora.down.weight` are read too, never written.

Own: `adapter`, that entry to the letter, and `text_model`, false when the encoders' paths lack it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trainer.errors import LoraFileError
from trainer.formats.convert.adapter import alpha_in, describe_adapter, says_the_same
from trainer.formats.convert.lora import MEMORY, PARTS, Lora, memory_entry, own_of, part_modules, remembered
from trainer.formats.kohya_names import kohya_name
from trainer.formats.lora_file import LoraFile, file_bytes
from trainer.formats.lora_modules import DOWN, MAGNITUDE, UP, LoraModule, LoraModules, checked_module, grouped

ADAPTER = "lora_adapter_metadata"
_OLDER = {".lora.down.weight": DOWN, ".lora.up.weight": UP, ".lora_magnitude_vector": MAGNITUDE}
_TEXT_MODEL = re.compile(r"^(text_encoder(?:_2)?)\.(?!text_model\.)")


def read(file: LoraFile, alpha: float | None) -> Lora:
    """The LoRA in a diffusers file; `alpha` is taken where its metadata says none. Raises LoraFileError."""
    descriptions = _descriptions(file.metadata.get(ADAPTER))
    names = {name: _TEXT_MODEL.sub(r"\1.text_model.", _newer(name)) for name in file.tensors}
    state = {names[name]: tensor for name, tensor in file.tensors.items()}
    if len(state) < len(names):
        raise LoraFileError("a module is in it twice, under two names.")
    own = {"text_model": all(_TEXT_MODEL.match(name) is None for name in file.tensors)}
    return Lora(
        modules=modules_in(state, descriptions, alpha),
        metadata={name: text for name, text in file.metadata.items() if name not in (ADAPTER, MEMORY)},
        form="diffusers",
        own={**own, "adapter": file.metadata[ADAPTER]} if ADAPTER in file.metadata else own,
        memory=remembered(file.metadata),
    )


def written(lora: Lora) -> bytes:
    """The file."""
    own = own_of(lora, "diffusers")
    tensors = {}
    for name, module in lora.modules.items():
        path = name if own.get("text_model", True) else name.replace(".text_model.", ".", 1)
        tensors |= {path + end: tensor for end, tensor in peft_tensors(module).items()}
    adapter = _adapter(lora.modules, own.get("adapter"))
    return file_bytes(tensors, {**lora.metadata, **memory_entry(lora, "diffusers"), ADAPTER: adapter})


def peft_tensors(module: LoraModule) -> dict[str, Tensor]:
    """A module's tensors in peft's shapes, by the ends of peft's names in files."""
    tensors = {DOWN: module.down, UP: module.up}
    if module.magnitudes is not None:
        spatial = module.down.dim() == 4
        shaped = module.magnitudes.view(1, -1, 1, 1) if spatial else module.magnitudes
        tensors[MAGNITUDE.removesuffix(".weight")] = shaped
    return tensors


def modules_in(
    state: Mapping[str, Tensor], descriptions: Mapping[str, Mapping[str, Any]], alpha: float | None
) -> LoraModules:
    """The modules of a `lora_state` with each part's description; raises LoraFileError."""
    modules: LoraModules = {}
    for name, parts in sorted(grouped(state).items()):
        kohya_name(name, 2)  # raises for what is no module of SDXL
        part, _, path = name.partition(".")
        module = checked_module(name, parts, 0.0)
        description = descriptions.get(part)
        if description is None and alpha is None:
            raise LoraFileError(
                f"it does not say the alpha of its {part}, so its strength is unknown; give the one it was trained with."
            )
        told = alpha if description is None else alpha_in(description, path, module.rank)
        modules[name] = LoraModule(module.down, module.up, told or 0.0, module.magnitudes)
    if not modules:
        raise LoraFileError("there is no LoRA in it.")
    return modules


def _newer(name: str) -> str:
    """peft's name in place of an older one."""
    end = next((end for end in _OLDER if name.endswith(end)), "")
    return name.removesuffix(end) + _OLDER[end] if end else name


def _descriptions(text: str | None) -> dict[str, dict[str, Any]]:
    """Each part's description; raises LoraFileError when the entry is no JSON object."""
    try:
        value = json.loads(text or "{}")
        entries = [(*key.partition("."), entry) for key, entry in value.items()]
    except (ValueError, AttributeError, RecursionError) as error:
        raise LoraFileError(f"its metadata entry {ADAPTER} is damaged.") from error
    parts: dict[str, dict[str, Any]] = {}
    for part, _, key, entry in entries:
        if part in PARTS:
            parts.setdefault(part, {})[key] = entry
    return parts


def _adapter(modules: LoraModules, earlier: object) -> str:
    """The entry for these modules: to the letter as it was earlier where that still says the same."""
    parts = part_modules(modules)
    if isinstance(earlier, str) and _agree(earlier, parts):
        return earlier
    entries = {f"{part}.{key}": value for part, own in parts.items() for key, value in describe_adapter(own).items()}
    return json.dumps(entries, sort_keys=True)


def _agree(earlier: str, parts: Mapping[str, LoraModules]) -> bool:
    try:
        descriptions = _descriptions(earlier)
    except LoraFileError:
        return False
    return all(says_the_same(descriptions.get(part, {}), modules) for part, modules in parts.items())
