"""Settings that a job heeds outside of the learner: before anything heavy starts, and in its files."""

import pytest
from safetensors import safe_open

from tests.trainer.jobs import bodies, open_channel, tiny_job
from trainer.by_hand.make import Request, make_job
from trainer.contract.events import Failed, Finished, Preparing, Step
from trainer.contract.exits import Exit
from trainer.errors import MissingExtra
from trainer.job import run_job


@pytest.fixture
def without_lion(monkeypatch):
    monkeypatch.setattr("trainer.training.optim.packages.find_spec", lambda name: None)


def test_a_job_without_its_optimizers_package_fails_before_anything_is_loaded(without_lion, small_sdxl, tmp_path):
    channel = open_channel(tiny_job(tmp_path, small_sdxl, optimizer="lion"))
    assert run_job(channel, device="cpu") == Exit.FAILED
    [failed] = bodies(channel, Failed)
    assert (failed.code, failed.retry) == ("missing-extra", False)
    assert "lorelei[optimizers]" in failed.message
    assert bodies(channel, Preparing) == []


def test_no_job_is_made_by_hand_without_it(without_lion, tmp_path):
    chosen = {"optimizer": "lion"}
    request = Request(
        images=tmp_path, base="x", trigger="lisaxl", class_word="woman", out=tmp_path, settings=chosen, kind="person"
    )
    with pytest.raises(MissingExtra, match="lion-pytorch"):
        make_job(request, print)


def test_rates_follow_the_schedule_and_files_say_what_the_base_predicts(small_sdxl, tmp_path):
    velocity = {"prediction": "v-prediction", "zero_terminal_snr": True, "precision": "fp16"}
    job = tiny_job(tmp_path, small_sdxl, **velocity, schedule="linear", learning_rate=1e-3, epochs=1)
    channel = open_channel(job)
    assert run_job(channel, device="cpu") == Exit.FINISHED
    [end] = bodies(channel, Finished)
    first, *_, last = bodies(channel, Step)
    assert (first.step, first.learning_rate) == (1, 1e-3)
    assert last.learning_rate == pytest.approx(1e-3 / last.steps)
    with safe_open(job.file(1, end.file), framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["modelspec.prediction_type"], metadata["ss_mixed_precision"]) == ("v", "fp16")
