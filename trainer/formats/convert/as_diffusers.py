"""diffusers' form: one file, peft's names behind `unet.`, `text_encoder.` and `text_encoder_2.`, and in the metadata
`lora_adapter_metadata`: each part's description (see `adapter`) as JSON, its keys behind the part's name.

Without that entry diffusers takes every alpha for its rank, so that a LoRA is too strong or too weak; a file without
it is read in the same way. The older names `.lora.down.weight` are read too, never written.

Magnitudes of DoRA end in `.lora_magnitude_vector.weight` here: without `.weight`, as diffusers and peft save them
themselves, diffusers 0.42 finds the UNet's again but not the text encoders'. Both are read.

Own: `adapter`, that entry to the letter, empty where there is none; `text_model`, false when the encoders' paths lack
it; `magnitude`, the end of the magnitudes' names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from trainer.errors import LoraFileError
from trainer.formats.convert.adapter import ADAPTER, alpha_in, describe_adapter, descriptions, says_the_same
from trainer.formats.convert.lora import (
    MEMORY,
    Lora,
    Own,
    at_strength_1,
    memory_entry,
    own_of,
    part_modules,
    remembered,
)
from trainer.formats.kohya_names import kohya_name
from trainer.formats.lora_file import LoraFile, file_bytes
from trainer.formats.lora_modules import DOWN, MAGNITUDE, UP, LoraModule, LoraModules, checked_module, grouped

SHORT_MAGNITUDE = MAGNITUDE.removesuffix(".weight")
_OTHER_ENDS = {".lora.down.weight": DOWN, ".lora.up.weight": UP, SHORT_MAGNITUDE: MAGNITUDE}
_TEXT_MODEL = re.compile(r"^(text_encoder(?:_2)?)\.(?!text_model\.)")


def read(file: LoraFile, alpha: float | None) -> Lora:
    """The LoRA in a diffusers file; `alpha`, or else the rank, is taken where its metadata says no alpha.

    Raises LoraFileError.
    """
    told = descriptions(file.metadata.get(ADAPTER))
    names = {name: _TEXT_MODEL.sub(r"\1.text_model.", _usual(name)) for name in file.tensors}
    state = {names[name]: tensor for name, tensor in file.tensors.items()}
    if len(state) < len(names):
        raise LoraFileError("a module is in it twice, under two names.")
    own: Own = {
        "text_model": all(_TEXT_MODEL.match(name) is None for name in file.tensors),
        "magnitude": SHORT_MAGNITUDE if any(name.endswith(SHORT_MAGNITUDE) for name in file.tensors) else MAGNITUDE,
    }
    modules = modules_in(state, told, alpha)
    silent = {part for part in part_modules(modules) if "lora_alpha" not in told.get(part, {})}
    if alpha is None or ADAPTER in file.metadata:
        own["adapter"] = file.metadata.get(ADAPTER, "")
    return Lora(
        modules=modules,
        metadata={name: text for name, text in file.metadata.items() if name not in (ADAPTER, MEMORY)},
        form="diffusers",
        own=own,
        memory=remembered(file.metadata),
        without_alpha=sum(name.partition(".")[0] in silent for name in modules) if alpha is None else 0,
    )


def written(lora: Lora) -> bytes:
    """The file."""
    own = own_of(lora, "diffusers")
    magnitude = SHORT_MAGNITUDE if own.get("magnitude") == SHORT_MAGNITUDE else MAGNITUDE
    tensors: dict[str, Tensor] = {}
    for name, module in lora.modules.items():
        path = name if own.get("text_model", True) else name.replace(".text_model.", ".", 1)
        tensors |= {path + end: tensor for end, tensor in peft_tensors(module, magnitude).items()}
    adapter = _adapter(lora.modules, own.get("adapter"))
    return file_bytes(tensors, {**lora.metadata, **memory_entry(lora, "diffusers"), **adapter})


def peft_tensors(module: LoraModule, magnitude: str) -> dict[str, Tensor]:
    """A module's tensors in peft's shapes, by the ends of their names; magnitudes have the end `magnitude`."""
    tensors = {DOWN: module.down, UP: module.up}
    if module.magnitudes is not None:
        spatial = module.down.dim() == 4
        shaped = module.magnitudes.view(1, -1, 1, 1) if spatial else module.magnitudes
        tensors[magnitude] = shaped
    return tensors


def modules_in(
    state: Mapping[str, Tensor], descriptions: Mapping[str, Mapping[str, Any]], alpha: float | None
) -> LoraModules:
    """The modules of a `lora_state` with each part's description; `alpha` is theirs where it says none.

    Raises LoraFileError.
    """
    modules: LoraModules = {}
    for name, parts in sorted(grouped(state).items()):
        kohya_name(name, 2)  # raises for what is no module of SDXL
        part, _, path = name.partition(".")
        module = checked_module(name, parts, alpha)
        description = descriptions.get(part, {})
        if "lora_alpha" in description:
            module = replace(module, alpha=alpha_in(description, path, module.rank))
        modules[name] = module
    if not modules:
        raise LoraFileError("there is no LoRA in it.")
    return modules


def _usual(name: str) -> str:
    """A name as in `lora_state`, with its end in place of the others in use."""
    end = next((end for end in _OTHER_ENDS if name.endswith(end)), "")
    return name.removesuffix(end) + _OTHER_ENDS[end] if end else name


def _adapter(modules: LoraModules, earlier: object) -> dict[str, str]:
    """The entry for these modules: to the letter as it was earlier, or left out, where that still says the same."""
    parts = part_modules(modules)
    if earlier == "" and at_strength_1(modules):
        return {}
    if isinstance(earlier, str) and _agree(earlier, parts):
        return {ADAPTER: earlier}
    entries = {f"{part}.{key}": value for part, own in parts.items() for key, value in describe_adapter(own).items()}
    return {ADAPTER: json.dumps(entries, sort_keys=True)}


def _agree(earlier: str, parts: Mapping[str, LoraModules]) -> bool:
    try:
        told = descriptions(earlier)
    except LoraFileError:
        return False
    return told.keys() == parts.keys() and all(says_the_same(told[part], modules) for part, modules in parts.items())
