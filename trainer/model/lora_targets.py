"""Which modules of SDXL get a LoRA: sd-scripts' own sets.

kohya-ss/sd-scripts (networks/lora.py, LoRANetwork) walks every block of some classes and takes what lies inside:
without a rank for convolutions the linear layers of the UNet's transformers (722); with one also its residual blocks,
downsamplers and upsamplers (788 in all), where 3x3 convolutions get the convolutions' rank and alpha, and linear
layers (the time embedding's projection) and 1x1 convolutions (shortcuts) get the LoRA's own. What lies in none of these
blocks (conv_in, conv_out, the embeddings) is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D
from torch import nn

from trainer.contract.config import TrainConfig

_ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0")
_TEXT = re.compile(r"(?:text_model\.)?encoder\.layers\.\d+\.(?:self_attn\.(?:[qkv]|out)_proj|mlp\.fc[12])")


def unet_targets(unet: nn.Module, config: TrainConfig) -> list[str]:
    """Paths of the UNet's modules a LoRA is attached to, sorted."""
    linears = {path for path in _inside(unet, (Transformer2DModel,)) if not is_spatial(unet.get_submodule(path))}
    if config.targets == "attention":
        linears = {path for path in linears if path.endswith(_ATTENTION)}
    convolutions = set(_inside(unet, (ResnetBlock2D, Downsample2D, Upsample2D))) if config.conv_rank else set()
    return sorted(linears | convolutions)


def text_targets(encoder: nn.Module) -> list[str]:
    """Paths of a text encoder's modules a LoRA is attached to, sorted: q, k, v, out, fc1, fc2 of every layer."""
    return sorted(path for path, _ in encoder.named_modules() if _TEXT.fullmatch(path))


def is_spatial(module: nn.Module) -> bool:
    """True for a convolution over more than one pixel, which has a rank and an alpha of its own."""
    return isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)


def _inside(unet: nn.Module, blocks: tuple[type[nn.Module], ...]) -> Iterator[str]:
    """Paths of the linear layers and convolutions inside blocks of these classes."""
    for path, block in unet.named_modules():
        if isinstance(block, blocks):
            for inner, layer in block.named_modules():
                if isinstance(layer, (nn.Linear, nn.Conv2d)):
                    yield f"{path}.{inner}"
