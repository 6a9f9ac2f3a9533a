"""One forward and one backward pass of a job's UNet with its LoRA, carried out on shapes alone.

Everything is linear in the rows that go through together, so one row and two say it for any number; and a transformer's
blocks are all alike, so two of each stand for all of them (`_unfolded`). SDXL takes seconds that way, not a minute.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from trainer.contract.config import TrainConfig
from trainer.contract.limits import LATENT_FACTOR
from trainer.data.texts import trains_text
from trainer.model.base import BaseModel
from trainer.model.checkpointing import units
from trainer.model.device import Numbers
from trainer.model.lora import attach_lora
from trainer.planning.architecture import Architecture
from trainer.planning.meter import Meter, Stretch, measuring

TEXT_LENGTH = 77
"""Tokens of a chunk with its two marks."""
_LAYERS = "transformer_layers_per_block"
_BLOCKS = ".transformer_blocks."


@dataclass(frozen=True, slots=True)
class Pass:
    """A forward and a backward pass over a number of rows; bytes are those beyond weights, nothing recomputed."""

    stretches: tuple[Stretch, ...]
    saved: Mapping[str, float]
    """Bytes each unit holds from its forward to its backward pass, in the order they run."""
    workspace: float
    """Bytes of cuDNN's on a GPU, beside what is held (see `Meter`)."""

    def peak(self, recomputed: Collection[str] = ()) -> float:
        """Most bytes held at once when these units are recomputed."""
        live = most = 0.0
        again: set[str] = set()
        for stretch in self.stretches:
            unit = stretch.unit if stretch.unit in recomputed else ""
            if unit and stretch.backward and unit not in again:
                again.add(unit)
                most = max(most, live + self._rises[unit])
                live += self.saved[unit]
            most = max(most, live + stretch.rise)
            live += stretch.net - (self.saved[unit] if unit and not stretch.backward else 0.0)
        return most

    @property
    def _rises(self) -> dict[str, float]:
        return {one.unit: one.rise for one in self.stretches if not one.backward}

    @property
    def flops_of(self) -> dict[str, float]:
        """Of each unit's forward pass: what it costs to recompute it."""
        return {one.unit: one.flops for one in self.stretches if one.unit and not one.backward}

    @property
    def forward_flops(self) -> float:
        """Of the whole forward pass."""
        return sum(one.flops for one in self.stretches if not one.backward)

    @property
    def flops(self) -> float:
        """Of both passes, nothing recomputed."""
        return sum(one.flops for one in self.stretches)


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a job's UNet takes."""

    one: Pass
    two: Pass
    alone: tuple[float, float]
    """Most bytes held in a forward pass that nothing follows, over one row and over two."""
    unet_weights: int
    """Numbers in the frozen UNet."""
    lora_weights: int
    """Numbers that are trained, text encoders' included."""
    lora_rims: int
    """Numbers on the two rims of their matrices, which is what Adafactor remembers."""

    def forward_peak(self, rows: int) -> float:
        """Most bytes held in a forward pass over so many rows that nothing follows."""
        one, two = self.alone
        return one + (two - one) * (rows - 1)

    def rows(self, number: int) -> Pass:
        """The pass over so many rows."""

        def at(one: float, two: float) -> float:
            return one + (two - one) * (number - 1)

        stretches = tuple(
            Stretch(a.unit, a.backward, at(a.net, b.net), at(a.rise, b.rise), at(a.flops, b.flops))
            for a, b in zip(self.one.stretches, self.two.stretches, strict=True)
        )
        saved = {unit: at(size, self.two.saved[unit]) for unit, size in self.one.saved.items()}
        return Pass(stretches, MappingProxyType(saved), at(self.one.workspace, self.two.workspace))


def simulate(base: Architecture, config: TrainConfig, numbers: Numbers, chunks: int = 1) -> Simulation:
    """What the job's UNet takes, at its resolution squared and with texts of so many chunks.

    Uncompiled: a compiled block holds about 15 % less for its backward pass, since it computes its feed-forward's gelu
    once more, so what is said of compiled runs is too much, never too little: measured on a CPU, 11 % with two blocks
    in a transformer and 14 % with eight. Where the compiler fails or gives up, a run is uncompiled after all.
    """
    return _simulate(base, _that_matters(config), numbers, chunks)


def _that_matters(config: TrainConfig) -> TrainConfig:
    """The settings a simulation depends on; all others as they are by default, so that results can be remembered."""
    networks = ("rank", "targets", "conv_rank", "decompose", "dropout", "text_encoder_1", "text_encoder_2")
    sides = ("resolution", "bucket_step", "bucket_min", "bucket_max")
    return TrainConfig(**{name: getattr(config, name) for name in (*networks, *sides)})


@lru_cache(maxsize=64)
def _simulate(architecture: Architecture, config: TrainConfig, numbers: Numbers, chunks: int) -> Simulation:
    layers = _layers(architecture.config("unet"))
    changes = {_LAYERS: [min(2, number) for number in layers]} if layers else {}
    base = _model(architecture, config, numbers.base, changes)
    with torch.device("meta"):
        weights = attach_lora(base, config, 0, dtype=numbers.lora)
    copies = _copies(base.unet, layers)
    one, two = (_unfolded(_measured(base, config, numbers.base, chunks, rows), copies) for rows in (1, 2))
    trained = [(weight, _times(name, copies)) for name, weight in weights.items()]
    frozen = [(one, _times(name, copies)) for name, one in base.unet.named_parameters() if not one.requires_grad]
    return Simulation(
        one,
        two,
        alone=(_alone(base, config, numbers.base, chunks, 1), _alone(base, config, numbers.base, chunks, 2)),
        unet_weights=_count(frozen),
        lora_weights=_count(trained),
        lora_rims=sum(_rims(weight.shape) * times for weight, times in trained),
    )


def _count(weights: Sequence[tuple[Parameter, int]]) -> int:
    return sum(weight.numel() * times for weight, times in weights)


def _rims(shape: torch.Size) -> int:
    """Sums over the last axis and over the one before it (Shazeer and Stern 2018); a vector is kept whole."""
    return shape.numel() // shape[-1] + shape.numel() // shape[-2] if len(shape) > 1 else shape.numel()


def _model(base: Architecture, config: TrainConfig, dtype: torch.dtype, changes: Mapping[str, Any]) -> BaseModel:
    """The base without memory; text encoders only where they are trained."""
    nothing = nn.Identity()
    encoders = {"text_encoder": config.text_encoder_1, "text_encoder_2": config.text_encoder_2}
    both = trains_text(config)
    return BaseModel(
        unet=base.build("unet", dtype, **changes),
        vae=nothing,
        **{part: base.build(part, dtype) if both else nothing for part in encoders},
        tokenizer=None,
        tokenizer_2=None,
        scheduler_config={},
        prediction_type="epsilon",
        zeros_for_empty_prompt=True,
        name="",
        sha256="",
    )


@dataclass(frozen=True, slots=True)
class _Given:
    """What the UNet is given."""

    latents: Tensor
    timesteps: Tensor
    text: Tensor
    conditions: Mapping[str, Tensor]

    def all(self) -> tuple[Tensor, ...]:
        """Every tensor of it."""
        return self.latents, self.timesteps, self.text, *self.conditions.values()


def _given(base: BaseModel, config: TrainConfig, dtype: torch.dtype, chunks: int, rows: int) -> _Given:
    unet: Any = base.unet
    side = config.resolution // LATENT_FACTOR
    pooled = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
    with torch.device("meta"):
        return _Given(
            torch.zeros(rows, unet.config.in_channels, side, side, dtype=dtype),
            torch.zeros(rows, dtype=torch.long),
            torch.zeros(rows, TEXT_LENGTH * chunks, unet.config.cross_attention_dim, dtype=dtype),
            {"text_embeds": torch.zeros(rows, pooled, dtype=dtype), "time_ids": torch.zeros(rows, 6)},
        )


def _measured(base: BaseModel, config: TrainConfig, dtype: torch.dtype, chunks: int, rows: int) -> Meter:
    """A forward and a backward pass over so many rows."""
    unet: Any = base.unet.train()
    given = _given(base, config, dtype, chunks, rows)
    text, conditions = given.text, dict(given.conditions)
    parts = nn.ModuleDict({"unet": unet, "one": base.text_encoder, "two": base.text_encoder_2})
    paths = [f"unet.{path}" for path in units(unet, from_start=config.text_encoder_2)]
    with measuring(parts, paths, given.all()) as meter:
        if trains_text(config):
            text, conditions["text_embeds"] = _read(base, rows, chunks)
        answer = unet(given.latents, given.timesteps, encoder_hidden_states=text, added_cond_kwargs=conditions).sample
        loss = answer.float().square().mean()
        del answer, text, conditions
        loss.backward()
    parts.zero_grad(set_to_none=True)
    return meter


@torch.no_grad()
def _alone(base: BaseModel, config: TrainConfig, dtype: torch.dtype, chunks: int, rows: int) -> float:
    """Most bytes held in a forward pass over so many rows that nothing follows."""
    unet: Any = base.unet
    given = _given(base, config, dtype, chunks, rows)
    with measuring(unet, (), given.all()) as meter:
        unet(given.latents, given.timesteps, encoder_hidden_states=given.text, added_cond_kwargs=dict(given.conditions))
    return meter.stretches[0].rise


def _read(base: BaseModel, rows: int, chunks: int) -> tuple[Tensor, Tensor]:
    """What trained text encoders say (see `trainer.model.text`)."""
    with torch.device("meta"):
        tokens = torch.zeros(rows * chunks, TEXT_LENGTH, dtype=torch.long)
    one, two = (encoder(tokens, output_hidden_states=True) for encoder in (base.text_encoder, base.text_encoder_2))
    hidden = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1)
    return hidden.reshape(rows, TEXT_LENGTH * chunks, -1), two[0][::chunks]


# --- two blocks for many ----------------------------------------------------------------------------------------------
def _layers(config: Mapping[str, Any]) -> list[int]:
    """Transformer blocks of each stage where the config says it plainly; empty otherwise, and nothing is folded."""
    number, stages = config.get(_LAYERS, 1), len(config["down_block_types"])
    if config.get("reverse_transformer_layers_per_block"):
        return []
    if isinstance(number, int):
        return [number] * stages
    return list(number) if all(isinstance(one, int) for one in number) else []


def _copies(unet: nn.Module, layers: Sequence[int]) -> dict[str, int]:
    """How many blocks more than itself the second block of a transformer stands for, by the transformer's path."""
    if not layers:
        return {}
    stages = {f"down_blocks.{place}.": number for place, number in enumerate(layers)}
    stages |= {f"up_blocks.{place}.": number for place, number in enumerate(reversed(layers))}
    stages["mid_block."] = layers[-1]
    paths = [path.removesuffix(_BLOCKS[:-1]) for path, _ in unet.named_modules() if path.endswith(_BLOCKS[:-1])]
    return {path: max(0, number - 2) for path in paths for start, number in stages.items() if path.startswith(start)}


def _times(name: str, copies: Mapping[str, int]) -> int:
    """How many weights of the whole network a weight of the folded one stands for."""
    path, _, rest = name.removeprefix("unet.").partition(_BLOCKS)
    return 1 + copies.get(path, 0) if rest.startswith("1.") else 1


def _unfolded(meter: Meter, copies: Mapping[str, int]) -> Pass:
    """The pass of the whole network: behind each second block come those it stands for, before it on the way back."""
    stretches = [replace(one, unit=one.unit.removeprefix("unet.")) for one in meter.stretches]
    saved = {unit.removeprefix("unet."): size for unit, size in meter.saved.items()}
    whole: list[Stretch] = []
    for (unit, backward), group in groupby(stretches, key=lambda one: (one.unit, one.backward)):
        own = list(group)
        others = [replace(one, unit=other) for other in _others(unit, copies) for one in own]
        whole += [*_reversed_groups(others, len(own)), *own] if backward else [*own, *others]
    sizes = {other: size for unit, size in saved.items() for other in (unit, *_others(unit, copies))}
    return Pass(tuple(whole), MappingProxyType(sizes), meter.workspace)


def _reversed_groups(stretches: Sequence[Stretch], size: int) -> Iterator[Stretch]:
    """Groups of `size` stretches, the last group first."""
    for end in range(len(stretches), 0, -size):
        yield from stretches[end - size : end]


def _others(unit: str, copies: Mapping[str, int]) -> list[str]:
    """Paths of the blocks that a second block stands for."""
    path, _, place = unit.partition(_BLOCKS)
    return [f"{path}{_BLOCKS}{2 + more}" for more in range(copies.get(path, 0))] if place == "1" else []
