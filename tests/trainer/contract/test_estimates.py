"""Estimates: plain arithmetic that must agree with what the trainer does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.config import TrainConfig
from trainer.contract.estimates import checkpoint_epochs, estimate, steps_per_epoch


def test_the_classic_recipe():
    size = estimate(50, TrainConfig(), seconds_per_image=0.5)
    assert (size.steps_per_epoch, size.steps, size.checkpoints, size.samples) == (10, 1000, 20, 80)
    assert size.seconds == pytest.approx(2500)
    assert size.file_bytes == pytest.approx(170e6, rel=0.01), "kohya's rank 32 over 722 modules in bf16"


def test_no_time_where_no_rate_is_known():
    assert estimate(50, TrainConfig()).seconds is None


@pytest.mark.parametrize(
    ("images", "batch", "accumulation", "steps"), [(10, 5, 1, 2), (11, 5, 1, 3), (11, 5, 2, 2), (1, 64, 1, 1)]
)
def test_a_smaller_last_batch_is_a_step_too(images, batch, accumulation, steps):
    config = TrainConfig(batch_size=batch, gradient_accumulation=accumulation)
    assert steps_per_epoch(images, config) == steps


@given(st.integers(1, 300), st.integers(1, 300))
def test_checkpoints_come_every_n_epochs_and_at_the_end(epochs, every):
    kept = checkpoint_epochs(TrainConfig(epochs=epochs, checkpoint_every_epochs=every))
    assert kept[-1] == epochs
    assert kept == sorted(set(kept))
    assert all(epoch % every == 0 for epoch in kept[:-1])
    assert len(kept) == -(-epochs // every)
