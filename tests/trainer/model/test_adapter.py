"""A layer with a LoRA: the formula's bits, and no copy of the base layer's output."""

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from torch.nn.functional import linear
from torch.utils._python_dispatch import TorchDispatchMode

from trainer.model.adapter import ADAPTER, AdaptedLinear

SCALE = 0.5


def layer_over(base, dtype):
    """The layer, its LoRA filled and in fp32."""
    network = nn.Sequential(base.to(dtype).requires_grad_(False))
    config = LoraConfig(r=4, lora_alpha=4 * SCALE, target_modules=["0"])
    config._register_custom_module({type(base): AdaptedLinear})
    layer = inject_adapter_in_model(config, network)[0]
    for part in (layer.lora_A, layer.lora_B):
        part[ADAPTER].weight.data = torch.randn(part[ADAPTER].weight.shape)
    return layer


class Made(TorchDispatchMode):
    """Counts new memory of so many numbers."""

    def __init__(self, size):
        super().__init__()
        self.size = size
        self.seen = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.numel() == self.size:
            self.seen[out.untyped_storage()._cdata] = out
        return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 8), (2, 5, 8), (2, 3, 5, 8)])
def test_answer_and_gradients_are_the_formulas_without_a_copy(dtype, shape):
    torch.manual_seed(0)
    layer = layer_over(nn.Linear(8, 6), dtype)
    down, up = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
    x = torch.randn(shape).to(dtype).requires_grad_()
    with Made(x.numel() // 8 * 6) as made:
        answer = layer(x)
    assert len(made.seen) == 1
    own, inner = linear(x, layer.base_layer.weight, layer.base_layer.bias), linear(x, down.to(dtype))
    formula = torch.addmm(own.flatten(0, -2), inner.flatten(0, -2), up.to(dtype).t(), alpha=SCALE).view_as(own)
    towards = torch.randn(answer.shape).to(dtype)
    ours, theirs = (torch.autograd.grad(one, (x, down, up), towards) for one in (answer, formula))
    assert answer.equal(formula)
    assert all(one.equal(other) for one, other in zip(ours, theirs, strict=True))


class Remembering(nn.Linear):
    """Keeps what it has said."""

    def forward(self, x):
        self.said = super().forward(x)
        return self.said


def test_what_another_kind_of_base_layer_keeps_is_left_alone():
    torch.manual_seed(0)
    layer = layer_over(Remembering(8, 6), torch.float32)
    x = torch.randn(2, 5, 8)
    answer = layer(x)
    base = layer.base_layer
    assert torch.allclose(base.said, linear(x.flatten(0, 1), base.weight, base.bias))
    assert not torch.allclose(answer.flatten(0, 1), base.said)
