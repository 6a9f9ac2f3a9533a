"""LoRAs of a few modules with random numbers, for the tests of file formats."""

import torch

from trainer.contract.config import TrainConfig

IN, OUT = 6, 8
MODULES = (
    "unet.down_blocks.1.attentions.0.proj_in",
    "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0",
    "unet.up_blocks.0.attentions.2.transformer_blocks.0.ff.net.2",
)
CONVOLUTIONS = ("unet.down_blocks.0.downsamplers.0.conv", "unet.up_blocks.1.resnets.2.conv1")
TEXTS = (
    "text_encoder.text_model.encoder.layers.0.self_attn.q_proj",
    "text_encoder_2.text_model.encoder.layers.3.mlp.fc2",
)


def config(**settings):
    """Settings that belong to `state` unless told otherwise."""
    return TrainConfig(**{"rank": 4, "alpha": 1.5, "file_precision": "fp32", **settings})


def state(modules=MODULES, rank=4, conv_rank=2, dora=False, seed=0):
    """A `lora_state` of these modules."""
    chance = torch.Generator().manual_seed(seed)
    tensors = {}
    for module in modules:
        spatial = module in CONVOLUTIONS
        inner = conv_rank if spatial else rank
        down, up = ((inner, IN, 3, 3), (OUT, inner, 1, 1)) if spatial else ((inner, IN), (OUT, inner))
        tensors[f"{module}.lora_A.weight"] = torch.randn(down, generator=chance)
        tensors[f"{module}.lora_B.weight"] = torch.randn(up, generator=chance)
        if dora:
            shape = (1, OUT, 1, 1) if spatial else (OUT,)
            tensors[f"{module}.lora_magnitude_vector.weight"] = torch.rand(shape, generator=chance) + 1
    return tensors
