"""Bases of chosen size, as configs alone."""

import json

from trainer.planning.architecture import Architecture
from trainer.planning.memory import Load
from trainer.toy.tiny import LAYERS_1

TEXT, POOLED = 64, 32
UNET = {
    "sample_size": 32,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [64, 128],
    "layers_per_block": 1,
    "transformer_layers_per_block": [1, 2],
    "attention_head_dim": [1, 2],
    "norm_num_groups": 16,
    "cross_attention_dim": TEXT,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 16,
    "projection_class_embeddings_input_dim": POOLED + 6 * 16,
}
VAE = {
    "block_out_channels": [8, 8, 8, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "latent_channels": 4,
}
CLIP = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": LAYERS_1}
CLIP |= {"num_attention_heads": 2, "projection_dim": POOLED, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}


def shape(**unet) -> Architecture:
    """A base whose UNet's config has these values in place of its own."""
    return Architecture(json.dumps({**UNET, **unet}), json.dumps(VAE), json.dumps(CLIP), json.dumps(CLIP))


def load_of(config, pictures=None, **changes) -> Load:
    pictures = pictures or config.batch_size
    again = max(1, round(config.preservation_share * pictures)) if config.preservation_weight else 0
    return Load(**{"pictures": pictures, "again": again, "images": pictures, "chunks": 1, "config": config, **changes})
