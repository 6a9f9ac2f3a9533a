"""How long a run is: by epochs, by steps, or until the loss on pictures held back falls no more."""

import json

import pytest

from tests.trainer.jobs import bodies, open_channel, tiny_job
from tests.trainer.seeing.records import shown
from trainer.contract.channel import Command
from trainer.contract.directory import DirectoryChannel
from trainer.contract.events import Checkpoint, CommandDone, Finished, Resumed, Sample, State, Step, Validated
from trainer.contract.exits import Exit
from trainer.job import run_job
from trainer.training.learner import Learner

FOUR_EPOCHS = {"epochs": 4, "checkpoint_every_epochs": 2}
"""Of two steps each."""


def trained(job, attempt=1):
    """A channel whose attempt ran to its end."""
    channel = open_channel(job, attempt)
    assert run_job(channel, device="cpu") == Exit.FINISHED
    return channel


@pytest.fixture
def losses(monkeypatch):
    """What the validations measure, in turn; the last one over and over. Also notes the epochs asked for."""
    script = [1.0]

    def validate(self, pictures):
        assert list(pictures) == sorted(set(pictures))
        return script.pop(0) if len(script) > 1 else script[0]

    monkeypatch.setattr(Learner, "validate", validate)
    return script


# --- by steps -------------------------------------------------------------------------------------------------------
def test_the_most_steps_end_the_run_within_an_epoch(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, **FOUR_EPOCHS, max_steps=5, state_every_seconds=0.0)
    channel = trained(job)
    steps = bodies(channel, Step)
    assert {(step.steps, step.epochs) for step in steps} == {(5, 3)}
    assert steps[-1].step == 5
    assert [kept.epoch for kept in bodies(channel, Checkpoint)] == [2, 3]
    [end] = bodies(channel, Finished)
    assert (end.epoch, end.step, end.file, end.message) == (3, 5, "lora/epoch-003.safetensors", "")
    job.add_command(Command(1, "extend", 2))
    second = trained(job, 2)
    [answer] = bodies(second, CommandDone)
    assert not answer.ok
    assert "max_steps = 5" in answer.message
    assert bodies(second, Step) == []
    assert [(again.epoch, again.step) for again in bodies(second, Finished)] == [(3, 5)]


# --- by the validation loss -----------------------------------------------------------------------------------------
def test_every_epoch_is_validated_on_the_pictures_held_back(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, **FOUR_EPOCHS, validation_share=0.3)
    channel = trained(job)
    validated = bodies(channel, Validated)
    steps = validated[0].step
    assert [(each.epoch, each.step) for each in validated] == [(epoch, epoch * steps) for epoch in (1, 2, 3, 4)]
    assert all(each.loss > 0 for each in validated)
    assert len({each.loss for each in validated}) == 4, "the weights move, and the loss with them"
    found = shown(job.attempt(1) / "tensorboard")
    assert list(found["loss/validation"].values()) == pytest.approx([each.loss for each in validated])
    assert (job.attempt(1) / "loss.png").exists()


def test_no_epoch_is_validated_where_nothing_is_held_back(small_sdxl, tmp_path):
    assert bodies(trained(tiny_job(tmp_path, small_sdxl, epochs=1)), Validated) == []


def test_patience_ends_a_run_whose_loss_falls_no_more(small_sdxl, tmp_path, losses):
    losses[:] = [0.5, 0.3, 0.4, 0.31, 0.2]
    settings = {"epochs": 50, "checkpoint_every_epochs": 50, "validation_share": 0.3, "patience": 2}
    job = tiny_job(tmp_path, small_sdxl, **settings, sample_count=1, sample_steps=1)
    channel = trained(job)
    assert [each.loss for each in bodies(channel, Validated)] == [0.5, 0.3, 0.4, 0.31]
    [end] = bodies(channel, Finished)
    assert (end.reason, end.epoch, end.file) == ("complete", 4, "lora/epoch-004.safetensors")
    assert end.message == "Ended early: the validation loss had not fallen for 2 epochs (best: 0.3000 after epoch 2)."
    assert [kept.epoch for kept in bodies(channel, Checkpoint)] == [sample.epoch for sample in bodies(channel, Sample)]
    assert [state.epoch for state in bodies(channel, State)] == [5]

    again = trained(job, 2)
    assert bodies(again, Step) == [], "what has ended stays ended"
    assert [one.message for one in bodies(again, Finished)] == [end.message]

    job.add_command(Command(1, "extend", 1))  # 51 epochs: somebody wants more of it
    losses[:] = [0.25, 0.26, 0.27]
    third = trained(job, 3)
    assert [each.epoch for each in bodies(third, Validated)] == [5, 6, 7], "with patience anew"
    assert "best: 0.2500 after epoch 5" in bodies(third, Finished)[0].message


def test_without_patience_a_rising_loss_ends_nothing(small_sdxl, tmp_path, losses):
    losses[:] = [0.1, 0.2, 0.3, 0.4]
    job = tiny_job(tmp_path, small_sdxl, **FOUR_EPOCHS, validation_share=0.3)
    [end] = bodies(trained(job), Finished)
    assert (end.epoch, end.message) == (4, "")


class PausesWhileSampling(DirectoryChannel):
    """Is asked to pause at the end of an epoch, so that its checkpoint is kept, but its samples are never drawn."""

    def append(self, body):
        event = super().append(body)
        if isinstance(body, Validated):
            self._job.set_desired("pause", self.attempt)
        return event


def test_an_epochs_end_that_was_interrupted_counts_once(small_sdxl, tmp_path, losses):
    losses[:] = [0.5, 0.6]
    settings = {**FOUR_EPOCHS, "checkpoint_every_epochs": 1, "validation_share": 0.3, "patience": 3}
    job = tiny_job(tmp_path, small_sdxl, **settings, sample_count=1, sample_steps=1)
    for attempt in (1, 2):
        job.open_attempt(attempt)
        channel = PausesWhileSampling(job.path, attempt)
        assert run_job(channel, device="cpu") == Exit.PAUSED
        assert [each.epoch for each in bodies(channel, Validated)] == [1]
        assert [each.epoch for each in bodies(channel, Checkpoint)] == [1]
        assert bodies(channel, Sample) == []
    position = json.loads((next(channel.states())[2] / "position.json").read_text())["position"]
    assert (position["epoch"], position["unimproved"], position["best_loss"]) == (1, 0, None)


def test_a_validation_loss_that_is_no_number_fails_the_run(small_sdxl, tmp_path, losses):
    losses[:] = [float("nan")]
    channel = open_channel(tiny_job(tmp_path, small_sdxl, epochs=1, validation_share=0.3))
    assert run_job(channel, device="cpu") == Exit.FAILED
    assert channel.events()[-1].body.code == "nan-loss"


# --- what is shown --------------------------------------------------------------------------------------------------
def test_a_resumed_run_is_shown_whole_and_once(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, **FOUR_EPOCHS, validation_share=0.3, sample_count=1, sample_steps=1)
    job.open_attempt(1)

    class PausesAtEpoch3(DirectoryChannel):
        def append(self, body):
            if isinstance(body, Validated) and body.epoch == 3:
                job.set_desired("pause", 1)
            return super().append(body)

    assert run_job(PausesAtEpoch3(job.path, 1), device="cpu") == Exit.PAUSED
    second = trained(job, 2)
    assert bodies(second, Resumed)
    found = shown(job.attempt(2) / "tensorboard")
    told = [step.step for attempt in (1, 2) for step in bodies(DirectoryChannel(job.path, attempt), Step)]
    assert sorted(found["loss/step"]) == sorted(set(told))
    assert sorted(found["loss/validation"]) == [epoch * max(told) // 4 for epoch in (1, 2, 3, 4)]
    assert {"learning rate/unet", "loss/smoothed", "speed/images per second", "sample/1"} <= found.keys()
