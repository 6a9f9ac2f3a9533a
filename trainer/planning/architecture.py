"""The shape of a base model, from its configs alone: no weight is read, whatever its size."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from huggingface_hub import hf_hub_download
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from trainer.errors import BadBase
from trainer.formats.base_model import check_base, check_vae
from trainer.formats.single_file import sdxl_config_folder

PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")
_CONFIG = "config.json"


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


def read_architecture(base: str, vae: str = "") -> Architecture:
    """The shape of a diffusers folder, of a single file in the original layout (SDXL's own), or of a hub id.

    `vae` takes the place of its own, named as `trainer.model.vae.load_vae` takes it. Raises BadBase.
    """
    shape = _read_base(base)
    return replace(shape, vae=_read_vae(vae)) if vae else shape


def sdxl_architecture() -> Architecture:
    """The shape of SDXL base 1.0."""
    return _read("SDXL", sdxl_config_folder().joinpath)


def _read_base(base: str) -> Architecture:
    path = Path(base)
    if path.exists():
        check_base(path)
        folder = path if path.is_dir() else sdxl_config_folder()
        return _read(path.name, folder.joinpath)
    if _is_no_hub_id(base):
        raise BadBase(f"The base model {path.name!r} is not there; give a folder, a .safetensors file or owner/name.")
    return _read(base, lambda file: Path(hf_hub_download(base, file)))


def _read_vae(vae: str) -> str:
    """The config of a VAE alone, or of a whole model's."""
    path = Path(vae)
    if path.exists():
        check_vae(path)
        folder = path if path.is_dir() else sdxl_config_folder()
        with _readable("VAE", path.name):
            return _read_config((folder / "vae" if (folder / "vae").is_dir() else folder) / _CONFIG)
    if _is_no_hub_id(vae):
        raise BadBase(f"The VAE {path.name!r} is not there; give a folder, a .safetensors file or owner/name.")
    with _readable("VAE", vae):
        try:
            return _read_config(hf_hub_download(vae, _CONFIG))
        except OSError:
            return _read_config(hf_hub_download(vae, f"vae/{_CONFIG}"))


def _is_no_hub_id(text: str) -> bool:
    return text.count("/") != 1 or text.startswith((".", "/", "~"))


def _read(name: str, file: Callable[[str], Path]) -> Architecture:
    with _readable("base model", name):
        return Architecture(**{part: _read_config(file(f"{part}/{_CONFIG}")) for part in PARTS})


def _read_config(file: str | Path) -> str:
    return json.dumps(json.loads(Path(file).read_bytes()), sort_keys=True)


@contextmanager
def _readable(what: str, name: str) -> Iterator[None]:
    """Raise BadBase where a config is not there, or is none."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise BadBase(
            f"The {what} {name!r} cannot be planned for: a config of it cannot be read; download it again."
        ) from error
