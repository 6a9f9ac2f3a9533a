"""An optimizer's memory as tensors and plain values, and back: what a resume state holds of it, never a pickle."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer


def optimizer_state(
    optimizer: Optimizer, weights: Mapping[str, Parameter], remembered: Sequence[str]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors `<weight>|<field>`, and values ready for JSON; `remembered` names what it keeps in its groups."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, float]] = {}
    for name, weight in weights.items():
        for field, value in optimizer.state.get(weight, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{name}|{field}"] = value
            else:
                numbers.setdefault(name, {})[field] = value
    groups = [{key: group[key] for key in remembered if key in group} for group in optimizer.param_groups]
    return tensors, {"groups": groups, "numbers": numbers}


def put_optimizer_state(
    optimizer: Optimizer,
    weights: Mapping[str, Parameter],
    tensors: Mapping[str, Tensor],
    values: Mapping[str, Any],
    remembered: Collection[str],
) -> None:
    """Put a memory back, as `optimizer_state` gave it.

    Raises ValueError, before any change, when it is of other weights or groups, or of a version that remembered more.
    """
    fields = [(*key.rpartition("|")[::2], tensor) for key, tensor in tensors.items()]
    groups, numbers = values["groups"], values["numbers"]
    strange = sorted(({name for name, _, _ in fields} | numbers.keys()) - weights.keys())
    if strange or len(groups) != len(optimizer.param_groups):
        raise ValueError(f"the optimizer's memory is of other weights ({strange[0] if strange else 'groups'})")
    unknown = sorted({key for one in groups for key in one.keys() - remembered})
    if unknown:
        raise ValueError(f"the optimizer's memory is of another version of it ({unknown[0]})")
    optimizer.state.clear()
    for name, field, tensor in fields:
        weight = weights[name]
        optimizer.state[weight][field] = tensor.to(_home(optimizer, field, weight), copy=True)
    for name, one in numbers.items():
        optimizer.state[weights[name]].update(one)
    for group, one in zip(optimizer.param_groups, groups, strict=True):
        group.update(one)


def _home(optimizer: Optimizer, field: str, weight: Parameter) -> torch.device:
    """Where a field lives: with its weight, except that torch counts steps on the CPU unless it is fused."""
    on_cpu = field == "step" and not optimizer.defaults.get("fused")
    return torch.device("cpu") if on_cpu else weight.device
