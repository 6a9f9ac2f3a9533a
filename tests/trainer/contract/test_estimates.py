"""Estimates: plain arithmetic that must agree with what the trainer does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.config import TrainConfig
from trainer.contract.estimates import (
    checkpoint_epochs,
    estimate,
    file_bytes,
    steps_per_epoch,
    total_epochs,
    total_steps,
)


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
    kept = checkpoint_epochs(epochs, every)
    assert kept[-1] == epochs
    assert kept == sorted(set(kept))
    assert all(epoch % every == 0 for epoch in kept[:-1])
    assert len(kept) == -(-epochs // every)


@pytest.mark.parametrize(
    ("most", "steps", "epochs"), [(0, 100, 10), (100, 100, 10), (999, 100, 10), (35, 35, 4), (40, 40, 4), (1, 1, 1)]
)
def test_the_most_steps_end_a_run_in_the_middle_of_an_epoch(most, steps, epochs):
    config = TrainConfig(epochs=10, max_steps=most)
    assert (total_steps(10, config), total_epochs(10, config)) == (steps, epochs)
    size = estimate(50, config, seconds_per_image=1.0)
    assert (size.steps, size.epochs, size.checkpoints) == (steps, epochs, len(checkpoint_epochs(epochs, 5)))
    assert size.seconds == 5 * steps


@pytest.mark.parametrize(
    ("settings", "megabytes"),
    [
        # facts of published files: rank 16 over 722 modules in fp16 is 85 MB, over 560 of attention 46 MB
        ({"rank": 16}, 85.1),
        ({"rank": 16, "targets": "attention"}, 46.4),
        ({"rank": 16, "file_precision": "fp32"}, 170.2),
        ({"rank": 16, "text_encoder_1": True, "text_encoder_2": True}, 85.1 + 28.9),
        ({"rank": 16, "conv_rank": 8}, 85.1 + 5.7 + 1.9),
    ],
)
def test_a_files_size_is_known_before(settings, megabytes):
    assert file_bytes(TrainConfig(**settings)) / 1e6 == pytest.approx(megabytes, abs=0.1)
