"""Build the toy world's assets from nothing: VAE, base, tagger.

Each stage keeps a checkpoint every `SAVE_EVERY` steps in the work folder, and a build that was killed goes on from it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from trainer.toy import assets, base, tagger, vae
from trainer.toy.loop import Place, Recipe

ASSETS = ("vae", "base", "tagger")


@dataclass(frozen=True)
class Built:
    """One finished stage, for the report."""

    asset: str
    steps: int
    seconds: float
    loss: float
    """Mean loss of the last 50 steps."""


@dataclass(frozen=True)
class Plan:
    """Where a build writes and how much of each recipe it runs."""

    out: Path
    """Gets `toy-sdxl/` and `toy-tagger/`."""
    work: Path
    """Checkpoints, and the finished VAE that the base is trained on."""
    device: torch.device
    scale: float = 1.0
    """Multiplies every recipe's steps."""
    onto: Path | None = None
    """A toy SDXL to train the base on from, instead of from nothing; its VAE stays as it is."""

    def recipe(self, full: Recipe) -> Recipe:
        """A recipe with this plan's number of steps."""
        steps = max(1, round(full.steps * self.scale))
        return replace(full, steps=steps, warmup=min(full.warmup, max(1, steps // 10)))

    @property
    def place(self) -> Place:
        """Where the stages run."""
        return Place(self.device, self.work)


def build(asset: str, plan: Plan) -> Built:
    """Build one of `ASSETS`. The base needs the VAE of the same work folder.

    Raises:
        FileNotFoundError: the base was asked for before the VAE.
    """
    started = time.monotonic()
    losses = {"vae": _build_vae, "base": _build_base, "tagger": _build_tagger}[asset](plan)
    built = Built(asset, len(losses), time.monotonic() - started, float(np.mean(losses[-50:])))
    record = {"steps": built.steps, "seconds": round(built.seconds, 1), "loss": built.loss, "device": str(plan.device)}
    (plan.work / f"{asset}.json").write_text(json.dumps(record), encoding="utf-8")
    if (plan.out / "toy-sdxl").exists() and (plan.out / "toy-tagger").exists():
        assets.write_sums(plan.out)
    return built


def _build_vae(plan: Plan) -> list[float]:
    core, core_losses = vae.train_core(plan.recipe(vae.CORE), plan.place)
    model = vae.widened(core)
    losses = vae.train_decoder(model, plan.recipe(vae.RECIPE), plan.place)
    model.save_pretrained(plan.work / "vae")
    return core_losses + losses


def _build_base(plan: Plan) -> list[float]:
    recipe, folder = plan.recipe(base.RECIPE), plan.work / "vae"
    if plan.onto is not None:
        recipe, model = plan.recipe(base.FURTHER), base.load_base(plan.onto)
    elif folder.exists():
        model = base.new_base(AutoencoderKL.from_pretrained(folder), recipe.seed)
    else:
        raise FileNotFoundError(f"no VAE in {folder}: build the VAE first (python -m trainer.toy build vae)")
    losses = base.train_base(model, recipe, plan.place)
    model.save(plan.out / "toy-sdxl")
    return losses


def _build_tagger(plan: Plan) -> list[float]:
    model, losses = tagger.train_tagger(plan.recipe(tagger.RECIPE), plan.place)
    tagger.save_tagger(model, plan.out / "toy-tagger")
    return losses
