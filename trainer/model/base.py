"""The base model: SDXL's parts, loaded from a diffusers folder, a single file in the original layout, or the hub.

Only safetensors are read, never a pickle. Whatever is wrong with the base ends in BadBase with one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import SingleFileComponentError
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from trainer.contract.durable import sha256_file
from trainer.errors import BadBase
from trainer.formats.base_model import check_file, check_folder
from trainer.formats.single_file import single_file_arguments
from trainer.model.device import is_out_of_memory
from trainer.model.vae import load_vae

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """SDXL's parts, frozen, in eval mode."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    """Always fp32: SDXL's own VAE overflows in fp16."""
    text_encoder: CLIPTextModel
    text_encoder_2: CLIPTextModelWithProjection
    tokenizer: CLIPTokenizer
    tokenizer_2: CLIPTokenizer
    scheduler_config: dict[str, Any]
    prediction_type: str
    """`epsilon` or `v_prediction`."""
    zeros_for_empty_prompt: bool
    """True where "no prompt" is all zeros (SDXL), False where it is the encoders' answer to an empty text."""
    name: str
    """For metadata: the file's, folder's or hub's name, never a path of this machine."""
    sha256: str
    """Of a single file; empty for a folder or a hub id."""


def load_base(
    base: str, *, device: torch.device, dtype: torch.dtype, vae: str = "", single_file_config: Path | None = None
) -> BaseModel:
    """Load the base model's parts onto the device; UNet and text encoders in `dtype`, the VAE in fp32.

    `base` is a diffusers folder, a single `.safetensors` in the original SDXL layout, or a hub id (`owner/name`;
    HF_HUB_OFFLINE is respected). `vae` takes the place of its own (see `trainer.model.vae`). `single_file_config` is a
    folder of configs for a single file of another shape than SDXL base 1.0. Raises BadBase.
    """
    loaded = _load(base, device, dtype, single_file_config)
    if not vae:
        return loaded
    with _loading(Path(vae).name):
        return replace(loaded, vae=load_vae(vae, loaded.vae, single_file_config).to(device))


def _load(base: str, device: torch.device, dtype: torch.dtype, single_file_config: Path | None) -> BaseModel:
    path = Path(base)
    if path.is_file():
        return _frozen(_load_file(path, dtype, single_file_config), device, name=path.stem, sha256=sha256_file(path))
    if path.is_dir():
        return _frozen(_load_folder(path, dtype), device, name=path.name, sha256="")
    if _HUB_ID.fullmatch(base):
        return _frozen(_load_hub(base, dtype), device, name=base, sha256="")
    raise BadBase(f"The base model {path.name!r} is not there; give a folder, a .safetensors file or owner/name.")


def _frozen(parts: dict[str, Any], device: torch.device, *, name: str, sha256: str) -> BaseModel:
    """The parts on the device, without gradients, in eval mode."""
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        # diffusers leaves weights that a file lacks on the meta device.
        if any(weight.is_meta for weight in parts[part].parameters()):
            raise BadBase(f"The base model {name!r} lacks weights of its {part}; download it again or choose another.")
        parts[part].requires_grad_(False).eval().to(device)
    config = parts.pop("scheduler")
    if parts["unet"].config.in_channels != 4 or parts["unet"].config.addition_embed_type != "text_time":
        raise BadBase(f"The base model {name!r} has another UNet than SDXL's (inpainting?); choose an SDXL model.")
    prediction_type = config.get("prediction_type", "epsilon")
    if prediction_type not in ("epsilon", "v_prediction"):
        raise BadBase(f"The base model predicts {prediction_type!r}; only epsilon and v_prediction can be trained.")
    if parts["vae"].config.get("latents_mean") is not None:
        raise BadBase(f"The base model {name!r} scales its latents in another way than SDXL; choose an SDXL model.")
    return BaseModel(
        **parts,
        scheduler_config={key: value for key, value in config.items() if not key.startswith("_")},
        prediction_type=prediction_type,
        name=name,
        sha256=sha256,
    )


# --- a diffusers folder, or the hub ------------------------------------------------------------------------------
def _load_folder(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    check_folder(folder)
    return _load_parts(str(folder), folder.name, dtype, local=True)


def _load_hub(hub_id: str, dtype: torch.dtype) -> dict[str, Any]:
    return _load_parts(hub_id, hub_id, dtype, local=False)


def _load_parts(source: str, name: str, dtype: torch.dtype, *, local: bool) -> dict[str, Any]:
    with _loading(name):
        parts = {part: _load_part(source, part, dtype, local=local) for part in _PARTS}
        scheduler = DDPMScheduler.load_config(source, subfolder="scheduler", local_files_only=local)
        if not isinstance(scheduler, dict):
            raise TypeError("scheduler_config.json is no object")
        index = StableDiffusionXLPipeline.load_config(source, local_files_only=local)
    return {**parts, "scheduler": scheduler, "zeros_for_empty_prompt": _zeros_for_empty_prompt(index)}


def _load_part(source: str, part: str, dtype: torch.dtype, *, local: bool) -> Any:
    """One part; raises ValueError where the libraries would only log that they fill up what is missing by chance."""
    load = _PARTS[part].from_pretrained
    if part.startswith("tokenizer"):
        tokenizer = load(source, subfolder=part, local_files_only=local)
        if len(tokenizer) < _FEWEST_TOKENS:
            raise ValueError(f"{part} has no vocabulary")
        return tokenizer
    arguments = _format(Path(source) / part, dtype)
    model, told = load(source, subfolder=part, local_files_only=local, output_loading_info=True, **arguments)
    if missing := sorted(told["missing_keys"]):
        raise ValueError(f"{part} lacks {len(missing)} weights, first {missing[0]}")
    return model


def _zeros_for_empty_prompt(index: Mapping[str, Any]) -> bool:
    """What model_index.json says; diffusers' default where it says nothing."""
    return bool(index.get("force_zeros_for_empty_prompt", True))


def _format(part: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments for a part with weights; a local folder may hold only the fp16 variant."""
    has_variant_only = any(part.glob("*.fp16.safetensors")) and not any(
        file for file in part.glob("*.safetensors") if not file.name.endswith(".fp16.safetensors")
    )
    number_format = torch.float32 if part.name == "vae" else dtype
    return {"use_safetensors": True, "dtype": number_format, "variant": "fp16" if has_variant_only else None}


# --- a single file in the original layout ------------------------------------------------------------------------
def _load_file(path: Path, dtype: torch.dtype, config: Path | None) -> dict[str, Any]:
    checkpoint = check_file(path)
    arguments = single_file_arguments(config)
    with _loading(path.name):
        pipeline = StableDiffusionXLPipeline.from_single_file(str(path), **arguments, dtype=dtype)
        # The pipeline loader knows one number format for all parts; the VAE is read again in its own.
        vae = AutoencoderKL.from_single_file(
            str(path), config=arguments["config"], subfolder="vae", local_files_only=True, dtype=torch.float32
        )
    parts = {part: getattr(pipeline, part) for part in _PARTS}
    scheduler = dict(pipeline.scheduler.config)
    if checkpoint.v_prediction:
        scheduler |= {"prediction_type": "v_prediction", "rescale_betas_zero_snr": checkpoint.zero_terminal_snr}
    return {
        **parts,
        "vae": vae,
        "scheduler": scheduler,
        "zeros_for_empty_prompt": _zeros_for_empty_prompt(pipeline.config),
    }


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Raise BadBase for what the libraries raise on a damaged, wrong or absent model.

    Their messages hold paths of this machine, so the reason goes to the log only, as the cause.
    """
    try:
        yield
    except _LIBRARIES_RAISE as error:
        if is_out_of_memory(error):
            raise
        raise BadBase(
            f"The base model {name!r} cannot be loaded; download it again or choose another (the log has the reason)."
        ) from error


_LIBRARIES_RAISE = (
    OSError,
    SafetensorError,
    SingleFileComponentError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
)
"""On files that are cut, empty, or hold something else than their names say."""

_FEWEST_TOKENS = 2 * 256 + 2
"""Each byte alone and at a word's end, begin and end of a text: what CLIP's vocabulary has before any merge."""

_PARTS: Mapping[str, Any] = MappingProxyType(
    {
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
        "tokenizer": CLIPTokenizer,
        "tokenizer_2": CLIPTokenizer,
    }
)
