"""LoRA files acting on a base, each at its own weights, and gone again afterwards.

A1111 adds B A to the base's weights and restores them from a copy; here each layer's output gets what its files add,
which is the same product without rounding it into the base's number format, and leaves nothing to restore.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from trainer.contract.errors import unknown_name
from trainer.errors import BadSample, LoraFileError
from trainer.formats.convert.files import read
from trainer.formats.lora_modules import LoraModule
from trainer.model.base import BaseModel
from trainer.model.dora import row_lengths
from trainer.sampling.prompt import LoraTag

_LONGEST_HINT = 400
"""Characters of a list of names that still help."""


@dataclass(frozen=True, slots=True)
class Network:
    """A LoRA file in memory."""

    name: str
    """The file's name without its end, as prompts call it."""
    modules: dict[str, LoraModule]
    epoch: str
    """Epochs trained, as its metadata says; empty where it does not."""
    short_hash: str
    """12 digits by which A1111 knows the file; empty where its metadata has no hash."""


def read_network(path: Path) -> Network:
    """The LoRA in a kohya or diffusers file; raises LoraFileError."""
    lora = read(path)
    model_hash = str(lora.own.get("hashes", {}).get("sshs_model_hash", ""))
    return Network(path.stem, dict(lora.modules), lora.metadata.get("ss_epoch", "")[:9], model_hash[:12])


class Library:
    """LoRA files by the names prompts use, each read once."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = {file.stem: file for file in reversed(files)}
        self._read: dict[Path, Network] = {}

    def network(self, name: str) -> Network:
        """The file called so; the case counts only between two that differ in nothing else. Raises BadSample for one
        that is not there, and LoraFileError.
        """
        folded = {stem.casefold(): file for stem, file in self._files.items()}
        path = self._files.get(name) or folded.get(name.casefold())
        if path is None:
            near = unknown_name(name, self._files)
            known = (
                near if self._files and len(near) <= _LONGEST_HINT else f"none of {len(self._files)} files is called so"
            )
            raise BadSample(f"<lora:{name:.80}>: {known}.")
        return self.at(path)

    def at(self, path: Path) -> Network:
        """The file at this place. Raises LoraFileError."""
        if path not in self._read:
            self._read[path] = read_network(path)
        return self._read[path]


@dataclass(frozen=True, slots=True)
class Acting:
    """A network and how much it counts."""

    network: Network
    text_encoder: float = 1.0
    unet: float = 1.0


def acting(library: Library, tags: Sequence[LoraTag]) -> list[Acting]:
    """What a prompt's tags ask for."""
    return [Acting(library.network(tag.name), tag.text_encoder, tag.unet) for tag in tags]


@contextmanager
def attached(base: BaseModel, networks: Sequence[Acting]) -> Iterator[None]:
    """Let networks act on the base for a while, their sum where several reach a layer.

    Raises LoraFileError, with nothing attached, for a file made for another base.
    """
    additions: defaultdict[nn.Module, list[_Addition]] = defaultdict(list)
    for one in networks:
        for name, module in one.network.modules.items():
            weight = one.unet if name.startswith("unet.") else one.text_encoder
            layer = _layer(base, name, module, one.network.name)
            if weight:
                additions[layer].append(_Addition.of(layer, module, weight))
    with ExitStack() as stack:
        for layer, added in additions.items():
            stack.callback(layer.register_forward_hook(partial(_add, added)).remove)
        yield


@dataclass(frozen=True, slots=True)
class _Addition:
    """What one file adds to a layer's output."""

    down: Tensor
    up: Tensor
    scale: float
    """alpha / rank."""
    weight: float
    ratio: Tensor | None
    """DoRA: m / |V| of each output, shaped as the output, in fp32."""

    @classmethod
    def of(cls, layer: Any, module: LoraModule, weight: float) -> _Addition:
        """Everything on the layer's device and in its number format."""
        down, up = (half.to(layer.weight.device, layer.weight.dtype) for half in (module.down, module.up))
        scale, ratio = module.alpha / module.rank, None
        if module.magnitudes is not None:
            exact_down, exact_up = (half.to(layer.weight.device) for half in (module.down, module.up))
            lengths = row_lengths(layer.weight, exact_down, exact_up, scale)
            ratio = (module.magnitudes.to(lengths) / lengths).view(-1, *[1] * (module.down.dim() - 2))
        return cls(down, up, scale, weight, ratio)

    def __call__(self, layer: Any, x: Tensor, output: Tensor) -> Tensor:
        """To be added to the layer's own output. DoRA leads in a straight line from the base's rows to the trained
        ones: w ((m / |V|) (W x + s B A x) - W x).
        """
        down, up = self.down.to(x.device), self.up.to(x.device)
        if down.dim() == 4:
            inner = conv2d(x, down, None, layer.stride, layer.padding, layer.dilation)
            product = conv2d(inner, up)
        else:
            product = linear(linear(x, down), up)
        if self.ratio is None:
            return self.weight * self.scale * product
        ratio = self.ratio.to(x.device)
        bias = 0 if layer.bias is None else layer.bias.view(ratio.shape)
        added = self.weight * ((ratio - 1) * (output - bias) + ratio * self.scale * product)
        return added.to(output.dtype)


def _add(additions: Sequence[_Addition], layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook; every addition sees the layer's own output."""
    return output + sum(addition(layer, inputs[0], output) for addition in additions)


def _layer(base: BaseModel, name: str, module: LoraModule, file: str) -> nn.Module:
    """The base's layer of this name; raises LoraFileError where it is not there or has another shape."""
    part, _, path = name.partition(".")
    model = getattr(base, part)
    layer: Any = None
    for known in (path, path.removeprefix("text_model.")):  # transformers 5.6 dropped `text_model` of the first encoder
        try:
            layer = model.get_submodule(known)
        except AttributeError:
            continue
        break
    shape = (module.up.shape[0], *module.down.shape[1:])
    if layer is None or tuple(layer.weight.shape) != shape:
        raise LoraFileError(f"{file:.80} was made for another base than {base.name}: its {name} does not fit.")
    return layer  # type: ignore[no-any-return]
