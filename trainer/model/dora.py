"""DoRA's magnitudes (Liu et al. 2024, arXiv:2402.09353).

With V = W + scale B A, each output row i of W becomes m_i V_i / |V_i|: the direction comes from the LoRA, the length m
is trained by itself. |V_i| counts as a constant in the backward pass (section 4.3). As in peft and the authors' code a
magnitude belongs to an output, not to an input.

peft's own layer computes the lengths in the arithmetic's number format: under bf16 each row is then off by up to 0.2 %,
as much as a LoRA changes it, and no loader (all compute them in fp32) would show what was trained. Here they are fp32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter


class Magnitudes(nn.Module):
    """The trained lengths of a layer's rows: `(out,)`, of a convolution `(1, out, 1, 1)`, in fp32."""

    def __init__(self, lengths: Tensor) -> None:
        super().__init__()
        self.weight = Parameter(lengths)
        self.strength = 1.0
        """0 is the base, 1 what was trained; between them W is interpolated, as ComfyUI and A1111 do."""

    def forward(self, product: Tensor, result: Tensor, base_layer: Any, down: Tensor, up: Tensor, scale: float) -> Any:
        """What is added to the base layer's output `result`, in fp32; `product` is scale B A x."""
        lengths = row_lengths(base_layer.weight, down, up, scale).view_as(self.weight)
        ratio = self.weight / lengths
        bare = result if base_layer.bias is None else result - base_layer.bias.view_as(self.weight)
        return self.strength * ((ratio - 1) * bare + ratio * product)


@torch.no_grad()
def row_lengths(weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """|V_i| of V = weight + scale up down, `(out,)` in fp32; weight `(out, in)` or `(out, in, k, k)`."""
    total = torch.addmm(weight.flatten(1).float(), up.flatten(1).float(), down.flatten(1).float(), alpha=scale)
    lengths: Tensor = torch.linalg.vector_norm(total, dim=1)
    return lengths


def start_magnitudes(base_layer: Any) -> Magnitudes:
    """Magnitudes at which a fresh LoRA changes nothing: the lengths of the base layer's rows."""
    weight = base_layer.weight
    lengths = torch.linalg.vector_norm(weight.detach().flatten(1).float(), dim=1)
    return Magnitudes(lengths.view(1, -1, 1, 1) if isinstance(base_layer, nn.Conv2d) else lengths)
