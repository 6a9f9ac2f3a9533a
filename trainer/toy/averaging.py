"""A start for the toy VAE: before its first step it already averages 4 × 4 pixels and spreads them out again.

From random weights such a narrow VAE needs about a thousand steps to find colour at all: its group norms take each
picture's mean away. Here every feature f travels as a pair (f, -f). A pair has mean zero, so the norm leaves its colour
alone, and silu(f) - silu(-f) = f, so the activation does too. A constant pair beside the colours keeps the norm's scale
nearly the same for every picture. Training then only has to add detail.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

NOISE = 0.03
"""Share of the usual random weights kept in the prepared layers, so that no two channels learn the same."""

CONSTANT = 3.0
"""Value of the constant pair; colours are within -1..1."""

CONSTANT_PAIR = 3
"""Pairs 0 to 2 carry red, green and blue."""


@torch.no_grad()
def start_as_average(vae: AutoencoderKL, pixels: Tensor) -> None:
    """Prepare `vae` in place; `pixels` `(b, 3, h, w)` in -1..1 sets the scale of what it draws."""
    for module in vae.modules():
        name = type(module).__name__
        if name == "ResnetBlock2D":
            module.conv2.weight.mul_(NOISE)
            module.conv2.bias.zero_()
            if module.conv_shortcut is not None:
                _carry(module.conv_shortcut, 0, 0)
        elif name == "Downsample2D":
            _carry(module.conv, 0, 2)
        elif name == "Upsample2D":
            _carry(module.conv, 1, 1)
        elif name == "Attention":
            module.to_out[0].weight.mul_(NOISE)
            module.to_out[0].bias.zero_()
    _split(vae.encoder.conv_in, colours=3)
    _split(vae.decoder.conv_in, colours=3)
    _join(vae.encoder.conv_out)
    _join(vae.decoder.conv_out)
    for mixer in (vae.quant_conv, vae.post_quant_conv):
        _carry(mixer, 0, 0)
    latent_channels = vae.config.latent_channels
    vae.encoder.conv_out.bias[latent_channels:].fill_(-5.0)
    vae.encoder.conv_out.weight[:3].div_(float(vae.encode(pixels).latent_dist.mean[:, :3].std()))
    drawn = vae.decode(vae.encode(pixels).latent_dist.mean).sample
    vae.decoder.conv_out.weight.mul_(float((drawn * pixels).sum() / (drawn * drawn).sum()))


@torch.no_grad()
def add_outer_level(vae: AutoencoderKL, core: AutoencoderKL) -> None:
    """Fill a fresh `vae` from a trained `core` of one level less.

    The new level averages 2 × 2 pixels on the way in and repeats them on the way out; all else is the core.
    """
    for block in (vae.encoder.down_blocks[0], vae.decoder.up_blocks[-1]):
        for resnet in block.resnets:
            resnet.conv2.weight.zero_()
            resnet.conv2.bias.zero_()
    _carry(vae.encoder.down_blocks[0].downsamplers[0].conv, 0, 2, noise=0.0)
    _carry(vae.decoder.up_blocks[-2].upsamplers[0].conv, 1, 1, noise=0.0)
    pairs = list(zip(vae.encoder.down_blocks[1:], core.encoder.down_blocks, strict=True))
    # The core's last decoder level has no upsampler yet, so its resnets alone are taken over.
    pairs += list(zip(vae.decoder.up_blocks[:-2], core.decoder.up_blocks[:-1], strict=True))
    pairs.append((vae.decoder.up_blocks[-2].resnets, core.decoder.up_blocks[-1].resnets))
    for side in ("encoder", "decoder"):
        for part in ("conv_in", "mid_block", "conv_norm_out", "conv_out"):
            pairs.append((getattr(getattr(vae, side), part), getattr(getattr(core, side), part)))
    pairs += [(vae.quant_conv, core.quant_conv), (vae.post_quant_conv, core.post_quant_conv)]
    for wide, narrow in pairs:
        wide.load_state_dict(narrow.state_dict())


def _carry(conv: Any, first: int, count: int, noise: float = NOISE) -> None:
    """Make `conv` hand each input channel on: the mean of `count` × `count` taps from `first` (0: one tap)."""
    conv.weight.mul_(noise)
    if conv.bias is not None:
        conv.bias.zero_()
    taps = slice(first, first + max(1, count))
    for channel in range(min(conv.in_channels, conv.out_channels)):
        conv.weight[channel, channel, taps, taps] += 1.0 / max(1, count) ** 2


def _split(conv: Any, colours: int) -> None:
    """Make the first layer write each colour as a pair, the constant pair, and random features as pairs."""
    conv.weight[1::2] = -conv.weight[0::2]
    conv.bias.zero_()
    centre = conv.kernel_size[0] // 2
    for colour in range(colours):
        conv.weight[2 * colour : 2 * colour + 2].zero_()
        conv.weight[2 * colour, colour, centre, centre] = 1.0
        conv.weight[2 * colour + 1, colour, centre, centre] = -1.0
    pair = slice(2 * CONSTANT_PAIR, 2 * CONSTANT_PAIR + 2)
    conv.weight[pair].zero_()
    conv.bias[pair] = torch.tensor([CONSTANT, -CONSTANT], device=conv.weight.device)


def _join(conv: Any) -> None:
    """Make the last layer read the colours back from their pairs."""
    conv.weight.mul_(NOISE)
    conv.bias.zero_()
    centre = conv.kernel_size[0] // 2
    for colour in range(3):
        conv.weight[colour, 2 * colour, centre, centre] += 0.5
        conv.weight[colour, 2 * colour + 1, centre, centre] -= 0.5
