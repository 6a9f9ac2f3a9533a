"""Resume states: everything a run goes on from, as safetensors and JSON, never a pickle.

    lora.safetensors       the LoRA's weights, in their own number format
    optimizer.safetensors  AdamW's moments and step counts, `<weight>|<field>`
    position.json          where in the run

No random state is in it: all randomness derives from the seed and the position (see trainer.data.randomness).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn import Parameter

from trainer.model.lora import put_weights


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
    smoothed_loss: float | None = None
    started_at: float
    """Unix time at which the first attempt began."""

    def evolve(self, **changes: Any) -> Position:
        """This position with some fields changed."""
        return dataclasses.replace(self, **changes)


def save_state(
    folder: Path, weights: Mapping[str, Parameter], optimizer: torch.optim.Optimizer, position: Position
) -> None:
    """Write a state into an empty folder. Raises OSError."""
    folder.mkdir(parents=True)
    save_file(
        {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, folder / "lora.safetensors"
    )
    moments = {
        f"{name}|{field}": value.detach().cpu().contiguous()
        for name, weight in weights.items()
        for field, value in optimizer.state.get(weight, {}).items()
    }
    save_file(moments, folder / "optimizer.safetensors")
    (folder / "position.json").write_text(json.dumps(dataclasses.asdict(position), indent=1))


def load_state(folder: Path, weights: Mapping[str, Parameter], optimizer: torch.optim.Optimizer) -> Position:
    """Put a state back and return its position.

    Raises ValueError when it belongs to another LoRA, OSError or SafetensorError when it cannot be read;
    nothing has changed then.
    """
    position = Position(**json.loads((folder / "position.json").read_bytes()))
    saved = load_file(folder / "lora.safetensors")
    moments = load_file(folder / "optimizer.safetensors")
    put_weights(weights, saved)
    optimizer.state.clear()
    for key, value in moments.items():
        name, _, field = key.rpartition("|")
        weight = weights[name]
        # AdamW counts steps on the CPU unless it is fused; the moments live where the weight lives.
        on_cpu = field == "step" and not optimizer.defaults["fused"]
        optimizer.state[weight][field] = value if on_cpu else value.to(weight.device)
    return position
