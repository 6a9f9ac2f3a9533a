"""A shortened rebuild of every asset: each loss falls, and a killed build goes on as if it had not been."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.toy import loop
from trainer.toy.averaging import start_as_average
from trainer.toy.base import new_base, train_base
from trainer.toy.loop import Place, Recipe, rate_at
from trainer.toy.measures import ToyTagger
from trainer.toy.tagger import save_tagger, train_tagger
from trainer.toy.vae import (
    CORE_CHANNELS,
    CORE_SIZE,
    new_vae,
    to_tensor,
    train_core,
    train_decoder,
    wide_picture,
    widened,
)

CPU = Place(torch.device("cpu"))


def _falls(losses: list[float], to: float) -> None:
    head, tail = float(np.mean(losses[:3])), float(np.mean(losses[-3:]))
    assert tail < to * head, f"{head:.4f} -> {tail:.4f}"


def test_the_vae_starts_as_an_average_and_keeps_it_when_widened() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pictures = to_tensor([wide_picture(rng, 2 * CORE_SIZE) for _ in range(8)])
    small = torch.nn.functional.avg_pool2d(pictures, 2)
    core = new_vae(CORE_CHANNELS)
    start_as_average(core, small)
    wide = widened(core)
    with torch.no_grad():
        drawn = core.decode(core.encode(small).latent_dist.mean).sample
        large = wide.decode(wide.encode(pictures).latent_dist.mean).sample
    assert float((drawn - small).abs().mean()) < 0.16, "random weights are at 0.5"
    assert float((large - pictures).abs().mean()) < 0.2
    assert wide.config.scaling_factor > 0


def test_a_short_build_learns(tmp_path: Path) -> None:
    core, losses = train_core(Recipe("vae-core", steps=12, batch=4, rate=5e-4, warmup=2), CPU)
    _falls(losses, 1.05)
    vae = widened(core)
    _falls(train_decoder(vae, Recipe("vae", steps=6, batch=2, rate=3e-4, warmup=1), CPU), 1.05)
    base = new_base(vae, seed=0)
    losses = train_base(base, Recipe("base", steps=24, batch=8, rate=2e-3, warmup=2), CPU, cached=32)
    _falls(losses, 0.9)
    base.save(tmp_path / "toy-sdxl")
    assert (tmp_path / "toy-sdxl" / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size < 16 * 1024 * 1024


def test_a_short_tagger_learns_and_its_graph_says_the_same(tmp_path: Path) -> None:
    tagger, losses = train_tagger(Recipe("tagger", steps=25, batch=16, rate=2e-3, warmup=2), CPU)
    _falls(losses, 0.7)
    save_tagger(tagger, tmp_path)
    rng = np.random.default_rng(1)
    picture = wide_picture(rng, 448)
    pixels = to_tensor([picture])[:, [2, 1, 0]]
    with torch.no_grad():
        expected = torch.sigmoid(tagger(torch.nn.functional.avg_pool2d(pixels, 7)))
    np.testing.assert_allclose(ToyTagger(tmp_path).scores([picture]), expected.numpy(), atol=2e-4)


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY", 2)
    recipe = Recipe("line", steps=6, batch=4, rate=1e-2, warmup=1)

    def run(place: Place, stop: int | None) -> torch.nn.Linear:
        torch.manual_seed(1)
        model = torch.nn.Linear(3, 1)
        seen: list[int] = []

        def loss_of(rng: np.random.Generator) -> torch.Tensor:
            seen.append(1)
            if stop is not None and len(seen) > stop:
                raise KeyboardInterrupt
            return model(torch.from_numpy(rng.normal(size=(4, 3))).float()).square().mean()

        loop.train(model, loss_of, recipe, place)
        return model

    whole = run(Place(CPU.device, None), None)
    work = Place(CPU.device, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(work, 5)
    again = run(work, None)
    assert torch.equal(whole.weight, again.weight)


def test_the_rate_rises_then_falls_to_nothing() -> None:
    recipe = Recipe("any", steps=100, batch=1, rate=1.0, warmup=10)
    rates = [rate_at(recipe, step) for step in range(101)]
    assert max(rates) == rates[9] == 1.0
    assert rates[100] < 1e-9
