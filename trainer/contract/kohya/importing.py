"""A kohya file becomes a TrainConfig, with a report on every key.

What is taken are numbers, switches and known names, each converted. Paths, tokens and extra arguments are dropped
unread: they are in no result, no report, no message and no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.contract.config import TrainConfig
from trainer.contract.kohya.loss import read_loss
from trainer.contract.kohya.network import read_network
from trainer.contract.kohya.optimizer import read_optimizer
from trainer.contract.kohya.pictures import read_pictures
from trainer.contract.kohya.read import parse_json, parse_toml
from trainer.contract.kohya.reading import Reading
from trainer.contract.kohya.report import Report
from trainer.contract.kohya.run import read_run

Kept = Mapping[str, "bool | int | float | str"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What a kohya file came to."""

    config: TrainConfig
    report: Report
    kept: Kept
    """Harmless keys without a setting of ours, for the way back to kohya."""


def import_json(data: bytes) -> Imported:
    """The settings in a JSON that Kohya SS saved; raises InvalidConfig in one sentence."""
    return _import(Reading(parse_json(data), gui=True))


def import_toml(data: bytes) -> Imported:
    """The settings in a TOML for sd-scripts; raises InvalidConfig in one sentence."""
    return _import(Reading(parse_toml(data), gui=False))


def _import(keys: Reading) -> Imported:
    read_run(keys)
    encoders = read_network(keys)
    read_optimizer(keys, encoders)
    read_loss(keys)
    read_pictures(keys)
    report, kept = keys.finish()
    return Imported(TrainConfig.from_mapping(keys.settings), report, kept)
