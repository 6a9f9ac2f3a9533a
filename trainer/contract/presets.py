"""Presets: named starting points for a TrainConfig, one TOML file each in trainer/presets."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources

from trainer.contract.config import TrainConfig
from trainer.contract.errors import InvalidConfig, unknown_name


@dataclass(frozen=True, slots=True)
class Preset:
    """A named config with a line about what it is for."""

    name: str
    title: str
    config: TrainConfig


def preset_names() -> list[str]:
    """Names of the presets that come with the project, sorted."""
    folder = resources.files("trainer.presets")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_preset(name: str) -> Preset:
    """A preset by name; raises InvalidConfig for one nobody knows, with the nearest name."""
    names = preset_names()
    if name not in names:
        raise InvalidConfig("preset", unknown_name(name, names))
    data = tomllib.loads((resources.files("trainer.presets") / f"{name}.toml").read_text("utf-8"))
    return Preset(name, data.pop("title"), TrainConfig.from_mapping(data))
