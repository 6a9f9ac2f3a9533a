"""DoRA's magnitudes: peft's own result in fp32, and as exact where the arithmetic is in bf16."""

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from trainer.model.adapter import AdaptedConvolution, AdaptedLinear
from trainer.model.dora import row_lengths, start_magnitudes


def pair(kind, magnitudes):
    """The same small layer with peft's DoRA and with ours, on the same weights, and an input."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(6, 5) if kind == "linear" else nn.Conv2d(6, 5, 3, stride=2, padding=1))
    seen = torch.randn(2, 6) if kind == "linear" else torch.randn(2, 6, 8, 8)
    layers = []
    for ours in (False, True):
        torch.manual_seed(1)
        model = nn.Sequential(type(plain[0])(*((6, 5) if kind == "linear" else (6, 5, 3, 2, 1))))
        model.load_state_dict(plain.state_dict())
        model.requires_grad_(False)
        config = LoraConfig(r=2, lora_alpha=3, target_modules=["0"], use_dora=True, init_lora_weights=False)
        if ours:
            config._register_custom_module({nn.Linear: AdaptedLinear, nn.Conv2d: AdaptedConvolution})
        layer = inject_adapter_in_model(config, model)[0]
        if ours:
            layer.lora_magnitude_vector["default"] = start_magnitudes(layer.base_layer)
        weight = layer.lora_magnitude_vector["default"].weight
        weight.data = magnitudes.view_as(weight).clone()
        layers.append(layer)
    return *layers, seen


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_outputs_and_gradients_are_pefts(kind):
    theirs, ours, seen = pair(kind, torch.linspace(1, 2, 5))
    for layer in (theirs, ours):
        layer(seen).square().sum().backward()
    assert (theirs(seen) - ours(seen)).abs().max() < 1e-6
    weights = dict(theirs.named_parameters())
    checked = [name for name, parameter in ours.named_parameters() if parameter.grad is not None]
    assert len(checked) == 3
    for name in checked:
        assert weights[name].grad.abs().max() > 1e-3
        assert (weights[name].grad - ours.get_parameter(name).grad).abs().max() < 1e-4


def test_lengths_are_fp32_beside_a_bf16_base_too():
    """peft's are rounded to bf16 there, which moves whole rows by up to 0.2 %."""
    theirs, ours, _ = pair("linear", torch.ones(5))
    weight = ours.base_layer.weight.bfloat16()
    down, up = ours.lora_A["default"].weight, ours.lora_B["default"].weight
    exact = (weight.double() + 1.5 * up.double() @ down.double()).norm(dim=1)
    lengths = row_lengths(weight, down, up, 1.5)
    rounded = theirs.lora_magnitude_vector["default"].get_weight_norm(weight, (up @ down).bfloat16(), scaling=1.5)
    assert lengths.dtype == torch.float32
    assert (lengths / exact - 1).abs().max() < 1e-6
    assert (rounded.double() / exact - 1).abs().max() > 1e-4
