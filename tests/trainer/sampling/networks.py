"""LoRA files for the tests of sampling: small, random, and known."""

from pathlib import Path

import torch

from trainer.formats.kohya import kohya_tensors
from trainer.formats.lora_file import lora_bytes
from trainer.formats.lora_modules import LoraModule

LINEAR = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
CONVOLUTION = "unet.down_blocks.1.resnets.0.conv1"
TEXT_1 = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
TEXT_2 = "text_encoder_2.text_model.encoder.layers.3.mlp.fc1"
ALL = (LINEAR, CONVOLUTION, TEXT_1, TEXT_2)


def layer(base, name):
    """The base's layer, whatever the version of transformers calls it."""
    part, _, path = name.partition(".")
    modules = dict(getattr(base, part).named_modules())
    return modules.get(path) or modules[path.removeprefix("text_model.")]


def random_modules(base, names=ALL, *, seed=0, rank=2, alpha=1.0, dora=False):
    """A LoRA large enough to be seen, with alpha other than rank."""
    generator = torch.Generator().manual_seed(seed)
    modules = {}
    for name in names:
        weight = layer(base, name).weight
        kernel = weight.shape[2:]
        down = torch.randn(rank, weight.shape[1], *kernel, generator=generator) * 0.3
        up = torch.randn(weight.shape[0], rank, *[1] * len(kernel), generator=generator) * 0.3
        magnitudes = weight.flatten(1).norm(dim=1) * (1 + 0.5 * torch.rand(len(weight), generator=generator))
        modules[name] = LoraModule(down, up, alpha, magnitudes if dora else None)
    return modules


def write(path: Path, modules, **metadata) -> Path:
    """A kohya file of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lora_bytes(kohya_tensors(modules, layers_per_block=2), metadata))
    return path
