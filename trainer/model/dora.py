"""DoRA's magnitudes (Liu et al. 2024, arXiv:2402.09353), as parts of peft's layers.

With V = W + scale B A, each output row i of W becomes m_i V_i / |V_i|: the direction comes from the LoRA, the length m
is trained by itself. |V_i| counts as a constant in the backward pass (section 4.3). As in peft and the authors' code a
magnitude belongs to an output, not to an input.

peft's own layer computes the lengths in the arithmetic's number format: under bf16 each row is then off by up to 0.2 %,
as much as a LoRA changes it, and no loader (all compute them in fp32) would show what was trained. Here they are fp32.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.dora import DoraConv2dLayer, DoraLinearLayer
from torch import Tensor, nn
from torch.nn import Parameter


class _Exact(DoraLinearLayer):  # type: ignore[misc]  # peft has no types
    """What both kinds share: lengths in fp32, and a strength."""

    shape: tuple[int, ...] = (-1,)
    """Of the magnitudes, so that they fit the layer's output."""
    strength: float = 1.0
    """0 is the base, 1 what was trained; between them W is interpolated, as ComfyUI and A1111 do."""

    def forward(
        self,
        x: Tensor,
        *,
        lora_A: Any,
        lora_B: Any,
        scaling: float,
        base_layer: Any,
        base_result: Tensor,
        adapter_name: str = "default",
    ) -> Tensor:
        """What is added to the base layer's output `base_result`."""
        lengths = row_lengths(base_layer.weight, lora_A.weight, lora_B.weight, scaling)
        ratio = self.weight / lengths.view(self.shape)
        product = base_result if base_layer.bias is None else base_result - base_layer.bias.view(self.shape)
        extra: Tensor = (ratio - 1) * product + ratio * scaling * lora_B(lora_A(x))
        return self.strength * extra


class _ExactLinear(_Exact):
    """Of a linear layer."""


class _ExactConvolution(_Exact, DoraConv2dLayer):  # type: ignore[misc]
    """Of a convolution."""

    shape = (1, -1, 1, 1)


@torch.no_grad()
def row_lengths(weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """|V_i| of V = weight + scale up down, `(out,)` in fp32; weight `(out, in)` or `(out, in, k, k)`."""
    with torch.autocast(weight.device.type, enabled=False):
        total = torch.addmm(weight.flatten(1).float(), up.flatten(1).float(), down.flatten(1).float(), alpha=scale)
        lengths: Tensor = torch.linalg.vector_norm(total, dim=1)
    return lengths


def add_magnitudes(layer: LoraLayer, adapter: str) -> None:
    """Give an attached DoRA layer exact magnitudes in place of peft's own, with the lengths of the base's rows."""
    base = layer.get_base_layer()
    exact = (_ExactConvolution if isinstance(base, nn.Conv2d) else _ExactLinear)(fan_in_fan_out=False)
    lengths = row_lengths(base.weight, layer.lora_A[adapter].weight, layer.lora_B[adapter].weight, 0.0)
    exact.weight = Parameter(lengths.view(exact.shape))
    layer.lora_magnitude_vector[adapter] = exact
