"""Writes a diffusers SDXL as one file in the original (LDM) layout: the inverse of what diffusers' loader does."""

from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import save_file
from torch import Tensor

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def write_single_file(folder: Path, target: Path, extra: dict[str, Tensor] | None = None) -> Path:
    """The diffusers folder's weights as `target`; `extra` tensors are added as they are."""
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False, local_files_only=True)
    tensors = {
        **{f"model.diffusion_model.{ldm_name(name)}": t for name, t in pipe.unet.state_dict().items()},
        **dict(_vae(name, t) for name, t in pipe.vae.state_dict().items()),
        **{f"conditioner.embedders.0.transformer.{_clip(n)}": t for n, t in pipe.text_encoder.state_dict().items()},
        **{f"conditioner.embedders.1.model.{n}": t for n, t in _open_clip(pipe.text_encoder_2.state_dict()).items()},
        **(extra or {}),
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, target)
    return target


def _renamed(name: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        if name == ours or name.startswith(ours + "."):
            return theirs + name[len(ours) :]
    return name


def ldm_name(name: str) -> str:
    """The original layout's name of a UNet weight, without the prefix `model.diffusion_model.`."""
    first, *rest = name.split(".")
    if first not in ("down_blocks", "mid_block", "up_blocks"):
        return _renamed(name, UNET_TOP)
    if first == "mid_block":
        kind, number, *inner = rest
        place = "middle_block.1" if kind == "attentions" else f"middle_block.{2 * int(number)}"
    else:
        block, kind, number, *inner = rest
        place = _place(first, int(block), kind, int(number))
    tail = ".".join(inner)
    if kind == "downsamplers":
        return f"{place}.{tail.replace('conv', 'op')}"
    return f"{place}.{_renamed(tail, RESNET) if kind == 'resnets' else tail}"


def _place(way: str, block: int, kind: str, number: int) -> str:
    if kind == "downsamplers":
        return f"input_blocks.{3 * (block + 1)}.0"
    if kind == "upsamplers":  # behind residual block and attention
        return f"output_blocks.{3 * block + 2}.2"
    position = 3 * block + number
    side = f"input_blocks.{position + 1}" if way == "down_blocks" else f"output_blocks.{position}"
    return f"{side}.{0 if kind == 'resnets' else 1}"


def _vae(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    levels = 3
    parts = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out").split(".")
    if len(parts) > 2 and parts[1] in ("down_blocks", "up_blocks"):
        side, way, block, kind, number, *rest = parts
        level = int(block) if way == "down_blocks" else levels - int(block)
        step = {"resnets": f"block.{number}", "downsamplers": "downsample", "upsamplers": "upsample"}[kind]
        parts = [side, way.removesuffix("_blocks"), str(level), step, *rest]
    elif len(parts) > 2 and parts[1] == "mid_block":
        side, _, kind, number, *rest = parts
        if kind == "resnets":
            parts = [side, "mid", f"block_{int(number) + 1}", *rest]
        else:
            parts = [side, "mid", "attn_1", _renamed(".".join(rest), VAE_ATTENTION)]
            tensor = tensor[:, :, None, None] if tensor.dim() == 2 else tensor  # linears were 1x1 convolutions
    return "first_stage_model." + ".".join(parts), tensor


def _clip(name: str) -> str:
    """transformers 5.6 and later has no `text_model.` in CLIPTextModel's names; the original layout has."""
    return name if name.startswith("text_model.") else f"text_model.{name}"


def _open_clip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    top = {
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.final_layer_norm.weight": "ln_final.weight",
        "text_model.final_layer_norm.bias": "ln_final.bias",
    }
    out = {top[name]: tensor for name, tensor in state.items() if name in top}
    out["text_projection"] = state["text_projection.weight"].T
    out["logit_scale"] = torch.tensor(4.6)
    layers = "text_model.encoder.layers."
    for name, tensor in state.items():
        if not name.startswith(layers):
            continue
        number, _, inner = name.removeprefix(layers).partition(".")
        if inner.startswith("self_attn.q_proj."):
            kind = inner.rpartition(".")[2]
            joined = [state[f"{layers}{number}.self_attn.{each}_proj.{kind}"] for each in "qkv"]
            out[f"transformer.resblocks.{number}.attn.in_proj_{kind}"] = torch.cat(joined)
        elif not inner.startswith(("self_attn.k_proj.", "self_attn.v_proj.")):
            out[f"transformer.resblocks.{number}.{_renamed(inner, OPEN_CLIP)}"] = tensor
    return out
