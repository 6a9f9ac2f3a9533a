"""What a checkpoint file is, told from its header alone: no weights are read and no torch is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainer.formats.header import Header, read_header

Kind = Literal["sdxl", "sdxl-refiner", "sdxl-inpainting", "sd1", "sd2", "sd3", "flux", "lora", "vae", "part", "unknown"]

_UNET_IN = "model.diffusion_model.input_blocks.0.0.weight"
_SDXL_TEXT = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias"
"""Only SDXL base has a second text encoder here; diffusers goes by the same key (single_file_utils.py)."""

_REFINER_TEXT = "conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias"

_SENTENCES: dict[Kind, str] = {
    "sdxl": "an SDXL checkpoint",
    "sdxl-refiner": "the SDXL refiner, which is no base model",
    "sdxl-inpainting": "an SDXL inpainting model, which is no base model",
    "sd1": "a Stable Diffusion 1 checkpoint",
    "sd2": "a Stable Diffusion 2 checkpoint",
    "sd3": "a Stable Diffusion 3 checkpoint",
    "flux": "a Flux model",
    "lora": "a LoRA file, which needs a base model under it",
    "vae": "only a VAE",
    "part": "only one part of a diffusers model; choose the folder that holds model_index.json",
    "unknown": "no image model this program knows",
}

_LORA_KEY = re.compile(
    r"\.(?:lora_(?:down|up|A|B)(?:\.\w+)?|lora\.(?:down|up))\.weight$|\.alpha$|^lora_|\.hada_w1_a$|\.lokr_w1$"
)

_STRANGE_NAMES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a LoHa, LoKr or OFT of LyCORIS", re.compile(r"\.(?:hada_w[12]_[ab]|lokr_w[12](?:_[ab])?|oft_\w+)$")),
    ("a LoRA for Flux", re.compile(r"double_blocks|single_blocks|single_transformer_blocks")),
    ("a LoRA for Stable Diffusion 3", re.compile(r"joint_blocks|^(?:lora_)?transformer[._]transformer_blocks")),
    ("a LoRA for another model", re.compile(r"^(?:lora_)?transformer[._]|^diffusion_model\.|^lora_te3_")),
    (
        "a LoRA for Stable Diffusion 1 or 2",
        re.compile(r"^lora_te_|down_blocks[._]0[._]attentions|up_blocks[._]3[._]att"),
    ),
)
"""What the names of a file's tensors give away, one by one, the most telling first."""

_TEXT_INPUT = re.compile(r"attn2[._]to_[kv]\.lora(?:_down|_A|\.down)\.weight$")
_TEXT_WIDTHS = {768: "a LoRA for Stable Diffusion 1", 1024: "a LoRA for Stable Diffusion 2"}
"""Widths of the text a UNet attends to; SDXL's is 2048."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file told by its header."""

    kind: Kind
    v_prediction: bool
    """True when the file is marked as predicting v (an empty tensor `v_pred`, as NoobAI-XL and its loaders have it)."""
    zero_terminal_snr: bool
    """True when it is marked as trained with zero terminal SNR (a tensor `ztsnr`)."""


def identify(path: Path) -> Checkpoint:
    """What the file is; raises LoraFileError when it is not a whole safetensors file."""
    header = read_header(path)
    return Checkpoint(_kind(header), "v_pred" in header.tensors, "ztsnr" in header.tensors)


def what_is(path: Path) -> str:
    """What the file is, in words that fit behind "is"; raises LoraFileError as `identify` does."""
    return _SENTENCES[identify(path).kind]


def stranger(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """What a LoRA file with these tensors is for if not for SDXL, in words that fit behind "is"; else empty."""
    for what, pattern in _STRANGE_NAMES:
        if any(pattern.search(name) for name in shapes):
            return what
    widths = {shape[1] for name, shape in shapes.items() if _TEXT_INPUT.search(name) and len(shape) > 1}
    return next((what for width, what in _TEXT_WIDTHS.items() if width in widths), "")


def _kind(header: Header) -> Kind:
    names = header.tensors
    if any(_LORA_KEY.search(name) for name in names):
        return "lora"
    if any("double_blocks.0.img_attn" in name for name in names):
        return "flux"
    if any("joint_blocks.0.context_block" in name for name in names):
        return "sd3"
    if _UNET_IN in names:
        return _with_unet(header)
    if "decoder.conv_in.weight" in names or "first_stage_model.decoder.conv_in.weight" in names:
        return "vae"
    parts = ("down_blocks.", "text_model.", "encoder.layers.", "transformer_blocks.")
    return "part" if any(name.startswith(parts) for name in names) else "unknown"


def _with_unet(header: Header) -> Kind:
    names = header.tensors
    if _SDXL_TEXT in names:
        channels = names[_UNET_IN].shape[1:2]
        return "sdxl" if channels == (4,) else "sdxl-inpainting"
    if _REFINER_TEXT in names:
        return "sdxl-refiner"
    if any(name.startswith("cond_stage_model.model.transformer.") for name in names):
        return "sd2"
    if any(name.startswith("cond_stage_model.") for name in names):
        return "sd1"
    return "unknown"
