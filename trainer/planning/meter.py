"""A forward and a backward pass taken apart into stretches: what each holds in memory, and reckons.

Works on torch's meta device, where tensors have shapes and no memory, and on real tensors alike: every storage is
counted from the operation that made it until the last tensor on it is gone.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_ATEN = torch.ops.aten
_FLOPS = {**flop_registry, _ATEN.addmm_: flop_registry[_ATEN.addmm]}
"""What torch counts, and the sum with a product that it knows only when it makes a new tensor."""


@dataclass(slots=True)
class Stretch:
    """A piece of a step, within one unit or between units; in bytes."""

    unit: str
    """Path of the unit; empty between units."""
    backward: bool
    net: float = 0.0
    """How much more is held after it than before."""
    rise: float = 0.0
    """How much more is held within it, at most, than before it."""
    flops: float = 0.0
    """Multiplications and additions."""


@dataclass(slots=True)
class Meter:
    """What was measured."""

    stretches: list[Stretch] = field(default_factory=list)
    saved: dict[str, float] = field(default_factory=dict)
    """Bytes each unit holds for its own backward pass: neither weights, nor what came in or goes out."""
    workspace: float = 0.0
    """Bytes of maps that the largest convolution reads and writes: about what cuDNN takes beside them."""


@contextmanager
def measuring(model: nn.Module, units: Iterable[str], given: Iterable[Tensor] = ()) -> Iterator[Meter]:
    """Inside, whatever runs is measured; the model's weights and what is `given` to it count as nothing."""
    meter = Meter()
    watch = _Watch(meter, (*model.parameters(), *model.buffers(), *given))
    handles = []
    for path in units:
        unit = model.get_submodule(path)
        handles.append(unit.register_forward_pre_hook(watch.entering(path)))
        handles.append(unit.register_forward_hook(watch.leaving(path)))
    try:
        with watch, _FlashAttention(), torch.autograd.graph.saved_tensors_hooks(watch.pack, watch.unpack):
            yield meter
        watch.begin("", backward=True)
    finally:
        for handle in handles:
            handle.remove()


class _FlashAttention(TorchFunctionMode):
    """On the meta device attention is the fused kernel: torch would take the one that holds all its weights there.

    All fused kernels, of any device, save the same: q, k, v, the answer, and a number a row.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is functional.scaled_dot_product_attention and args[0].is_meta:
            return torch.ops.aten._scaled_dot_product_flash_attention.default(*args[:3])[0]
        return func(*args, **(kwargs or {}))


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation, every tensor saved for the backward pass, and every storage's end."""

    def __init__(self, meter: Meter, there: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._meter = meter
        self._there = {_key(tensor) for tensor in there}
        self._alive: dict[int, tuple[Any, str]] = {}
        self._live = 0
        self._at_start = 0
        self._own: dict[str, dict[int, int]] = {}
        self._current = Stretch("", False)
        meter.stretches.append(self._current)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, Tensor):
                self._see(tensor)
        if func._overloadpacket is _ATEN.convolution:
            sizes = (tensor.numel() * tensor.element_size() for tensor in (args[0], out))
            self._meter.workspace = max(self._meter.workspace, float(sum(sizes)))
        count = _FLOPS.get(func._overloadpacket)
        if count is not None:
            self._current.flops += count(*args, **(kwargs or {}), out_val=out)
        return out

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive or key in self._there:
            return
        size = storage.nbytes()

        def gone(_: object) -> None:
            self._live -= size
            del self._alive[key]

        self._alive[key] = weakref.ref(storage, gone), self._current.unit
        self._live += size
        self._current.rise = max(self._current.rise, self._live - self._at_start)

    # --- where in the step ------------------------------------------------------------------------------------------
    def begin(self, unit: str, *, backward: bool) -> None:
        """The stretch so far ends, another begins."""
        self._current.net = self._live - self._at_start
        self._current = Stretch(unit, backward)
        self._at_start = self._live
        self._meter.stretches.append(self._current)

    def entering(self, path: str) -> Callable[..., None]:
        """A hook before the unit's forward pass."""

        def hook(_module: nn.Module, _inputs: object) -> None:
            self._own[path] = {}
            self.begin(path, backward=False)

        return hook

    def leaving(self, path: str) -> Callable[..., None]:
        """A hook behind it."""

        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._own[path].pop(_key(output), None)
            self._meter.saved[path] = float(sum(self._own[path].values()))
            self.begin("", backward=False)

        return hook

    # --- what is saved ----------------------------------------------------------------------------------------------
    def pack(self, tensor: Tensor) -> tuple[str, Tensor]:
        """A tensor is saved: whose it is, with it."""
        unit, key = self._current.unit, _key(tensor)
        if unit and key in self._alive and self._alive[key][1] == unit:
            self._own[unit][key] = tensor.untyped_storage().nbytes()
        return unit, tensor

    def unpack(self, saved: tuple[str, Tensor]) -> Tensor:
        """It is needed: the backward pass has come to its unit."""
        unit, tensor = saved
        if not self._current.backward or self._current.unit != unit:
            self.begin(unit, backward=True)
        return tensor


def _key(tensor: Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key
