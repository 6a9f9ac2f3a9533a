"""Layers with a LoRA beside them: peft's, with a forward pass of our own.

peft's asks for adapters, variants and casts at every call, and computes in the LoRA's number format: fp32 weights make
an fp32 copy of each input, and fp32 products. Under autocast the products are fast, but then every norm of the base
works on fp32 copies too. Here the arithmetic is in the number format of the layer's input and nothing needs autocast:
the trained weights are masters in a format of their own, cast where they are used. y = W x + scale B A x is two
products and one product-with-sum.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from peft.tuners.lora import Conv2d, Linear
from torch import Tensor, nn
from torch.nn.functional import conv2d, dropout, linear

from trainer.model.dora import Magnitudes

ADAPTER = "default"


class Adapted(ABC):
    """What both kinds of layer share. A LoRA at scale 0 is not computed: the output is the base's own."""

    dropout_share: float = 0.0
    """Share of the inner activations left out in training, from torch's global generator (kohya: network_dropout);
    peft's own dropout leaves out of the LoRA's input."""
    base_layer: Any
    lora_A: Any
    lora_B: Any
    lora_magnitude_vector: Any
    scaling: dict[str, float]
    training: bool

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """The base layer's output and what the LoRA adds, in the number format of `x`."""
        result: Tensor = self.base_layer(x)
        scale, magnitudes = self.scaling[ADAPTER], self.magnitudes
        if scale == 0.0 or (magnitudes is not None and magnitudes.strength == 0.0):
            return result
        down, up = self.lora_A[ADAPTER].weight, self.lora_B[ADAPTER].weight
        inner = self._inner(x, down.to(x.dtype))
        if self.dropout_share:
            inner = dropout(inner, self.dropout_share, self.training)
        if magnitudes is None:
            return self._sum(result, inner, up.to(x.dtype), scale)
        product = self._sum(None, inner, up.to(x.dtype), scale)
        added: Tensor = magnitudes(product, result, self.base_layer, down, up, scale)
        return result + added.to(result.dtype)

    @property
    def magnitudes(self) -> Magnitudes | None:
        """DoRA's, where the layer has them."""
        vectors = self.lora_magnitude_vector
        return vectors[ADAPTER] if ADAPTER in vectors else None  # noqa: SIM401 - a ModuleDict has no get

    @abstractmethod
    def _inner(self, x: Tensor, down: Tensor) -> Tensor:
        """A x."""

    @abstractmethod
    def _sum(self, result: Tensor | None, inner: Tensor, up: Tensor, scale: float) -> Tensor:
        """result + scale B inner; without a result the product alone."""


class AdaptedLinear(Adapted, Linear):  # type: ignore[misc]  # peft has no types
    """A linear layer; A `(rank, in)`, B `(out, rank)`."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """See Adapted. All in two dimensions, in which the base layer's output is a tensor of its own and no view."""
        flat = super().forward(x.flatten(0, -2))
        return flat.view(*x.shape[:-1], flat.shape[-1])

    def _inner(self, x: Tensor, down: Tensor) -> Tensor:
        return linear(x, down)

    def _sum(self, result: Tensor | None, inner: Tensor, up: Tensor, scale: float) -> Tensor:
        if result is None:
            return scale * linear(inner, up)
        if type(self.base_layer) is nn.Linear:
            # Nobody else holds its output, and its backward pass does not ask for it: no copy is made of it here.
            return result.addmm_(inner, up.t(), alpha=scale)
        return torch.addmm(result, inner, up.t(), alpha=scale)


class AdaptedConvolution(Adapted, Conv2d):  # type: ignore[misc]
    """A convolution; A of the same kernel with `rank` outputs, B a 1x1 convolution (LoCon)."""

    def _inner(self, x: Tensor, down: Tensor) -> Tensor:
        base = self.base_layer
        return conv2d(x, down, None, base.stride, base.padding, base.dilation)

    def _sum(self, result: Tensor | None, inner: Tensor, up: Tensor, scale: float) -> Tensor:
        product = conv2d(inner, up)
        return scale * product if result is None else torch.add(result, product, alpha=scale)
