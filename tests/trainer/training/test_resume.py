"""A run that was killed and resumed is the same run, to the last bit (fp32, CPU)."""

import json

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from tests.trainer.jobs import bodies, draw_pictures, open_channel, tiny_job
from trainer.contract.directory import DirectoryChannel
from trainer.contract.events import Finished, Resumed, State
from trainer.contract.exits import Exit
from trainer.job import run_job

EVERYTHING_RANDOM = {
    "epochs": 3,
    "batch_size": 1,
    "gradient_accumulation": 2,
    "checkpoint_every_epochs": 2,
    "shuffle_caption": True,
    "keep_tokens": 1,
    "caption_dropout": 0.3,
    "noise_offset": 0.05,
    "min_snr_gamma": 5.0,
    "schedule": "cosine",
    "warmup_steps": 2,
    "state_every_seconds": 0.0,
    "learning_rate": 1e-2,
}


class Killed(BaseException):
    """The process is gone: nothing behind this line runs, as after kill -9."""


class DiesAfterState(DirectoryChannel):
    """Dies just after the state of a step is safe."""

    def __init__(self, folder, attempt, fatal_step):
        super().__init__(folder, attempt)
        self.fatal_step = fatal_step

    def put_state(self, folder, step):
        super().put_state(folder, step)
        if step == self.fatal_step:
            raise Killed


def last_state(channel):
    _, _, folder = next(channel.states())
    position = json.loads((folder / "position.json").read_text())
    del position["training_seconds"], position["started_at"]
    return position, load_file(folder / "lora.safetensors"), load_file(folder / "optimizer.safetensors")


@pytest.fixture(scope="module")
def straight(tiny_sdxl, tmp_path_factory):
    root = tmp_path_factory.mktemp("straight")
    channel = open_channel(tiny_job(root, tiny_sdxl, **EVERYTHING_RANDOM))
    assert run_job(channel, device="cpu") == Exit.FINISHED
    return last_state(channel)


# An epoch has 4 pictures in batches of one, two batches a step: steps 1-2, 3-4, 5-6.
@pytest.mark.parametrize("deaths", [[1, 5], [2, 3]], ids=str)
def test_killed_run_ends_bit_equal_to_the_straight_one(straight, deaths, tiny_sdxl, tmp_path):
    job = tiny_job(tmp_path, tiny_sdxl, pictures=draw_pictures(tmp_path / "pictures"), **EVERYTHING_RANDOM)
    for attempt, step in enumerate(deaths, start=1):
        job.open_attempt(attempt)
        with pytest.raises(Killed):
            run_job(DiesAfterState(job.path, attempt, step), device="cpu")
    channel = open_channel(job, len(deaths) + 1)
    assert run_job(channel, device="cpu") == Exit.FINISHED
    assert [event.step for event in bodies(channel, Resumed)] == [deaths[-1]]
    position, weights, moments = last_state(channel)
    assert position == straight[0]
    assert all(weights[name].equal(tensor) for name, tensor in straight[1].items())
    assert moments.keys() == straight[2].keys()
    assert all(moments[name].equal(tensor) for name, tensor in straight[2].items())


def ended_in_epoch(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()["ss_epoch"]


def test_training_moves_every_weight(straight):
    weights = straight[1]
    assert all(tensor.abs().max() > 0 for name, tensor in weights.items() if "lora_B" in name)


def test_state_at_the_very_end_only_finishes(tiny_sdxl, tmp_path):
    job = tiny_job(tmp_path, tiny_sdxl, epochs=1, checkpoint_every_epochs=1)
    first = open_channel(job)
    assert run_job(first, device="cpu") == Exit.FINISHED
    second = open_channel(job, 2)
    assert run_job(second, device="cpu") == Exit.FINISHED
    assert bodies(second, State) == []
    [old], [new] = bodies(first, Finished), bodies(second, Finished)
    assert (new.step, new.epoch, new.file) == (old.step, old.epoch, old.file)
    assert [ended_in_epoch(job.file(attempt, new.file)) for attempt in (1, 2)] == ["1", "1"]
    files = [load_file(job.attempt(attempt) / new.file) for attempt in (1, 2)]
    assert files[0].keys() == files[1].keys()
    assert all(files[0][name].equal(files[1][name]) for name in files[0])


def test_damaged_state_is_passed_over_for_an_older_one(tiny_sdxl, tmp_path):
    job = tiny_job(tmp_path, tiny_sdxl, epochs=3, state_every_seconds=0.0)
    job.open_attempt(1)
    with pytest.raises(Killed):
        run_job(DiesAfterState(job.path, 1, 4), device="cpu")
    newest = job.attempt(1) / "state" / "step-00000004" / "lora.safetensors"
    newest.write_bytes(newest.read_bytes()[:-7])
    channel = open_channel(job, 2)
    assert run_job(channel, device="cpu") == Exit.FINISHED
    assert [event.step for event in bodies(channel, Resumed)] == [3]
