"""What a whole training takes, reckoned from given times of its parts, and the parts that a trial writes."""

import pytest
import torch

from tests.trainer.jobs import tiny_job
from tests.trainer.planning.shapes import load_of, shape
from trainer.contract.config import TrainConfig
from trainer.contract.directory import DirectoryChannel
from trainer.contract.estimates import estimate
from trainer.contract.folder import JobFolder
from trainer.data.dataset import _keep_texts
from trainer.data.preserved import KeptCaptions
from trainer.model.device import pick_numbers
from trainer.planning import trial
from trainer.planning.memory import Load
from trainer.planning.stand_in import random_picture
from trainer.planning.times import Times, texts_read
from trainer.planning.way import Ways
from trainer.planning.writing import try_posting, try_writing

CPU = torch.device("cpu")

PARTS = {"step": 1.0, "denoising": 0.0, "decoding": 0.0, "encoding": 0.0, "reading": 0.0}
PARTS |= {"file": 0.0, "state": 0.0, "posting": 0.0}
SIZE = {"epochs": 4, "batch_size": 2, "checkpoint_every_epochs": 2, "sample_count": 3, "sample_steps": 5}
SIZE |= {"preservation_weight": 0.0, "caption_dropout": 0.0, "resolution": 64, "bucket_step": 32}


def whole(parts, **settings):
    config = TrainConfig(**{**SIZE, **settings})
    return Times(**{**PARTS, **parts}).whole(load_of(config, images=4), estimate(4, config))


def test_the_whole_is_the_sum_of_its_parts():
    steps, checkpoints, rounds = 4 * 2, 2, 2
    assert whole({}) == steps
    assert whole({"starting": 7.0}) == steps + 7
    assert whole({"denoising": 10.0}) == steps + checkpoints * rounds * 5 * 10
    assert whole({"decoding": 10.0}) == steps + checkpoints * 3 * 10
    assert whole({"encoding": 10.0}) == steps + 4 * 10
    assert whole({"encoding": 10.0}, flip=True) == steps + 8 * 10
    assert whole({"reading": 10.0}) == steps + (4 + 3) * 10


def test_the_last_files_are_waited_for_behind_the_last_samples():
    assert whole({"state": 10.0, "posting": 3.0}) == 8 + 10 + 3
    assert whole({"file": 10.0}) == 8 + 10
    # Each checkpoint's samples take 6 s, in which the file is written.
    assert whole({"file": 10.0, "decoding": 2.0}) == 8 + 2 * 6 + 4
    assert whole({"file": 5.0, "decoding": 2.0}) == 8 + 2 * 6
    assert whole({"file": 10.0, "decoding": 2.0}, sample_count=0) == 8 + 10


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({}, 4 + 3),
        ({"sample_count": 0}, 4),
        ({"caption_dropout": 0.1}, 4 + 1 + 3),
        ({"shuffle_caption": True}, 8 * 2 + 3),
        ({"shuffle_caption": True, "preservation_weight": 1.0, "preservation_share": 0.5}, 8 * (2 + 1) + 3),
        ({"text_encoder_1": True}, 2 * 3),
    ],
)
def test_texts_that_are_read(settings, texts):
    config = TrainConfig(**{**SIZE, **settings})
    assert texts_read(load_of(config, images=4), estimate(4, config)) == texts


@pytest.mark.parametrize("settings", [{}, {"preservation_weight": 1.0, "caption_dropout": 0.1}])
def test_a_job_reads_as_many(tiny_sdxl, tmp_path, settings):
    spec = tiny_job(tmp_path, tiny_sdxl, sample_count=0, **settings).spec()
    kept = KeptCaptions.of(spec.trigger, spec.kind, 0, len(spec.pictures))
    captions = []
    _keep_texts(spec, spec.config, kept, type("Texts", (), {"keep": lambda _, caption: captions.append(caption)})())
    load = Load.of(spec.pictures, spec.images_per_epoch, spec.config)
    assert texts_read(load, estimate(spec.images_per_epoch, spec.config)) == len(captions)


def test_a_trial_writes_what_a_job_keeps(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "RUNS", 1)
    config = TrainConfig(**{**SIZE, "rank": 4, "text_encoder_1": True, "learning_rate": 10.0})
    one = trial._Trial(shape(), load_of(config), pick_numbers("fp32", CPU), CPU, 1)
    picture = random_picture(tmp_path, 64)
    done = one.step(Ways())
    assert min(try_writing(done.base, done.learner, one.config, picture)) > 0
    assert JobFolder(tmp_path / "trial").file(1, "lora/trial.safetensors").stat().st_size > 1000
    assert JobFolder(tmp_path / "trial").file(1, "loss.png").exists()
    [(step, _, folder)] = DirectoryChannel(tmp_path / "trial", 1).states()
    assert step == 1
    # The weights, two moments of each, and their headers.
    weights = sum(weight.nbytes for weight in done.learner.weights.values())
    assert (folder / "learner.safetensors").stat().st_size > 3 * weights
    assert try_posting(picture, 3) > 0
    assert len(list(tmp_path.glob("*.webp"))) == 4
