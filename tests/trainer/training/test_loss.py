import math

import pytest
import torch
from diffusers.training_utils import compute_snr

from trainer.contract.config import TrainConfig
from trainer.training.loss import Diffusion, Noise, draw_noise

SDXL = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "timestep_spacing": "leading"}
CPU = torch.device("cpu")
SHAPE = (3, 4, 8, 8)


@pytest.fixture
def latents():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def noise():
    return draw_noise(SHAPE[1:], range(3), 7, TrainConfig(seed=3), CPU)


def alphas(timesteps):
    """The product of 1 - beta, by its definition."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)[timesteps].float().view(-1, 1, 1, 1)


def test_noising_and_targets_follow_the_definitions(latents, noise):
    signal, rest = alphas(noise.timesteps).sqrt(), (1 - alphas(noise.timesteps)).sqrt()
    epsilon, velocity = Diffusion(SDXL, "epsilon", CPU), Diffusion(SDXL, "v_prediction", CPU)
    assert torch.allclose(epsilon.noised(latents, noise), signal * latents + rest * noise.noise, atol=1e-5)
    assert epsilon.target(latents, noise).equal(noise.noise)
    assert torch.allclose(velocity.target(latents, noise), signal * noise.noise - rest * latents, atol=1e-5)


def test_the_loss_is_each_pictures_mean_squared_error_in_fp32(latents, noise):
    diffusion = Diffusion(SDXL, "epsilon", CPU)
    prediction = noise.noise.clone()
    prediction[1] += 2.0
    loss = diffusion.loss(prediction.bfloat16().float(), latents, noise, 0.0)
    assert loss.dtype == torch.float32
    assert loss[1].item() == pytest.approx(4.0, rel=1e-2)
    assert loss[[0, 2]].max() < 1e-4


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_min_snr_weights(prediction_type):
    timesteps = torch.tensor([0, 1, 100, 500, 900, 999])
    diffusion = Diffusion(SDXL, prediction_type, CPU)
    snr = compute_snr(diffusion._scheduler, timesteps)
    expected = snr.clamp(max=5) / (snr if prediction_type == "epsilon" else snr + 1)
    weights = diffusion.weights(timesteps, 5.0)
    assert torch.allclose(weights, expected, rtol=1e-4)
    assert weights[0] < 0.05
    assert weights[-1].item() == pytest.approx(1.0 if prediction_type == "epsilon" else 0.0, abs=1e-2)


def test_zero_terminal_snr_is_no_division_by_zero(latents):
    diffusion = Diffusion({**SDXL, "rescale_betas_zero_snr": True}, "v_prediction", CPU)
    last = Noise(torch.ones(SHAPE), torch.full((3,), 999))
    assert diffusion.noised(latents, last).equal(last.noise)
    assert torch.isfinite(diffusion.loss(torch.zeros(SHAPE), latents, last, 5.0)).all()


def test_noise_belongs_to_seed_step_and_place_not_to_the_batch():
    config = TrainConfig(seed=3)
    whole = draw_noise((4, 8, 8), range(4), 5, config, CPU)
    parts = [draw_noise((4, 8, 8), places, 5, config, CPU) for places in ((0, 1), (2, 3))]
    assert torch.cat([part.noise for part in parts]).equal(whole.noise)
    assert torch.cat([part.timesteps for part in parts]).equal(whole.timesteps)
    other_step = draw_noise((4, 8, 8), range(4), 6, config, CPU)
    other_seed = draw_noise((4, 8, 8), range(4), 5, TrainConfig(seed=4), CPU)
    assert not other_step.noise.equal(whole.noise)
    assert not other_seed.noise.equal(whole.noise)


def test_noise_and_timesteps_have_the_right_distribution():
    many = draw_noise((1, 2, 2), range(4000), 1, TrainConfig(), CPU)
    assert abs(many.noise.mean()) < 0.03
    assert many.noise.std().item() == pytest.approx(1.0, abs=0.03)
    timesteps = many.timesteps.float()
    assert timesteps.mean().item() == pytest.approx(499.5, abs=20)
    assert timesteps.std().item() == pytest.approx(1000 / math.sqrt(12), abs=15)
    assert timesteps.min() < 5
    assert timesteps.max() > 994


def test_the_offset_moves_whole_channels():
    plain = draw_noise(SHAPE[1:], range(3), 1, TrainConfig(), CPU).noise
    moved = draw_noise(SHAPE[1:], range(3), 1, TrainConfig(noise_offset=0.1), CPU).noise
    offset = moved - plain
    assert offset.flatten(2).std(dim=2).max() < 1e-6
    assert 0.01 < offset.abs().mean() < 0.3
