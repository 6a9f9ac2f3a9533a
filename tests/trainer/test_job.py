"""A job from claim to its end, whichever end that is."""

import errno
import json
import logging
import threading

import pytest
from PIL import Image
from safetensors import SafetensorError, safe_open

from tests.trainer.jobs import bodies, draw_pictures, open_channel, tiny_job
from trainer.contract import events
from trainer.contract.channel import Command
from trainer.contract.directory import DirectoryChannel
from trainer.contract.durable import sha256_file
from trainer.contract.errors import ChannelError
from trainer.contract.exits import Exit
from trainer.job import run_job
from trainer.training import state


class Meddling(DirectoryChannel):
    """Calls `meddle(body)` after each event, as if somebody had acted at that moment."""

    def __init__(self, folder, attempt, meddle):
        super().__init__(folder, attempt)
        self.meddle = meddle

    def append(self, body):
        event = super().append(body)
        self.meddle(body)
        return event


def meddled(job, meddle, attempt=1):
    job.open_attempt(attempt)
    return Meddling(job.path, attempt, meddle)


def at(kind, action):
    """Do it once, at the first event of the kind."""
    left = [action]

    def meddle(body):
        if isinstance(body, kind) and left:
            left.pop()()

    return meddle


def last(channel):
    return channel.events()[-1].body


def kinds(channel):
    return [event.body.kind for event in channel.events()]


def test_a_whole_job(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, prompts=("lisaxl", "lisaxl, woman"), sample_count=3, sample_steps=2)
    channel = open_channel(job)
    assert run_job(channel, device="cpu", service="gpu0") == Exit.FINISHED
    story = list(dict.fromkeys(kinds(channel)))
    assert story == ["claimed", "preparing", "caching", "step", "checkpoint", "sample", "state", "finished"]
    [claimed] = bodies(channel, events.Claimed)
    assert (claimed.service, claimed.device) == ("gpu0", "cpu")
    assert [(c.done, c.total) for c in bodies(channel, events.Caching)] == [(1, 3), (2, 3), (3, 3)]
    steps = bodies(channel, events.Step)
    assert (steps[0].step, steps[-1].step, steps[-1].steps) == (1, 4, 4)
    assert steps[-1].eta_seconds >= 0
    assert all(step.loss > 0 and step.seconds_per_step > 0 and step.images_per_second > 0 for step in steps)
    end = last(channel)
    assert (end.reason, end.epoch, end.step, end.file) == ("complete", 2, 4, "lora/epoch-002.safetensors")
    path = job.file(1, end.file)
    assert (sha256_file(path), path.stat().st_size) == (end.sha256, end.bytes)
    [sample] = bodies(channel, events.Sample)
    assert sample.prompts == ("lisaxl", "lisaxl, woman", "lisaxl")
    for file in (*sample.files, sample.grid):
        with Image.open(job.file(1, file)) as image:
            assert image.format == "WEBP"
    assert json.loads((job.attempt(1) / "effective.json").read_text())["epochs"] == 2
    assert not (job.attempt(1) / "work").exists()
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["ss_steps"], metadata["ss_epoch"], metadata["ss_output_name"]) == ("4", "2", "lisaxl_v1")


def test_stop_keeps_what_was_trained_within_a_step(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, epochs=50)
    channel = meddled(job, at(events.Step, lambda: job.set_desired("stop", 1)))
    assert run_job(channel, device="cpu") == Exit.FINISHED
    end = last(channel)
    assert (end.reason, end.step, end.file) == ("stopped", 1, "lora/step-000001.safetensors")
    assert sha256_file(job.file(1, end.file)) == end.sha256


def test_stop_before_the_first_step_has_no_file(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl)
    channel = meddled(job, at(events.Caching, lambda: job.set_desired("stop", 1)))
    assert run_job(channel, device="cpu") == Exit.FINISHED
    assert (last(channel).reason, last(channel).file) == ("stopped", "")
    assert bodies(channel, events.Step) == []


@pytest.mark.parametrize("how", ["asked", "shutdown"])
def test_paused_work_is_gone_on_with_and_a_stop_then_keeps_it(small_sdxl, tmp_path, how):
    job = tiny_job(tmp_path, small_sdxl, epochs=50)
    stop = threading.Event()
    action = stop.set if how == "shutdown" else (lambda: job.set_desired("pause", 1))
    channel = meddled(job, at(events.Step, action))
    assert run_job(channel, device="cpu", stop=stop) == Exit.PAUSED
    assert kinds(channel)[-2:] == ["state", "paused"]
    assert (last(channel).reason, last(channel).step) == (how, 1)
    # Stopped while the second attempt still prepares: the first one's step must not be thrown away.
    second = meddled(job, at(events.Preparing, lambda: job.set_desired("stop", 2)), attempt=2)
    assert run_job(second, device="cpu") == Exit.FINISHED
    assert (last(second).step, last(second).file) == (1, "lora/step-000001.safetensors")


def test_pause_before_the_first_step_points_at_the_earlier_state(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, epochs=50)
    first = meddled(job, at(events.Step, lambda: job.set_desired("pause", 1)))
    assert run_job(first, device="cpu") == Exit.PAUSED
    second = meddled(job, at(events.Preparing, lambda: job.set_desired("pause", 2)), attempt=2)
    assert run_job(second, device="cpu") == Exit.PAUSED
    assert last(second).step == 1
    assert next(second.states())[:2] == (1, 1)


def test_a_replaced_attempt_leaves_and_writes_nothing(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, epochs=50, state_every_seconds=0.0)
    channel = meddled(job, at(events.Step, lambda: job.open_attempt(2)))
    assert run_job(channel, device="cpu") == Exit.STALE
    assert kinds(channel)[-1] == "step"
    assert list((job.attempt(1) / "lora").iterdir()) == []


def test_commands_are_answered_once_across_attempts(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, epochs=2, sample_steps=1)
    for number, kind, epochs in ((1, "extend", 1), (2, "sample", 0), (3, "extend", 99_999)):
        job.add_command(Command(number, kind, epochs))
    first = meddled(job, at(events.CommandDone, lambda: None))
    first.meddle = lambda body: job.set_desired("pause", 1) if getattr(body, "number", 0) == 3 else None
    assert run_job(first, device="cpu") == Exit.PAUSED
    answers = bodies(first, events.CommandDone)
    assert [(answer.number, answer.ok) for answer in answers] == [(1, True), (2, True), (3, False)]
    assert "10000" in answers[2].message
    [sample] = bodies(first, events.Sample)
    assert (sample.command, sample.grid) == (2, "samples/command-002-grid.webp")
    second = open_channel(job, 2)
    assert run_job(second, device="cpu") == Exit.FINISHED
    assert bodies(second, events.CommandDone) == []
    assert (last(second).epoch, last(second).step) == (3, 6)
    assert [checkpoint.epoch for checkpoint in bodies(second, events.Checkpoint)] == [2, 3]
    assert json.loads((job.attempt(2) / "effective.json").read_text())["epochs"] == 3


def test_an_extension_that_comes_with_the_last_checkpoint_is_in_time(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, epochs=1, checkpoint_every_epochs=1)
    channel = meddled(job, at(events.Checkpoint, lambda: job.add_command(Command(1, "extend", 1))))
    assert run_job(channel, device="cpu") == Exit.FINISHED
    assert (last(channel).epoch, last(channel).file) == (2, "lora/epoch-002.safetensors")


def test_a_finished_job_can_be_extended_by_another_attempt(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, epochs=1, checkpoint_every_epochs=1)
    assert run_job(open_channel(job), device="cpu") == Exit.FINISHED
    job.add_command(Command(1, "extend", 1))
    second = open_channel(job, 2)
    assert run_job(second, device="cpu") == Exit.FINISHED
    assert [(resumed.step, resumed.from_attempt) for resumed in bodies(second, events.Resumed)] == [(2, 1)]
    assert (last(second).epoch, last(second).step) == (2, 4)


def test_stopping_refuses_commands_left_over(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, epochs=50)

    def act():
        job.add_command(Command(1, "sample"))
        job.set_desired("stop", 1)

    channel = meddled(job, at(events.Step, act))
    assert run_job(channel, device="cpu") == Exit.FINISHED
    assert [(answer.number, answer.ok) for answer in bodies(channel, events.CommandDone)] == [(1, False)]


def test_a_bad_base_is_said_in_a_sentence(tmp_path):
    channel = open_channel(tiny_job(tmp_path, tmp_path / "nowhere"))
    assert run_job(channel, device="cpu") == Exit.FAILED
    assert (last(channel).code, last(channel).retry) == ("base-model", False)
    assert "'nowhere'" in last(channel).message
    assert str(tmp_path) not in last(channel).message


def test_a_gpu_that_is_not_there_is_said_so(tmp_path):
    channel = open_channel(tiny_job(tmp_path, "base"))
    assert run_job(channel, device="cuda:63") == Exit.FAILED
    assert last(channel).code == "no-device"


def test_a_bad_picture_is_named(small_sdxl, tmp_path):
    files = draw_pictures(tmp_path / "pictures")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG but not really")
    files[f"{sha256_file(broken)}.png"] = broken
    channel = open_channel(tiny_job(tmp_path, small_sdxl, pictures=files))
    assert run_job(channel, device="cpu") == Exit.FAILED
    assert last(channel).code == "bad-picture"
    assert sha256_file(broken)[:12] in last(channel).message


def test_a_diverged_training_fails_and_keeps_no_rubbish(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, epochs=200, learning_rate=1.0, alpha=4000.0, max_grad_norm=0.0)
    channel = open_channel(job)
    assert run_job(channel, device="cpu") == Exit.FAILED
    assert (last(channel).code, last(channel).retry) == ("nan-loss", False)
    assert "learning rate below 1" in last(channel).message


class FullDisk(DirectoryChannel):
    """No room for states or LoRA files; events still fit."""

    def put_state(self, folder, step):
        raise ChannelError("cannot keep the state") from OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_pauses_the_job(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, state_every_seconds=0.0)
    job.open_attempt(1)
    channel = FullDisk(job.path, 1)
    assert run_job(channel, device="cpu") == Exit.PAUSED
    assert (last(channel).reason, last(channel).step) == ("disk-full", 0)
    assert run_job(open_channel(job, 2), device="cpu") == Exit.FINISHED


def test_a_disk_that_fills_up_while_a_state_is_written(small_sdxl, tmp_path, monkeypatch):
    def no_room(*_):
        raise SafetensorError(f"I/O error: No space left on device (os error {errno.ENOSPC})")

    monkeypatch.setattr(state, "save_file", no_room)
    channel = open_channel(tiny_job(tmp_path, small_sdxl, state_every_seconds=0.0))
    assert run_job(channel, device="cpu") == Exit.PAUSED
    assert last(channel).reason == "disk-full"


class DeadDisk(DirectoryChannel):
    """Gone from the first step on."""

    def append(self, body):
        if isinstance(body, events.Step | events.Failed):
            raise ChannelError("cannot write events") from OSError(errno.EIO, "Input/output error")
        return super().append(body)


def test_a_dead_disk_is_an_exit_code_at_least(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl)
    job.open_attempt(1)
    assert run_job(DeadDisk(job.path, 1), device="cpu") == Exit.FAILED


def test_an_unexpected_error_is_logged_for_the_host_and_not_shown(small_sdxl, tmp_path, caplog):
    def explode():
        raise ZeroDivisionError("secret detail")

    channel = meddled(tiny_job(tmp_path, small_sdxl), at(events.Step, explode))
    with caplog.at_level(logging.ERROR):
        assert run_job(channel, device="cpu") == Exit.FAILED
    assert (last(channel).code, last(channel).retry) == ("internal", True)
    assert "secret" not in last(channel).message
    assert "secret detail" in caplog.text


def test_a_broken_job_description_fails_for_good(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl)
    (job.path / "job.json").write_text("{}")
    channel = open_channel(job)
    assert run_job(channel, device="cpu") == Exit.FAILED
    assert (last(channel).code, last(channel).retry) == ("bad-job", False)
