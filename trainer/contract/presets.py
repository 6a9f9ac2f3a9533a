"""Presets: named starting points for a TrainConfig, one TOML each in trainer/presets, or a file of somebody's own."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainer.contract.config import TrainConfig
from trainer.contract.errors import InvalidConfig, unknown_name
from trainer.contract.kohya.importing import Imported, Kept, import_json, import_toml
from trainer.contract.kohya.keys import kept
from trainer.contract.kohya.read import read_file, toml_table
from trainer.contract.kohya.report import Report
from trainer.contract.spec import Kind

PRESET_OF: Mapping[Kind, str] = MappingProxyType(
    {"person": "face", "character": "character", "style": "style", "object": "object"}
)
"""The preset that fits what the pictures show."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A named config with a line about what it is for."""

    name: str
    title: str
    config: TrainConfig
    kohya: Kept = field(default_factory=dict)
    """Keys of a kohya file without a setting of ours, for the way back."""
    report: Report | None = None
    """What became of a kohya file's keys; None for a preset of ours."""


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


def find_preset(text: str) -> Preset:
    """A preset by name, or in a file: a TOML of ours, a JSON of Kohya SS, a TOML for sd-scripts.

    Raises InvalidConfig. A file is what ends in .toml or .json, so that no name is ever looked for on disk.
    """
    if not text.lower().endswith((".toml", ".json")):
        return load_preset(text)
    path = Path(text).expanduser()
    data = read_file(path)
    if path.suffix.lower() == ".json":
        return of_import(import_json(data), path.stem)
    table = toml_table(data)
    if not isinstance(title := table.pop("title", None), str):
        return of_import(import_toml(data), path.stem)
    extra = table.pop("kohya", {})
    if not isinstance(extra, Mapping):
        raise InvalidConfig("kohya", "must be a table of keys")
    return Preset(_name(path.stem), title, TrainConfig.from_mapping(table), kept(extra))


def of_import(imported: Imported, stem: str) -> Preset:
    """The preset that a kohya file is, named after the file."""
    name = _name(stem)
    return Preset(name, f"Kohya settings {name}", imported.config, imported.kept, imported.report)


def preset_toml(preset: Preset, reasons: Mapping[str, str]) -> str:
    """The preset as a file: each setting that has a reason or is not the default, with the reason beside it."""
    defaults = TrainConfig().to_mapping()
    lines = [f"title = {_toml(preset.title)}"]
    for name, value in preset.config.to_mapping().items():
        if name in reasons:
            lines.append(f"{f'{name} = {_toml(value)}':<40} # {reasons[name]}")
        elif value != defaults[name]:
            lines.append(f"{name} = {_toml(value)}")
    if preset.kohya:
        lines += ["", "# Kept for the way back to kohya; they change nothing here.", "[kohya]"]
        lines += [f"{key} = {_toml(value)}" for key, value in sorted(preset.kohya.items())]
    return "\n".join(lines) + "\n"


def _name(stem: str) -> str:
    """A name for job.json out of a file's: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", stem).strip("-.")[:60] or "imported"


def _toml(value: Any) -> str:
    """A TOML value; texts are plain ASCII without quotes (see `_name` and trainer.contract.kohya.keys.kept)."""
    return json.dumps(value) if isinstance(value, (bool, str)) else repr(value)
