"""Resume states: everything a run goes on from, as safetensors and JSON, never a pickle.

    learner.safetensors  weights, the optimizer's memory, averages: whatever the learner says it consists of
    learner.json         its plain values
    position.json        where in the run, and the settings it was made with
    history.json         the losses so far, for the plot and TensorBoard

The channel adds manifest.json with each file's size and sha256, and gives the folder its name once all is on disk.
No random state is in it: all randomness derives from the seed and the position (see trainer.data.randomness).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.contract.durable import json_bytes
from trainer.errors import OtherSettings
from trainer.seeing.history import History

BINDING = (
    # They give the tensors their number, shape and meaning.
    *("rank", "alpha", "targets", "conv_rank", "conv_alpha", "decompose", "rank_stabilised"),
    *("text_encoder_1", "text_encoder_2", "optimizer", "ema_decay", "precision"),
    # And these say what the steps of an epoch are, so that a place in it means the same.
    *("seed", "batch_size", "gradient_accumulation", "validation_share"),
    *("resolution", "bucket_step", "bucket_min", "bucket_max", "bucket_no_upscale", "square"),
)
"""Settings that must be the same for a state to be gone on from; others (epochs, rates) may have been changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a run is, between two steps."""

    epoch: int = 1
    """The epoch being trained, from 1."""
    done: int = 0
    """Optimizer steps of this epoch that are done; when all are, its checkpoint is still to be written."""
    step: int = 0
    """Optimizer steps done in all."""
    training_seconds: float = 0.0
    """Time spent in steps, over all attempts."""
    started_at: float
    """Unix time at which the first attempt began."""
    best_loss: float | None = None
    """Lowest validation loss so far …"""
    best_epoch: int = 0
    """… and the epoch it was measured after."""
    unimproved: int = 0
    """Validations since then."""
    given_up: int = 0
    """Epochs of the plan that patience ended; a run extended beyond them goes on."""

    def evolve(self, **changes: Any) -> Position:
        """This position with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, slots=True)
class State:
    """What a state folder holds."""

    tensors: Mapping[str, Tensor]
    """The learner's, as its `state` gives them: contiguous, on the CPU."""
    values: Mapping[str, Any]
    position: Position
    settings: Mapping[str, Any]
    """Those in force when it was made, as `TrainConfig.to_mapping` gives them."""
    history: History


def save_state(folder: Path, state: State) -> None:
    """Write a state into a new folder. Raises OSError or SafetensorError when the disk refuses."""
    folder.mkdir(parents=True)
    save_file(dict(state.tensors), folder / "learner.safetensors")
    position = {"position": dataclasses.asdict(state.position), "settings": dict(state.settings)}
    values = {"learner": dict(state.values), "position": position, "history": state.history.to_json()}
    for name, value in values.items():
        (folder / f"{name}.json").write_bytes(json_bytes(value))


def load_state(folder: Path) -> State:
    """The state of a folder that verifies.

    Raises OSError or SafetensorError when it cannot be read, ValueError, KeyError or TypeError when it holds anything
    else than `save_state` writes.
    """
    values, place, history = (
        json.loads((folder / f"{name}.json").read_bytes()) for name in ("learner", "position", "history")
    )
    tensors = load_file(folder / "learner.safetensors")
    return State(tensors, values, Position(**place["position"]), place["settings"], History.from_json(history))


def check_settings(state: State, config: TrainConfig) -> None:
    """Raise OtherSettings when the state was made with settings that the config's cannot go on from."""
    now = config.to_mapping()
    different = [
        f"{name} was {state.settings.get(name)!r}, is {now[name]!r}"
        for name in BINDING
        if state.settings.get(name) != now[name]
    ]
    if different:
        raise OtherSettings(", ".join(different))
