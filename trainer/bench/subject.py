"""What is measured: a model of the toy SDXL's shape or of SDXL's own, with random weights, on one device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch

from trainer.bench.random_base import write_base
from trainer.contract.config import TrainConfig
from trainer.data.dataset import TrainingSet
from trainer.model.base import BaseModel
from trainer.model.device import Numbers, pick_numbers
from trainer.planning.architecture import Architecture, read_architecture, sdxl_architecture
from trainer.planning.memory import Load
from trainer.planning.plan import Plan, make_plan
from trainer.planning.room import Room
from trainer.planning.stand_in import random_base, random_set
from trainer.toy.assets import base_folder

ModelName = Literal["toy", "sdxl"]
MODELS: tuple[ModelName, ...] = ("toy", "sdxl")
_SETTINGS: MappingProxyType[ModelName, dict[str, Any]] = MappingProxyType(
    {
        "toy": {"resolution": 128, "bucket_step": 32, "rank": 16, "alpha": 16.0},
        "sdxl": {"resolution": 1024, "rank": 32, "alpha": 32.0},
    }
)
"""Beside the settings' defaults, kohya's 722 targets among them."""


@dataclass(frozen=True)
class Subject:
    """A model on a device."""

    name: ModelName
    device: torch.device

    @cached_property
    def numbers(self) -> Numbers:
        """Number formats as a training takes them by itself."""
        return pick_numbers("auto", self.device)

    @cached_property
    def architecture(self) -> Architecture:
        """The model's shape."""
        return sdxl_architecture() if self.name == "sdxl" else read_architecture(str(base_folder()))

    def config(self, **settings: Any) -> TrainConfig:
        """Settings of a training of it: nothing recomputed and nothing compiled, unless the settings say so."""
        plain = {"compile": "off", "gradient_checkpointing": "off"}
        return TrainConfig(**{**_SETTINGS[self.name], **plain, **settings})

    def base(self) -> BaseModel:
        """A fresh UNet without a LoRA."""
        return random_base(self.architecture, self.numbers, self.device)

    def base_on_disk(self, folder: Path) -> Path:
        """A whole base of this shape: the toy's own, or random weights written into `folder`."""
        return base_folder() if self.name == "toy" else write_base(folder, self.architecture, self.numbers, self.device)

    def pictures(self, config: TrainConfig, count: int) -> TrainingSet:
        """So many pictures, with texts of one chunk."""
        return random_set(self.architecture, config, count, 1, self.numbers, self.device)

    def plan(self, config: TrainConfig, room: Room) -> Plan:
        """How its steps are done in that room. Raises DoesNotFit."""
        load = Load.of((), config.batch_size, config)
        return make_plan(self.architecture, load, self.numbers, room, suggesting=False)
