import pytest
import torch

from tests.trainer.jobs import SMALL
from tests.trainer.support.training_set import training_set
from trainer.contract.config import TrainConfig
from trainer.data.texts import TextCache

MEAN, DEVIATION = 3.0, 0.5


def encode(prompts):
    return torch.full((1, 77, 2), float(len(prompts[0]))), torch.full((1, 3), float(len(prompts[0])))


@pytest.fixture
def data():
    latents = [
        torch.stack([torch.full((4, 4, 8), MEAN + n), torch.full((4, 4, 8), DEVIATION * (n < 2))]) for n in range(3)
    ]
    config = TrainConfig.from_mapping(SMALL)
    return training_set(["a", "bb", "ccc"], latents, TextCache(encode), config, scaling_factor=0.5)


def test_every_row_belongs_to_its_picture(data):
    batch = data.batch((2, 0), step=1, first=0)
    assert batch.latents.shape == (2, 4, 4, 8)
    assert (batch.latents[0] == (MEAN + 2) * 0.5).all()  # no deviation: the mean itself, scaled
    assert batch.text[:, 0, 0].tolist() == batch.pooled[:, 0].tolist() == [3.0, 1.0]
    assert batch.time_ids.tolist() == [[32, 64, 0, 0, 32, 64]] * 2
    assert batch.weights.tolist() == [1.0, 1.0]
    assert batch.masks is None


def test_each_step_and_place_draws_a_fresh_latent(data):
    draws = [data.batch((0,), step, first).latents for step, first in ((1, 0), (2, 0), (1, 1), (1, 0))]
    assert draws[0].equal(draws[3])
    assert not draws[0].equal(draws[1])
    assert not draws[0].equal(draws[2])
    assert data.batch((1, 0), 1, 0).latents[1].equal(draws[2][0])


def test_draws_have_the_posteriors_mean_and_deviation(data):
    draws = torch.cat([data.batch((0,), step, 0).latents for step in range(100)]) / 0.5
    assert draws.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert draws.std().item() == pytest.approx(DEVIATION, abs=0.02)
