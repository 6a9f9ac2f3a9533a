"""peft's form: a folder with adapter_config.json and adapter_model.safetensors, as `PeftModel.from_pretrained` takes.

One folder is one model's adapter. With text encoders there is one for each part, called `unet`, `text_encoder` and
`text_encoder_2` as in peft's own examples. Paths are those of the installed transformers' models: 5.6 and later without
`text_model` in the first encoder.

Own: `configs`, each part's adapter_config.json to the letter; `text_model`, for each part whether its paths have it;
`folders`, whether a single part has a folder of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from trainer.errors import LoraFileError
from trainer.formats.convert.adapter import PARTS, describe_adapter, says_the_same
from trainer.formats.convert.as_diffusers import SHORT_MAGNITUDE, modules_in, peft_tensors
from trainer.formats.convert.lora import MEMORY, Lora, Own, memory_entry, own_of, part_modules, remembered
from trainer.formats.lora_file import file_bytes, read_lora
from trainer.formats.lora_modules import LoraModules

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_HAS_TEXT_MODEL = {"text_encoder": False, "text_encoder_2": True}
_FIXED = {
    "peft_type": "LORA",
    "task_type": None,
    "base_model_name_or_path": None,
    "inference_mode": True,
    "bias": "none",
    "lora_dropout": 0.0,
}


def read(folder: Path, alpha: float | None) -> Lora:
    """The LoRA in a folder of peft's; `alpha` is taken where a description says none.

    Raises LoraFileError, also without any alpha: peft's own default for it is a fixed number, not the rank.
    """
    inner = {part: folder / part for part in PARTS if (folder / part / CONFIG).is_file()}
    folders = inner or {"": folder}
    modules: LoraModules = {}
    metadata: dict[str, str] = {}
    own: Own = {"configs": {}, "text_model": {}, "folders": bool(inner)}
    for named, place in folders.items():
        text, description = _config(place)
        if alpha is None and "lora_alpha" not in description:
            raise LoraFileError(f"{CONFIG} has no lora_alpha, so its strength is unknown; give it with --alpha.")
        file = read_lora(place / TENSORS)
        paths = {name: _path(name) for name in file.tensors}
        part = named or _part_of(place, paths.values())
        own["configs"][part] = text
        own["text_model"][part] = all(path.startswith("text_model.") for path in paths.values())
        state = {_full(part, path): file.tensors[name] for name, path in paths.items()}
        modules |= modules_in(state, {part: description}, alpha)
        metadata |= file.metadata
    return Lora(
        modules=dict(sorted(modules.items())),
        metadata={name: text for name, text in metadata.items() if name != MEMORY},
        form="peft",
        own=own,
        memory=remembered(metadata),
    )


def written(lora: Lora) -> dict[str, bytes]:
    """The files by their path inside the folder."""
    own = own_of(lora, "peft")
    parts = part_modules(lora.modules)
    alone = set(parts) == {"unet"} and not own.get("folders")
    metadata = {**lora.metadata, **memory_entry(lora, "peft")}
    files: dict[str, bytes] = {}
    for part, modules in parts.items():
        place = "" if alone else f"{part}/"
        files[place + CONFIG] = _config_text(modules, _entry(own, "configs", part)).encode()
        has_text_model = _entry(own, "text_model", part)
        kept = _HAS_TEXT_MODEL.get(part, True) if has_text_model is None else has_text_model
        tensors: dict[str, Tensor] = {}
        for path, module in modules.items():
            name = _PREFIX + (path if kept else path.removeprefix("text_model."))
            tensors |= {name + end: tensor for end, tensor in peft_tensors(module, SHORT_MAGNITUDE).items()}
        files[place + TENSORS] = file_bytes(tensors, metadata)
    return files


def _config(folder: Path) -> tuple[str, dict[str, Any]]:
    """adapter_config.json as text and value; raises LoraFileError when it is none of a LoRA."""
    if not (folder / TENSORS).is_file():
        raise LoraFileError(f"{folder.name} has no {TENSORS}; save the adapter with safe_serialization=True.")
    try:
        text = (folder / CONFIG).read_text(encoding="utf-8")
        value = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise LoraFileError(f"{folder.name} has no readable {CONFIG}; it is no folder of peft's.") from error
    if not isinstance(value, dict) or value.get("peft_type", "LORA") != "LORA":
        raise LoraFileError(f"{folder.name} holds another kind of adapter than LoRA.")
    return text, value


def _path(name: str) -> str:
    """The path of a tensor inside its model; raises LoraFileError for a name that is not peft's."""
    if not name.startswith(_PREFIX):
        raise LoraFileError(f"{name!r} is not one of peft's names: they begin with {_PREFIX}.")
    path = name.removeprefix(_PREFIX)
    return path if not path.endswith(SHORT_MAGNITUDE) else path + ".weight"


def _part_of(folder: Path, paths: Any) -> str:
    """Which part a folder with one adapter is of: the UNet by its blocks, a text encoder by the folder's name."""
    if any(path.startswith(("down_blocks.", "mid_block.", "up_blocks.")) for path in paths):
        return "unet"
    if folder.name in PARTS[1:]:
        return folder.name
    raise LoraFileError(
        f"{folder.name} does not say which model it belongs to; call the folder unet, text_encoder or text_encoder_2."
    )


def _full(part: str, path: str) -> str:
    return f"{part}.{path}" if part == "unet" else f"{part}.text_model.{path.removeprefix('text_model.')}"


def _config_text(modules: LoraModules, earlier: object) -> str:
    """adapter_config.json of a part: to the letter as it was earlier where that still says the same."""
    if isinstance(earlier, str):
        try:
            value = json.loads(earlier)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and says_the_same(value, modules):
            return earlier
    return json.dumps({**_FIXED, **describe_adapter(modules)}, indent=2, sort_keys=True)


def _entry(own: Mapping[str, Any], key: str, part: str) -> Any:
    """`own[key][part]` of a memory that anybody may have written; None where it is not there."""
    value = own.get(key)
    return value.get(part) if isinstance(value, dict) else None
