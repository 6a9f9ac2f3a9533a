"""How the UNet's feature maps lie in memory: channel by channel, or pixel by pixel (channels last).

Convolutions want the second on tensor cores, torch's group norm on a GPU the first, and between them maps are turned
round. Which wins depends on the card, its libraries and the size, so it is measured: some milliseconds at the start.
On a CPU the layout stays as it is: there a run must not depend on what a clock said.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

ROUNDS = 5
"""Timed passes of each layout, after as many to warm up; the fastest counts."""


def choose_layout(unet: UNet2DConditionModel, size: Sequence[int], pictures: int) -> torch.memory_format:
    """Lay the frozen UNet's weights as its costliest residual block is fastest, and return that layout.

    `size` is the width and height of the latents, `pictures` how many go through the UNet at once.
    """
    block, shrunk = max(_blocks(unet), key=_work)
    # Whatever the layout of the weights, most inputs come channel by channel: out of transformers and group norms.
    sides = (max(1, size[1] // shrunk), max(1, size[0] // shrunk))
    seen = torch.randn(pictures, block.in_channels, *sides, device=unet.device).to(unet.dtype)
    known = torch.randn(pictures, block.time_emb_proj.in_features, device=unet.device).to(unet.dtype)
    seconds: dict[torch.memory_format, float] = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        block.to(memory_format=layout)
        seconds[layout] = _seconds(block, seen, known)
    chosen = min(seconds, key=seconds.__getitem__)
    for part in unet.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.data = part.weight.data.contiguous(memory_format=chosen)
    return chosen


def _blocks(unet: UNet2DConditionModel) -> Iterator[tuple[ResnetBlock2D, int]]:
    """Residual blocks, and by how much the sides of what they see are shorter than the latents'."""
    deepest = len(unet.config.block_out_channels) - 1
    for path, part in unet.named_modules():
        if isinstance(part, ResnetBlock2D):
            stage, number, *_ = path.split(".")
            depth = {"down_blocks": int(number), "up_blocks": deepest - int(number)} if number.isdigit() else {}
            yield part, 2 ** depth.get(stage, deepest)


def _work(found: tuple[ResnetBlock2D, int]) -> float:
    block, shrunk = found
    return int(block.in_channels) * int(block.out_channels) / shrunk**2


def _seconds(block: ResnetBlock2D, seen: Tensor, known: Tensor) -> float:
    """The fastest forward and backward pass."""
    times = []
    for _ in range(2 * ROUNDS):
        begun = _now(seen)
        block(seen.detach().requires_grad_(), known).sum().backward()
        times.append(_now(seen) - begun)
    return min(times[ROUNDS:])


def _now(tensor: Tensor) -> float:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()
