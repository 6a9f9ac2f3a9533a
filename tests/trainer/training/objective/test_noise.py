import math

import pytest
import torch

from trainer.contract.config import TrainConfig
from trainer.training.objective.noise import draw_noise, offset_strength, timestep_at

SHAPE = (3, 4, 8, 8)
SAMPLINGS = ("uniform", "sigmoid", "structure", "detail")


@pytest.fixture
def latents():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))


def draw(latents, step=1, places=(0, 1, 2), purpose="noise", **settings):
    return draw_noise(latents, places, step, TrainConfig(**settings), purpose)


def test_noise_belongs_to_seed_step_purpose_and_place_not_to_the_batch(latents):
    whole = draw(latents, 5, seed=3)
    parts = [draw(latents[:1], 5, (0,), seed=3), draw(latents[1:], 5, (1, 2), seed=3)]
    assert torch.cat([part.noise for part in parts]).equal(whole.noise)
    assert torch.cat([part.timesteps for part in parts]).equal(whole.timesteps)
    others = [draw(latents, 6, seed=3), draw(latents, 5, seed=4), draw(latents, 5, purpose="else", seed=3)]
    assert not any(other.noise.equal(whole.noise) for other in others)


def test_noise_has_unit_variance():
    many = draw(torch.zeros(2000, 1, 2, 2), places=range(2000))
    assert abs(many.noise.mean()) < 0.05
    assert many.noise.std().item() == pytest.approx(1.0, abs=0.05)
    assert many.added is many.noise


def test_the_offset_moves_whole_channels(latents):
    offset = draw(latents, noise_offset=0.1).noise - draw(latents).noise
    assert offset.flatten(2).std(dim=2).max() < 1e-6
    assert 0.01 < offset.abs().mean() < 0.3
    doubled = draw(latents, noise_offset=0.2).noise - draw(latents).noise
    assert torch.allclose(doubled, 2 * offset, atol=1e-6)


def test_the_adaptive_part_follows_each_channels_mean(latents):
    config = TrainConfig(noise_offset=0.1, adaptive_noise_scale=0.5)
    strength = offset_strength(latents, config)
    assert strength.shape == (3, 4, 1, 1)
    assert strength[1, 2].item() == pytest.approx(0.1 + 0.5 * abs(latents[1, 2].mean().item()), rel=1e-5)
    moved = draw(latents, noise_offset=0.1, adaptive_noise_scale=0.5).noise - draw(latents).noise
    plain = draw(latents, noise_offset=0.1).noise - draw(latents).noise
    assert torch.allclose(moved, plain * strength / 0.1, atol=1e-5)
    below = TrainConfig(noise_offset=0.01, adaptive_noise_scale=-1.0)
    assert offset_strength(latents + 1.0, below).eq(0.0).all()


def test_the_perturbation_is_shown_but_not_asked_for(latents):
    plain, perturbed = draw(latents), draw(latents, input_perturbation=0.1)
    assert perturbed.noise.equal(plain.noise)
    assert (perturbed.added - perturbed.noise).std().item() == pytest.approx(0.1, rel=0.1)


# --- timesteps --------------------------------------------------------------------------------------------------------
def below(sampling, place):
    """Share of all draws below this place (0 to 1) of the range, worked out from each density by hand."""
    return {
        "uniform": place,
        "sigmoid": 0.5 * (1 + math.erf(math.log(place / (1 - place)) / math.sqrt(2))),
        "structure": place**2,
        "detail": 1 - (1 - place) ** 2,
    }[sampling]


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("timestep", [50, 400, 500, 730, 950])
def test_timesteps_have_the_distribution_written_out(sampling, timestep):
    """Just below a timestep's share of draws comes the one before it, just above it the timestep itself."""
    config = TrainConfig(timestep_sampling=sampling)
    share = below(sampling, timestep / 1000)
    assert timestep_at(share - 1e-7, config) == timestep - 1
    assert timestep_at(share + 1e-7, config) == timestep


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_timesteps_stay_in_their_range(sampling):
    config = TrainConfig(timestep_sampling=sampling, min_timestep=100, max_timestep=103)
    drawn = {timestep_at(share, config) for share in (0.0, 2.0**-53, 0.3, 0.5, 0.7, 1 - 2.0**-53)}
    assert drawn == {100, 101, 102}
    many = draw(torch.zeros(300, 1, 1, 1), places=range(300), min_timestep=900, timestep_sampling=sampling).timesteps
    assert many.min() >= 900
    assert many.max() <= 999
    assert many.unique().numel() > 30
