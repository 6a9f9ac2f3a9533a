"""Is this an SDXL base model? Told from its small files and headers alone, before anything heavy reads it."""

from __future__ import annotations

import json
from pathlib import Path

from trainer.errors import BadBase, LoraFileError
from trainer.formats.identify import Checkpoint, identify, what_is

PARTS = ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
"""Folders of SDXL in diffusers' layout."""


def check_base(path: Path) -> None:
    """Raise BadBase for a folder or file that is no SDXL model."""
    if path.is_dir():
        check_folder(path)
    else:
        check_file(path)


def check_folder(folder: Path) -> None:
    """Raise BadBase for a folder that is no SDXL model in diffusers' layout."""
    try:
        index = json.loads((folder / "model_index.json").read_bytes())
    except (OSError, ValueError):
        raise BadBase(f"The folder {folder.name!r} is no diffusers model (no readable model_index.json).") from None
    kind = index.get("_class_name") if isinstance(index, dict) else None
    if kind not in ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"):
        named = kind[:60] if isinstance(kind, str) and kind.isidentifier() else "of an unknown kind"
        raise BadBase(f"The base model {folder.name!r} is {named}, not SDXL; choose an SDXL model.")
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise BadBase(f"The base model {folder.name!r} lacks {', '.join(missing)}; download it again.")


def check_file(path: Path) -> Checkpoint:
    """What the file is, told by its header; raises BadBase unless it is an SDXL checkpoint."""
    try:
        checkpoint, kind = identify(path), what_is(path)
    except LoraFileError as error:
        raise BadBase(f"The base model cannot be used: {error}") from error
    if checkpoint.kind != "sdxl":
        raise BadBase(f"The base model {path.name!r} is {kind}; choose an SDXL checkpoint.")
    return checkpoint


def check_vae(path: Path) -> None:
    """Raise BadBase for a file or folder that holds no VAE."""
    if path.is_dir():
        if not any((folder / "config.json").is_file() for folder in (path / "vae", path)):
            raise BadBase(f"The folder {path.name!r} holds no VAE (no config.json in it, nor in a folder vae).")
        return
    try:
        found, kind = identify(path), what_is(path)
    except LoraFileError as error:
        raise BadBase(f"The VAE cannot be used: {error}") from error
    if found.kind not in ("vae", "sdxl"):
        raise BadBase(f"The VAE {path.name!r} is {kind}; choose a VAE made for SDXL.")
