"""Losses against formulas written out here, and their gradients against finite differences."""

import pytest
import torch

from tests.trainer.training.objective.test_diffusion import Base
from trainer.contract.config import TrainConfig
from trainer.training.objective.diffusion import Diffusion
from trainer.training.objective.loss import error_losses, huber_thresholds, picture_losses, timestep_weights

TIMESTEPS = torch.tensor([0, 1, 100, 500, 900, 999])
EPSILON, VELOCITY = Diffusion(Base()), Diffusion(Base("v_prediction"))
LOSSES = [{"loss": loss, "huber_schedule": "constant"} for loss in ("mse", "huber", "smooth-l1")]


def errors(count=6, dtype=torch.float32):
    return torch.randn(count, 4, 4, 4, generator=torch.Generator().manual_seed(2)).to(dtype)


@pytest.mark.parametrize("error", [0.0, 1e-4, 0.05, -0.3, 4.0])
def test_each_error_by_the_formula(error):
    c = 0.1
    bent = 2 * ((error**2 + c**2) ** 0.5 - c)
    for loss, expected in (("mse", error**2), ("huber", c * bent), ("smooth-l1", bent)):
        [ours] = error_losses(torch.tensor([error]).double(), torch.tensor(c).double(), TrainConfig(loss=loss))
        assert float(ours) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_small_error_is_not_lost_in_fp32():
    """Taken by the formula's letter, the difference of two numbers near 10 would be 0."""
    ours = error_losses(torch.tensor(1e-4), torch.tensor(10.0), TrainConfig(loss="huber"))
    assert float(ours) == pytest.approx(1e-8, rel=1e-4)


@pytest.mark.parametrize("c", [0.05, 0.5])
def test_thresholds_follow_their_schedule(c):
    snr = EPSILON.snr(TIMESTEPS)
    noise = snr**-0.5
    expected = {
        "constant": torch.full((6,), c),
        "exponential": c ** (TIMESTEPS / 1000),
        "snr": (1 - c) / (1 + noise) ** 2 + c,
    }
    for schedule, values in expected.items():
        config = TrainConfig(loss="huber", huber_c=c, huber_schedule=schedule)
        assert torch.allclose(huber_thresholds(TIMESTEPS, snr, config), values, rtol=1e-4), schedule


@pytest.mark.parametrize("schedule", ["constant", "exponential", "snr"])
@pytest.mark.parametrize("loss", ["huber", "smooth-l1"])
def test_a_pictures_loss_uses_its_own_threshold(loss, schedule):
    config = TrainConfig(loss=loss, huber_schedule=schedule, huber_c=0.2)
    c = huber_thresholds(TIMESTEPS, EPSILON.snr(TIMESTEPS), config).view(-1, 1, 1, 1)
    expected = 2 * ((errors() ** 2 + c**2).sqrt() - c) * (c if loss == "huber" else 1)
    ours = picture_losses(errors(), TIMESTEPS, EPSILON, config)
    assert torch.allclose(ours, expected.mean(dim=(1, 2, 3)), rtol=1e-4)


def test_min_snr_and_debiased_weights():
    snr = EPSILON.snr(TIMESTEPS)
    for gamma in (1.0, 5.0):
        config = TrainConfig(min_snr_gamma=gamma)
        least = torch.minimum(snr, torch.full_like(snr, gamma))
        assert torch.allclose(timestep_weights(snr, config, velocity=False), least / snr)
        assert torch.allclose(timestep_weights(snr, config, velocity=True), least / (snr + 1))
    debiased, bounded = TrainConfig(debiased=True), torch.minimum(snr, torch.tensor(1000.0))
    assert snr[0] > 1000
    assert torch.allclose(timestep_weights(snr, debiased, velocity=False), 1 / bounded.sqrt())
    assert torch.allclose(timestep_weights(snr, debiased, velocity=True), 1 / (bounded + 1))
    assert timestep_weights(snr, TrainConfig(), velocity=False).eq(1.0).all()


@pytest.mark.parametrize("diffusion", [EPSILON, VELOCITY], ids=["epsilon", "velocity"])
@pytest.mark.parametrize("settings", [{"min_snr_gamma": 5.0}, {"debiased": True}], ids=str)
def test_a_pictures_loss_is_weighted_by_its_timestep(diffusion, settings):
    config = TrainConfig(**settings)
    weights = timestep_weights(diffusion.snr(TIMESTEPS), config, velocity=diffusion.predicts_velocity)
    plain = errors().square().mean(dim=(1, 2, 3))
    assert torch.allclose(picture_losses(errors(), TIMESTEPS, diffusion, config), plain * weights)


def test_where_all_is_noise_every_loss_is_a_number():
    last = torch.tensor([999])
    base = Base("v_prediction", {**Base().scheduler_config, "rescale_betas_zero_snr": True})
    for settings in ({"min_snr_gamma": 5.0}, {"debiased": True}, {"loss": "huber"}, {"loss": "smooth-l1"}):
        assert torch.isfinite(picture_losses(errors(1), last, Diffusion(base), TrainConfig(**settings))).all()


@pytest.mark.parametrize("settings", LOSSES, ids=str)
def test_a_white_pixel_counts_as_in_a_picture_without_a_mask(settings):
    """Multiplied, then the mean over the whole picture: half white under equal errors is half the loss."""
    config = TrainConfig(**settings, masked_loss=True)
    even = torch.full((2, 4, 4, 4), 0.7)
    masks = torch.ones(2, 1, 4, 4)
    masks[0, :, :2] = 0.0
    whole, t = picture_losses(even, TIMESTEPS[:2], EPSILON, config), TIMESTEPS[:2]
    assert torch.allclose(picture_losses(even, t, EPSILON, config, masks), whole * torch.tensor([0.5, 1.0]))
    wild = even.clone()
    wild[0, :, :2] = 1e6
    assert picture_losses(wild, t, EPSILON, config, masks).equal(picture_losses(even, t, EPSILON, config, masks))
    unmasked = TrainConfig(**settings)
    assert picture_losses(even, t, EPSILON, unmasked, masks).equal(whole)


@pytest.mark.parametrize(
    "settings",
    [*LOSSES, {"loss": "huber"}, {"loss": "smooth-l1", "debiased": True}, {"min_snr_gamma": 5.0}, {"debiased": True}],
    ids=str,
)
@pytest.mark.parametrize("diffusion", [EPSILON, VELOCITY], ids=["epsilon", "velocity"])
def test_gradients_are_those_of_finite_differences(settings, diffusion):
    config = TrainConfig(**settings, masked_loss=True)
    masks = torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(5)).double()
    wrong = errors(2, torch.float64)[:, :2, :3, :3].clone().requires_grad_()
    timesteps = torch.tensor([40, 700])

    def loss(wrong):
        return picture_losses(wrong, timesteps, diffusion, config, masks)

    assert torch.autograd.gradcheck(loss, (wrong,))
