"""The LoRA in the base: attached, read out, put back, and weighed (Hu et al. 2021, arXiv:2106.09685).

Each target y = W x becomes y = W x + scale B A x, with W frozen, A (rank, in) and B (out, rank) trained and scale =
alpha / rank, or alpha / sqrt(rank) when rank-stabilised. On a convolution A is one of the same kernel with `rank`
outputs and B a 1x1 convolution (LoCon). Which modules are targets is in `lora_targets`, DoRA in `dora`.

The adapters are peft's, except for their forward pass and dropout (see `adapter`) and DoRA's magnitudes (see `dora`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor, nn
from torch.nn import Parameter

from trainer.contract.config import TrainConfig
from trainer.model.adapter import ADAPTER, Adapted, AdaptedConvolution, AdaptedLinear
from trainer.model.base import BaseModel
from trainer.model.dora import start_magnitudes
from trainer.model.lora_targets import is_spatial, text_targets, unet_targets


def attach_lora(
    base: BaseModel, config: TrainConfig, seed: int, *, dtype: torch.dtype = torch.float32
) -> dict[str, Parameter]:
    """Attach a fresh LoRA to the UNet, and to the text encoders the settings name; everything else is frozen.

    Returns its weights by name, as in `lora_state`, in `dtype` (DoRA's magnitudes always in fp32: bf16 could not hold
    their small changes). A starts kaiming-uniform with a = sqrt(5) (Microsoft's and kohya's choice) from the seed
    alone, B at zero and magnitudes at the base's own, so the base's output is unchanged until the first step.
    """
    _attach(base.unet, unet_targets(base.unet, config), config)
    for encoder, wanted in (
        (base.text_encoder, config.text_encoder_1),
        (base.text_encoder_2, config.text_encoder_2),
    ):
        if wanted:
            _attach(encoder, text_targets(encoder), config)
    generator = torch.Generator().manual_seed(seed)
    weights = dict(_weights(base))
    for name, parameter in weights.items():
        if not name.endswith("lora_magnitude_vector.weight"):
            start = torch.zeros(parameter.shape)
            if name.endswith("lora_A.weight"):
                nn.init.kaiming_uniform_(start, a=math.sqrt(5), generator=generator)
            parameter.data = start.to(parameter.device, dtype)
        parameter.requires_grad_(True)
    return weights


def _attach(model: Any, paths: list[str], config: TrainConfig) -> None:
    """Put peft's adapters on these modules of the model."""
    spatial = [path for path in paths if is_spatial(model.get_submodule(path))]
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        rank_pattern=dict.fromkeys(spatial, config.conv_rank),
        alpha_pattern=dict.fromkeys(spatial, config.conv_alpha),
        use_dora=config.decompose,
        use_rslora=config.rank_stabilised,
        target_modules=paths,
    )
    # peft's documented way to layers of one's own (developer guide, custom models).
    lora._register_custom_module({nn.Linear: AdaptedLinear, nn.Conv2d: AdaptedConvolution})
    model.add_adapter(lora, adapter_name=ADAPTER)
    for _, layer in _layers(model):
        layer.dropout_share = config.dropout
        if config.decompose:
            layer.lora_magnitude_vector[ADAPTER] = start_magnitudes(layer.base_layer)
        # What peft adds is in training mode, whatever mode the model is in.
        layer.train(model.training)


def lora_state(base: BaseModel) -> dict[str, Tensor]:
    """The LoRA's weights: `<part>.<module path>.lora_A.weight`, `.lora_B.weight` and with DoRA also
    `.lora_magnitude_vector.weight`.

    Parts are `unet`, `text_encoder` and `text_encoder_2`; the encoders' paths begin with `text_model` whatever the
    version of transformers. Shapes: A `(rank, in)` or `(rank, in, k, k)`, B `(out, rank)` or `(out, rank, 1, 1)`,
    magnitudes `(out,)` or `(1, out, 1, 1)`.
    """
    return {name: parameter.detach() for name, parameter in _weights(base)}


def scales(base: BaseModel) -> dict[str, float]:
    """What B A is multiplied by in each module, by `<part>.<module path>`."""
    return {name: float(layer.scaling[ADAPTER]) for name, layer in _named_layers(base)}


def load_lora_state(base: BaseModel, state: Mapping[str, Tensor]) -> None:
    """Put weights back into an attached LoRA; raises ValueError when they are another LoRA's."""
    put_weights(dict(_weights(base)), state)


def put_weights(weights: Mapping[str, Parameter], state: Mapping[str, Tensor]) -> None:
    """Copy a LoRA's values into its parameters; raises ValueError when names or shapes differ, before any change."""
    wanted = {name: tuple(parameter.shape) for name, parameter in weights.items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if wanted != given:
        different = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
        raise ValueError(f"{len(different)} LoRA weights differ in name or shape, first {different[0]}")
    for name, parameter in weights.items():
        parameter.data.copy_(state[name])


def adapted_layers(base: BaseModel) -> list[Any]:
    """The layers with a LoRA of ours. To find them walks through every module of three models."""
    return [layer for _, layer in _named_layers(base)]


@contextmanager
def lora_weight(layers: Sequence[Any], weight: float) -> Iterator[None]:
    """Let the LoRA of `adapted_layers` act with this weight for a while, as `<lora:name:weight>` does; 0 is the base
    alone.

    With DoRA the weight leads from the base's W to the trained one in a straight line, as in A1111 and ComfyUI.
    """
    before = [(layer.scaling[ADAPTER], layer.magnitudes) for layer in layers]
    for layer, (scale, magnitudes) in zip(layers, before, strict=True):
        if magnitudes is None:
            layer.scaling[ADAPTER] = scale * weight
        else:
            magnitudes.strength = weight
    try:
        yield
    finally:
        for layer, (scale, magnitudes) in zip(layers, before, strict=True):
            layer.scaling[ADAPTER] = scale
            if magnitudes is not None:
                magnitudes.strength = 1.0


def _weights(base: BaseModel) -> Iterator[tuple[str, Parameter]]:
    """The LoRA's parameters by their public name, part by part, sorted by module path, A before B."""
    for name, layer in _named_layers(base):
        yield f"{name}.lora_A.weight", layer.lora_A[ADAPTER].weight
        yield f"{name}.lora_B.weight", layer.lora_B[ADAPTER].weight
        magnitudes = layer.magnitudes
        if magnitudes is not None:
            yield f"{name}.lora_magnitude_vector.weight", magnitudes.weight


def _named_layers(base: BaseModel) -> Iterator[tuple[str, Any]]:
    for path, layer in _layers(base.unet):
        yield f"unet.{path}", layer
    for part, encoder in (("text_encoder", base.text_encoder), ("text_encoder_2", base.text_encoder_2)):
        for path, layer in _layers(encoder):
            # transformers 5.6 and later leaves text_model out of the first encoder's paths.
            yield f"{part}.text_model.{path.removeprefix('text_model.')}", layer


def _layers(model: nn.Module) -> list[tuple[str, Any]]:
    """The model's modules with a LoRA of ours, sorted by path."""
    layers = ((path, module) for path, module in model.named_modules() if isinstance(module, Adapted))
    return sorted(layers, key=lambda pair: pair[0])
