"""The one training loop of the toy world: cosine schedule, averaged weights, a checkpoint to go on from.

What a step sees depends on its seed and number alone, so a run that was killed goes on with the same data.
Not covered: several devices, mixed precision.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

SAVE_EVERY = 100
"""Steps between two checkpoints: under two minutes of work on a slow CPU."""

LossOf = Callable[[np.random.Generator], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How long and how fast one asset is trained."""

    name: str
    steps: int
    batch: int
    rate: float
    """Highest learning rate, reached after `warmup` steps and then brought to zero along a cosine."""
    warmup: int = 50
    decay: float = 0.01
    average: float = 0.995
    """Share of the averaged weights kept at each step."""
    seed: int = 0


@dataclass(frozen=True)
class Place:
    """Where a training runs: its device, and the folder of its checkpoints (None: keep none)."""

    device: torch.device
    work: Path | None = None


def rate_at(recipe: Recipe, step: int) -> float:
    """Learning rate of a step, counted from 0."""
    if step < recipe.warmup:
        return recipe.rate * (step + 1) / recipe.warmup
    share = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))


def train(model: nn.Module, loss_of: LossOf, recipe: Recipe, place: Place) -> list[float]:
    """Train `model` in place and leave it with its averaged weights; returns the loss of every step.

    `loss_of` gets a generator seeded by the step. torch's own generator is seeded alike.
    """
    model.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay, betas=(0.9, 0.99))
    averaged = {name: value.detach().clone() for name, value in model.named_parameters()}
    losses = _resume(model, optimizer, averaged, recipe, place)
    with tqdm(total=recipe.steps, initial=len(losses), desc=recipe.name, mininterval=2.0) as bar:
        for step in range(len(losses), recipe.steps):
            for group in optimizer.param_groups:
                group["lr"] = rate_at(recipe, step)
            torch.manual_seed(recipe.seed * 1_000_003 + step)
            loss = loss_of(np.random.default_rng((recipe.seed, step)))
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            _average(model, averaged, min(recipe.average, (1 + step) / (10 + step)))
            losses.append(float(loss.detach()))
            bar.update()
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.4f}", refresh=False)
            if (step + 1) % SAVE_EVERY == 0:
                _save(model, optimizer, averaged, losses, recipe, place)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(averaged[name])
    model.eval().requires_grad_(False)
    return losses


@torch.no_grad()
def _average(model: nn.Module, averaged: dict[str, Tensor], keep: float) -> None:
    names, values = zip(*model.named_parameters(), strict=True)
    torch._foreach_lerp_([averaged[name] for name in names], [value.detach() for value in values], 1.0 - keep)


def _checkpoint(recipe: Recipe, place: Place) -> Path | None:
    return None if place.work is None else place.work / f"{recipe.name}.pt"


def _save(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    averaged: dict[str, Tensor],
    losses: list[float],
    recipe: Recipe,
    place: Place,
) -> None:
    """Write the checkpoint beside its place and move it there, so that a kill leaves the old one whole."""
    path = _checkpoint(recipe, place)
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "averaged": averaged, "losses": losses}
    torch.save(state, fresh)
    os.replace(fresh, path)


def _resume(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    averaged: dict[str, Tensor],
    recipe: Recipe,
    place: Place,
) -> list[float]:
    """Load the checkpoint if there is one; returns the losses of the steps already done."""
    path = _checkpoint(recipe, place)
    if path is None or not path.exists():
        return []
    state = torch.load(path, map_location=place.device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    for name, value in averaged.items():
        value.copy_(state["averaged"][name])
    losses: list[float] = state["losses"]
    return losses
