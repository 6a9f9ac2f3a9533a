import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.config import TrainConfig
from trainer.training.schedule import rate_share

SCHEDULES = ("constant", "cosine", "cosine-restarts", "linear", "polynomial")


def shares(steps, **settings):
    config = TrainConfig(**settings)
    return [rate_share(step, steps, config) for step in range(1, steps + 1)]


def test_constant():
    assert shares(5) == [1.0] * 5


def test_warmup_rises_to_the_full_rate_and_is_never_zero():
    assert shares(6, warmup_steps=4) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_warmup_as_a_share_of_all_steps():
    assert shares(8, warmup_share=0.5) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert shares(8, warmup_share=0.5, warmup_steps=2) == shares(8, warmup_share=0.5)
    assert shares(8, warmup_share=0.25, warmup_steps=4) == shares(8, warmup_steps=4)


def test_linear_falls_evenly():
    assert shares(4, schedule="linear") == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_polynomial_is_a_power_of_linear():
    assert shares(4, schedule="polynomial") == shares(4, schedule="linear")
    squares = shares(4, schedule="polynomial", schedule_power=2.0)
    assert squares == pytest.approx([share**2 for share in shares(4, schedule="linear")])


def test_cosine_is_half_way_in_the_middle():
    curve = shares(9, schedule="cosine", warmup_steps=1)
    assert curve[1] == 1.0
    assert curve[5] == pytest.approx(0.5)
    assert 0 < curve[-1] < 0.05


def test_restarts_are_as_many_cosines():
    thrice = shares(12, schedule="cosine-restarts", schedule_cycles=3)
    assert thrice == pytest.approx(shares(4, schedule="cosine") * 3)
    assert shares(12, schedule="cosine-restarts") == shares(12, schedule="cosine")
    after_warmup = shares(10, schedule="cosine-restarts", schedule_cycles=2, warmup_steps=2)[2:]
    assert after_warmup == pytest.approx([(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)] * 2)


@given(
    st.sampled_from(SCHEDULES),
    st.integers(0, 50),
    st.floats(0, 1),
    st.integers(1, 60),
    st.integers(1, 9),
    st.floats(0.1, 10),
)
def test_never_negative_never_above_the_peak(schedule, warmup, share, steps, cycles, power):
    curve = shares(
        steps,
        schedule=schedule,
        warmup_steps=warmup,
        warmup_share=share,
        schedule_cycles=cycles,
        schedule_power=power,
    )
    assert all(0 <= value <= 1 for value in curve)
    assert curve[0] > 0
