"""Another VAE than the base model's own, e.g. SDXL's repaired for fp16 (madebyollin/sdxl-vae-fp16-fix)."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from trainer.errors import BadBase
from trainer.formats.base_model import check_vae
from trainer.formats.single_file import sdxl_config_folder

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load_vae(vae: str, own: AutoencoderKL, single_file_config: Path | None = None) -> AutoencoderKL:
    """The VAE in fp32, frozen, in place of the base model's `own`.

    `vae` is a VAE's folder in diffusers' layout, or a whole model's; a `.safetensors` with a VAE, or with a whole
    model, in the original layout; or a hub id of either. Raises BadBase for what is no VAE of SDXL's kind; what the
    libraries raise on a damaged one passes.
    """
    path = Path(vae)
    if path.is_file():
        check_vae(path)
        config = {"config": str(single_file_config or sdxl_config_folder()), "subfolder": "vae"}
        loaded = AutoencoderKL.from_single_file(vae, **config, local_files_only=True, dtype=torch.float32)
    elif path.is_dir():
        check_vae(path)
        folder = path / "vae" if (path / "vae").is_dir() else path
        loaded = AutoencoderKL.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    elif _HUB_ID.fullmatch(vae):
        loaded = _from_hub(vae)
    else:
        raise BadBase(f"The VAE {path.name!r} is not there; give a folder, a .safetensors file or owner/name.")
    fields = ("latent_channels", "scaling_factor")
    if loaded.config.get("latents_mean") is not None or any(loaded.config[one] != own.config[one] for one in fields):
        raise BadBase(f"The VAE {path.name!r} is not of SDXL's kind (its latents differ); choose one made for SDXL.")
    return loaded.requires_grad_(False).eval()


def _from_hub(hub_id: str) -> AutoencoderKL:
    """From a repository of a VAE alone, or else of a whole model."""
    arguments = {"use_safetensors": True, "dtype": torch.float32}
    try:
        return AutoencoderKL.from_pretrained(hub_id, **arguments)
    except OSError:
        return AutoencoderKL.from_pretrained(hub_id, subfolder="vae", **arguments)
