"""Every kind of network over the tiny SDXL, filled with weights that do something."""

import copy
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModelWithProjection

from tests.trainer.support.unet_answer import unet_answer
from trainer.contract.config import TrainConfig
from trainer.model.base import BaseModel, load_base
from trainer.model.lora import attach_lora, lora_state
from trainer.toy.tiny import sdxl_scheduler

NETWORKS = {
    "kohya": {},
    "rank-stabilised": {"rank_stabilised": True, "targets": "attention"},
    "convolutions and text encoders": {
        "conv_rank": 2,
        "conv_alpha": 3.0,
        "targets": "attention",
        "text_encoder_1": True,
        "text_encoder_2": True,
    },
    "dora": {"decompose": True, "targets": "attention"},
    "everything": {
        "decompose": True,
        "conv_rank": 2,
        "rank_stabilised": True,
        "text_encoder_1": True,
        "text_encoder_2": True,
    },
}
"""Settings by name; alpha is never the rank, so that who forgets it is found out."""


def settings(**changes) -> TrainConfig:
    return TrainConfig(**{"rank": 4, "alpha": 6.0, **changes})


def small_base(folder: Path) -> BaseModel:
    """The tiny SDXL with fewer blocks and layers still: attaching and loading take their time for each module."""
    base = load_base(str(folder), device=torch.device("cpu"), dtype=torch.float32)
    shape = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (16, 24),
        "attention_head_dim": (1, 2),
        "transformer_layers_per_block": 1,
    }
    config = copy.deepcopy(base.text_encoder_2.config)
    config.num_hidden_layers = 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DConditionModel.from_config({**base.unet.config, **shape})
        text = CLIPTextModelWithProjection(config)
    return replace(base, unet=unet.requires_grad_(False).eval(), text_encoder_2=text.requires_grad_(False).eval())


def pipeline(base: BaseModel) -> StableDiffusionXLPipeline:
    """diffusers' own pipeline over copies of the base's models."""
    parts = ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    models = {part: copy.deepcopy(getattr(base, part)) for part in parts}
    return StableDiffusionXLPipeline(**models, scheduler=sdxl_scheduler(), add_watermarker=False)


def copied(base: BaseModel) -> BaseModel:
    """The base with models of its own where a LoRA could go."""
    parts = {name: copy.deepcopy(getattr(base, name)) for name in ("unet", "text_encoder", "text_encoder_2")}
    return replace(base, **parts)


def attached(base: BaseModel, config: TrainConfig, *, filled: bool = True) -> BaseModel:
    """A copy of the base with a LoRA, whose weights fp16 can hold."""
    trained = copied(base)
    attach_lora(trained, config, 7)
    if filled:
        fill(trained)
    return trained


def fill(base: BaseModel) -> None:
    """Weights as after a training: B is no longer zero, magnitudes have moved."""
    chance = torch.Generator().manual_seed(3)
    for name, tensor in lora_state(base).items():
        if "magnitude" in name:
            tensor.mul_(1 + 0.1 * torch.rand(tensor.shape, generator=chance))
        elif "lora_B" in name:
            tensor.copy_((0.05 * torch.randn(tensor.shape, generator=chance)).half())
        else:
            tensor.copy_(tensor.half())


def answers(base: BaseModel) -> dict[str, Tensor]:
    """What each part says to one fixed question."""
    return {
        "unet": unet_answer(base.unet),
        "text_encoder": text_answer(base.text_encoder),
        "text_encoder_2": text_answer(base.text_encoder_2),
    }


def text_answer(encoder) -> Tensor:
    """All hidden states, and the projection where there is one."""
    tokens = torch.arange(2 * 77).reshape(2, 77) % 1000
    with torch.no_grad():
        output = encoder(tokens, output_hidden_states=True)
    return torch.cat([*(states.flatten() for states in output.hidden_states), output[0].flatten()])


def difference(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """The largest between two answers."""
    return max(float((one[part] - two[part]).abs().max()) for part in one)
