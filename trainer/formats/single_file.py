"""What loading a single-file SDXL (the original layout) needs besides the file: configs and tokenizers, no download."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from trainer.formats.clip_bpe import END, clip_tokenizer


def sdxl_config_folder() -> Path:
    """The configs of SDXL base 1.0 as a diffusers folder without weights or tokenizers."""
    return Path(str(resources.files("trainer.model.sdxl_config")))


def single_file_arguments(config_folder: Path | None = None) -> dict[str, Any]:
    """Keyword arguments for `StableDiffusionXLPipeline.from_single_file` that keep it off the network.

    config_folder: configs of another SDXL shape; tokenizers in it (`tokenizer`, `tokenizer_2`) are used, else CLIP's.
    """
    folder = config_folder or sdxl_config_folder()
    arguments: dict[str, Any] = {"config": str(folder), "local_files_only": True, "add_watermarker": False}
    if not (folder / "tokenizer").is_dir():
        # The second text encoder was trained with "!" (token 0) as padding (stabilityai/stable-diffusion-xl-base-1.0).
        arguments |= {"tokenizer": clip_tokenizer(END), "tokenizer_2": clip_tokenizer("!")}
    return arguments
