"""The LoRA in the UNet: attached, counted, read out, put back, and weighed (Hu et al. 2021, arXiv:2106.09685).

Each target y = W x becomes y = W x + (alpha / rank) B A x, with W frozen, A (rank, in) and B (out, rank) trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import Parameter

from trainer.contract.config import Targets, TrainConfig

ADAPTER = "default"
_ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0")


def target_modules(unet: nn.Module, targets: Targets) -> list[str]:
    """Paths of the linear layers a LoRA is attached to, sorted.

    `kohya`: every one inside the transformers (722 in SDXL, sd-scripts' set); `attention`: q, k, v, out (560).
    """
    linears = {
        f"{path}.{inner}"
        for path, module in unet.named_modules()
        if isinstance(module, Transformer2DModel)
        for inner, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
    }
    return sorted(path for path in linears if targets == "kohya" or path.endswith(_ATTENTION))


def attach_lora(
    unet: Any, config: TrainConfig, seed: int, *, dtype: torch.dtype = torch.float32
) -> dict[str, Parameter]:
    """Attach a fresh LoRA to the UNet and return its weights by name, as in `lora_state`; everything else is frozen.

    A starts kaiming-uniform with a = sqrt(5) (Microsoft's and kohya's choice) from the seed alone, B at zero, so the
    UNet's output is the base's until the first step.
    """
    paths = target_modules(unet, config.targets)
    unet.add_adapter(LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=paths), adapter_name=ADAPTER)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in _weights(unet):
        start = torch.zeros(parameter.shape)
        if name.endswith("lora_A.weight"):
            nn.init.kaiming_uniform_(start, a=math.sqrt(5), generator=generator)
        parameter.data = start.to(parameter.device, dtype)
    return dict(_weights(unet))


def lora_state(unet: nn.Module) -> dict[str, Tensor]:
    """The LoRA's weights: `<module path>.lora_A.weight` (rank, in) and `.lora_B.weight` (out, rank)."""
    return {name: parameter.detach() for name, parameter in _weights(unet)}


def load_lora_state(unet: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put weights back into an attached LoRA; raises ValueError when they are another LoRA's."""
    put_weights(dict(_weights(unet)), state)


def put_weights(weights: Mapping[str, Parameter], state: Mapping[str, Tensor]) -> None:
    """Copy a LoRA's values into its parameters; raises ValueError when names or shapes differ, before any change."""
    wanted = {name: tuple(parameter.shape) for name, parameter in weights.items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if wanted != given:
        different = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
        raise ValueError(f"{len(different)} LoRA weights differ in name or shape, first {different[0]}")
    for name, parameter in weights.items():
        parameter.data.copy_(state[name])


@contextmanager
def lora_weight(unet: nn.Module, weight: float) -> Iterator[None]:
    """Let the LoRA act with this weight for a while, as `<lora:name:weight>` does; 0 is the base alone."""
    layers = [module for module in unet.modules() if isinstance(module, LoraLayer)]
    before = [layer.scaling[ADAPTER] for layer in layers]
    for layer, scale in zip(layers, before, strict=True):
        layer.scaling[ADAPTER] = scale * weight
    try:
        yield
    finally:
        for layer, scale in zip(layers, before, strict=True):
            layer.scaling[ADAPTER] = scale


def _weights(unet: nn.Module) -> Iterator[tuple[str, Parameter]]:
    """The LoRA's parameters by their public name, sorted by module path, A before B."""
    layers = [(path, module) for path, module in unet.named_modules() if isinstance(module, LoraLayer)]
    for path, layer in sorted(layers, key=lambda pair: pair[0]):
        yield f"{path}.lora_A.weight", layer.lora_A[ADAPTER].weight
        yield f"{path}.lora_B.weight", layer.lora_B[ADAPTER].weight
