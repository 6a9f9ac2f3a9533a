"""A tiny SDXL: its real classes and structure, random weights, three megabytes, built in a second.

It stands in for the 6.9 GB model wherever only the mechanism matters: file formats, resume, the queue, the demo's
plumbing. Its pictures mean nothing. Everything loads it as it loads the real one; nothing asks how large a model is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from trainer.formats.clip_bpe import CONTEXT, END, clip_tokenizer

MERGES = 1000
"""Enough merges that common words are one token, and a caption rarely passes CLIP's 77."""

HIDDEN_1, HIDDEN_2 = 24, 32
"""Widths of the two text encoders (768 and 1280 in SDXL); the UNet attends to both side by side."""

LAYERS_1, LAYERS_2 = 2, 10
"""Their depths (12 and 32 in SDXL). Loaders tell SDXL in a single file by the second encoder's layer 9."""

TIME_IDS_WIDTH = 32
"""Sinusoids per micro-conditioning number (256 in SDXL)."""


def build_tiny_sdxl(folder: Path, seed: int = 0) -> Path:
    """Write the tiny SDXL into `folder` as a diffusers folder and return it; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipe = StableDiffusionXLPipeline(
            vae=_vae(),
            text_encoder=CLIPTextModel(_text_config(HIDDEN_1, LAYERS_1, "quick_gelu")),
            text_encoder_2=CLIPTextModelWithProjection(_text_config(HIDDEN_2, LAYERS_2, "gelu")),
            tokenizer=_tokenizer(END),
            tokenizer_2=_tokenizer("!"),
            unet=_unet(),
            scheduler=sdxl_scheduler(),
            add_watermarker=False,
        )
        pipe.save_pretrained(folder, safe_serialization=True)
    return folder


def sdxl_scheduler() -> EulerDiscreteScheduler:
    """SDXL's own scheduler config (stabilityai/stable-diffusion-xl-base-1.0)."""
    return EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )


def _tokenizer(pad_token: str) -> CLIPTokenizer:
    return clip_tokenizer(pad_token, MERGES)


def _text_config(hidden: int, layers: int, activation: str) -> CLIPTextConfig:
    tokenizer = _tokenizer(END)
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        projection_dim=HIDDEN_2,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        hidden_act=activation,
        # The pooled output is read at the end token: these ids must be this vocabulary's own.
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )


def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(16, 24, 24),
        layers_per_block=2,
        transformer_layers_per_block=1,
        attention_head_dim=(1, 2, 2),
        norm_num_groups=8,
        cross_attention_dim=HIDDEN_1 + HIDDEN_2,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_IDS_WIDTH,
        projection_class_embeddings_input_dim=HIDDEN_2 + 6 * TIME_IDS_WIDTH,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=64,
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        scaling_factor=0.13025,
    )
