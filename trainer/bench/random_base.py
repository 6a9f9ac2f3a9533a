"""A base model of any shape with random weights on disk: whole jobs of it cost what they would cost of a real one."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import torch

from trainer.formats.clip_bpe import BEGIN, END, byte_symbols, clip_tokenizer
from trainer.formats.single_file import sdxl_config_folder
from trainer.model.device import Numbers, release_cached
from trainer.planning.architecture import PARTS, Architecture
from trainer.planning.stand_in import random_part

BEFORE_MERGES = 2 * len(byte_symbols()) + len((BEGIN, END))
"""Tokens of CLIP's vocabulary that are no merge."""


def write_base(folder: Path, base: Architecture, numbers: Numbers, device: torch.device) -> Path:
    """The base as a new diffusers folder, SDXL's is 7 GB in bf16; everything loads it as it loads a real one.

    Raises OSError or SafetensorError when the disk refuses.
    """
    folder.mkdir(parents=True)
    shutil.copy(sdxl_config_folder() / "model_index.json", folder)
    shutil.copytree(sdxl_config_folder() / "scheduler", folder / "scheduler")
    for part in PARTS:
        model = random_part(base, part, torch.float32 if part == "vae" else numbers.base, device)
        model.save_pretrained(folder / part)
        del model
        gc.collect()
        release_cached(device)
    for name, pad, part in (("tokenizer", END, "text_encoder"), ("tokenizer_2", "!", "text_encoder_2")):
        clip_tokenizer(pad, base.config(part)["vocab_size"] - BEFORE_MERGES).save_pretrained(folder / name)
    return folder
