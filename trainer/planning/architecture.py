"""The shape of a base model, from its configs alone: no weight is read, whatever its size."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from huggingface_hub import hf_hub_download
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from trainer.errors import BadBase
from trainer.formats.base_model import check_base
from trainer.formats.single_file import sdxl_config_folder

PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


@dataclass(frozen=True, slots=True)
class Architecture:
    """Configs of SDXL's parts as JSON texts, so that what is reckoned from them can be remembered by them."""

    unet: str
    vae: str
    text_encoder: str
    text_encoder_2: str

    def config(self, part: str) -> dict[str, Any]:
        """The config of a part."""
        value: dict[str, Any] = json.loads(getattr(self, part))
        return value

    def build(self, part: str, dtype: torch.dtype = torch.float32, **changes: Any) -> nn.Module:
        """The part on torch's meta device: shapes without memory; some of its config may be changed."""
        config = {**self.config(part), **changes}
        with torch.device("meta"):
            model = _BUILD[part](config)
        # diffusers' own `to` warns of models that have parts in fp32; SDXL's have none.
        return nn.Module.to(model, dtype).requires_grad_(False).eval()


def _clip(model: Any) -> Callable[[Mapping[str, Any]], nn.Module]:
    return lambda config: model(CLIPTextConfig(**config))


_BUILD: Mapping[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "unet": UNet2DConditionModel.from_config,
    "vae": AutoencoderKL.from_config,
    "text_encoder": _clip(CLIPTextModel),
    "text_encoder_2": _clip(CLIPTextModelWithProjection),
}


def read_architecture(base: str) -> Architecture:
    """The shape of a diffusers folder, of a single file in the original layout (SDXL's own), or of a hub id.

    Raises BadBase.
    """
    path = Path(base)
    if path.exists():
        check_base(path)
        folder = path if path.is_dir() else sdxl_config_folder()
        return _read(path.name, lambda part: folder / part / "config.json")
    if base.count("/") != 1 or base.startswith((".", "/", "~")):
        raise BadBase(f"The base model {path.name!r} is not there; give a folder, a .safetensors file or owner/name.")
    return _read(base, lambda part: Path(hf_hub_download(base, f"{part}/config.json")))


def sdxl_architecture() -> Architecture:
    """The shape of SDXL base 1.0."""
    folder = sdxl_config_folder()
    return _read("SDXL", lambda part: folder / part / "config.json")


def _read(name: str, file: Callable[[str], Path]) -> Architecture:
    try:
        configs = {part: json.loads(file(part).read_bytes()) for part in PARTS}
        return Architecture(**{part: json.dumps(config, sort_keys=True) for part, config in configs.items()})
    except (OSError, ValueError) as error:
        raise BadBase(
            f"The base model {name!r} cannot be planned for: a config of it cannot be read; download it again."
        ) from error
