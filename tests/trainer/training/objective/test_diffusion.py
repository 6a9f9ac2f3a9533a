from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainer.contract.config import TrainConfig
from trainer.contract.errors import InvalidConfig
from trainer.errors import BadBase
from trainer.training.objective.diffusion import Diffusion, as_configured
from trainer.training.objective.noise import Noise, draw_noise

SDXL = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "timestep_spacing": "leading"}
SHAPE = (3, 4, 8, 8)


@dataclass(frozen=True)
class Base:
    """What of a base model the noise schedule needs."""

    prediction_type: str = "epsilon"
    scheduler_config: dict[str, Any] = field(default_factory=lambda: dict(SDXL))
    unet: Any = field(default_factory=lambda: SimpleNamespace(device=torch.device("cpu")))


@pytest.fixture
def latents():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def noise(latents):
    return draw_noise(latents, range(3), 7, TrainConfig(seed=3, input_perturbation=0.1))


def alphas(timesteps, zero_terminal=False):
    """The product of 1 - beta, by its definition; with zero terminal SNR its root shifted and stretched to end at 0."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    product = torch.cumprod(1 - betas, 0)
    if zero_terminal:
        root = product.sqrt()
        product = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    return product[timesteps].view(-1, 1, 1, 1)


def test_noising_and_targets_follow_the_definitions(latents, noise):
    signal, rest = alphas(noise.timesteps).sqrt().float(), (1 - alphas(noise.timesteps)).sqrt().float()
    epsilon, velocity = Diffusion(Base()), Diffusion(Base("v_prediction"))
    assert torch.allclose(epsilon.noised(latents, noise), signal * latents + rest * noise.added, atol=1e-5)
    assert epsilon.target(latents, noise).equal(noise.noise)
    assert torch.allclose(velocity.target(latents, noise), signal * noise.noise - rest * latents, atol=1e-5)


def test_snr_is_the_signals_power_over_the_noises():
    timesteps = torch.tensor([0, 1, 500, 999])
    expected = (alphas(timesteps) / (1 - alphas(timesteps))).flatten().float()
    assert torch.allclose(Diffusion(Base()).snr(timesteps), expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("own", "wanted", "used"),
    [
        ("epsilon", "auto", "epsilon"),
        ("v_prediction", "auto", "v_prediction"),
        ("epsilon", "v-prediction", "v_prediction"),
        ("v_prediction", "epsilon", "epsilon"),
    ],
)
def test_the_settings_overrule_what_the_base_says_of_itself(own, wanted, used):
    base = as_configured(Base(own), TrainConfig(prediction=wanted))
    assert (base.prediction_type, base.scheduler_config["prediction_type"]) == (used, used)
    assert Diffusion(base).predicts_velocity == (used == "v_prediction")


def test_zero_terminal_snr_ends_in_pure_noise(latents):
    config = TrainConfig(prediction="v-prediction", zero_terminal_snr=True)
    diffusion = Diffusion(as_configured(Base(), config))
    timesteps = torch.tensor([0, 500, 999])
    expected = alphas(timesteps, zero_terminal=True)
    snr = (expected / (1 - expected)).flatten().float()
    assert torch.allclose(diffusion.snr(timesteps), snr, rtol=1e-3, atol=1e-7)
    last = Noise(torch.ones(SHAPE), torch.ones(SHAPE), torch.full((3,), 999))
    assert diffusion.noised(latents, last).equal(last.noise)
    assert torch.allclose(diffusion.target(latents, last), -latents, atol=1e-6)


@pytest.mark.parametrize(
    ("base", "settings"),
    [
        (Base(), {"zero_terminal_snr": True}),
        (Base("v_prediction", {**SDXL, "rescale_betas_zero_snr": True}), {"prediction": "epsilon"}),
    ],
)
def test_pure_noise_cannot_be_told_from_itself(base, settings):
    with pytest.raises(InvalidConfig, match="zero_terminal_snr: needs a base that predicts velocity"):
        as_configured(base, TrainConfig(**settings))


def test_a_schedule_of_another_length_is_no_sdxl():
    with pytest.raises(BadBase, match="1000 timesteps"):
        Diffusion(Base(scheduler_config={**SDXL, "num_train_timesteps": 500}))


@pytest.mark.parametrize(
    "changes",
    [
        {"beta_schedule": "banana"},
        {"beta_start": "x"},
        {"beta_end": 5.0},
        {"beta_start": -0.1},
        {"beta_start": float("nan")},
        {"trained_betas": [0.0] * 1000},
        {"trained_betas": "many"},
    ],
    ids=str,
)
def test_a_schedule_that_is_none_is_refused(changes):
    with pytest.raises(BadBase, match=r"noise schedule .*; choose an SDXL base"):
        Diffusion(Base("epsilon", {**SDXL, **changes}))
