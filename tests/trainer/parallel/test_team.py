"""Two real processes on the CPU train one job: the same run as one process, up to the order of addition."""

import os
import signal
import threading

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.jobs import bodies, draw_pictures, open_channel, tiny_job
from trainer.cli.parser import build_parser
from trainer.cli.run import follower_command
from trainer.contract.directory import DirectoryChannel
from trainer.contract.events import Checkpoint, Failed, Finished, Paused, Resumed, State, Step, Validated
from trainer.contract.exits import Exit
from trainer.job import run_job
from trainer.parallel.leader import Leader
from trainer.training import loop

SETTINGS = {
    "epochs": 3,
    "batch_size": 2,
    "gradient_accumulation": 2,
    "checkpoint_every_epochs": 1,
    "shuffle_caption": True,
    "tag_dropout": 0.3,
    "caption_dropout": 0.3,
    "flip": True,
    "noise_offset": 0.05,
    "preservation_weight": 0.5,
    "preservation_share": 0.5,
    "validation_share": 0.2,
    "text_encoder_1": True,
    "weight_decay": 0.1,
    "ema_decay": 0.9,
    "state_every_seconds": 0.0,
    "learning_rate": 1e-4,
}
"""All that is random but dropout, and a text encoder whose last layer nothing reads: its LoRA has no gradient."""
SIZES = ((64, 64), (64, 64), (96, 64), (64, 64), (64, 80))


class Watched(DirectoryChannel):
    """Calls `watch(body)` after each event."""

    def __init__(self, folder, attempt, watch):
        super().__init__(folder, attempt)
        self.watch = watch

    def append(self, body):
        event = super().append(body)
        self.watch(body)
        return event


class LosesTheSecond(Leader):
    """The second process is killed when it has just been told to make step 5."""

    def begin_step(self, batches, step, share):
        super().begin_step(batches, step, share)
        if step == 5:
            os.kill(self._processes[0].pid, signal.SIGKILL)


def job_of(root, base):
    return tiny_job(root, base, pictures=draw_pictures(root / "pictures", SIZES), **SETTINGS)


def team_of_two(job, attempt, kind=Leader):
    args = build_parser().parse_args(["run", str(job.path), "--device", "cpu"])
    return kind(2, follower_command(job, attempt, args))


def paused_after_step_2(job):
    """Two processes that a service manager stops: the first one as the command does it, the other by each signal."""
    job.open_attempt(1)
    team, stop = team_of_two(job, 1), threading.Event()

    def watch(body):
        if isinstance(body, Step) and body.step == 2:
            stop.set()
            for number in (signal.SIGTERM, signal.SIGINT):
                os.kill(team._processes[0].pid, number)

    channel = Watched(job.path, 1, watch)
    assert run_job(channel, device="cpu", stop=stop, team=team) == Exit.PAUSED
    assert [(end.reason, end.step) for end in bodies(channel, Paused)] == [("shutdown", 2)]
    return channel


def lost_in_step_5(job):
    channel = open_channel(job, 2)
    assert run_job(channel, device="cpu", team=team_of_two(job, 2, LosesTheSecond)) == Exit.FAILED
    assert [(at.step, at.from_attempt) for at in bodies(channel, Resumed)] == [(2, 1)]
    [failed] = bodies(channel, Failed)
    assert (failed.code, failed.retry) == ("crashed", True)
    assert failed.message.startswith("Process 2 of 2 of this training was killed (signal 9)")
    return channel


def newest(channel):
    return load_file(next(channel.states())[2] / "learner.safetensors")


def test_two_processes_are_the_run_of_one(small_sdxl, tmp_path, monkeypatch):
    """They make two steps and pause, go on with two more, then one is killed; a single process makes the rest."""
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    straight = open_channel(job_of(tmp_path / "straight", small_sdxl))
    assert run_job(straight, device="cpu") == Exit.FINISHED
    assert bodies(straight, Finished)[0].step == 6
    job = job_of(tmp_path / "two", small_sdxl)
    first, second = paused_after_step_2(job), lost_in_step_5(job)
    third = open_channel(job, 3)
    assert run_job(third, device="cpu") == Exit.FINISHED
    assert [at.step for at in bodies(third, Resumed)] == [4]

    for channel, states, checkpoints in ((first, [1, 2], []), (second, [3, 4], [2, 4]), (third, [5, 6], [4, 6])):
        told = [body.step for body in bodies(channel, State)], [body.step for body in bodies(channel, Checkpoint)]
        assert told == (states, checkpoints), "one process writes, each file once"
    # The end of an epoch comes twice where an attempt ended in it.
    for kind in (Step, Validated):
        ours = [(body.step, body.loss) for channel in (first, second, third) for body in bodies(channel, kind)]
        theirs = {body.step: body.loss for body in bodies(straight, kind)}
        assert {step for step, _ in ours} == theirs.keys()
        assert [loss for _, loss in ours] == pytest.approx([theirs[step] for step, _ in ours], rel=1e-6)
    ours, theirs = newest(third), newest(straight)
    assert ours.keys() == theirs.keys(), "a weight without a gradient is left alone, and nothing is remembered of it"
    for kind in ("weight", "average"):
        one, other = (
            torch.cat([tensors[name].flatten() for name in sorted(tensors) if name.startswith(kind)])
            for tensors in (ours, theirs)
        )
        assert torch.linalg.norm(one - other) < 1e-6 * torch.linalg.norm(other)
