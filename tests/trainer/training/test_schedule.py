import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.config import TrainConfig
from trainer.training.schedule import learning_rate


def rates(steps, **settings):
    config = TrainConfig(learning_rate=1.0, **settings)
    return [learning_rate(step, steps, config) for step in range(1, steps + 1)]


def test_constant():
    assert rates(5) == [1.0] * 5


def test_warmup_rises_to_the_full_rate_and_is_never_zero():
    assert rates(6, warmup_steps=4) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_linear_falls_evenly():
    assert rates(4, schedule="linear") == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_cosine_is_half_way_in_the_middle():
    curve = rates(9, schedule="cosine", warmup_steps=1)
    assert curve[1] == 1.0
    assert curve[5] == pytest.approx(0.5)
    assert 0 < curve[-1] < 0.05


@given(st.sampled_from(["constant", "cosine", "linear"]), st.integers(0, 50), st.integers(1, 60))
def test_never_negative_never_above_the_peak(schedule, warmup, steps):
    assert all(0 < rate <= 1 for rate in rates(steps, schedule=schedule, warmup_steps=warmup))
