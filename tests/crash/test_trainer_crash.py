"""Real processes on the tiny model, killed for real: a training resumes, ends as it would have, and is told of."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tests.trainer.polling import until
from trainer.by_hand.make import Request, make_job
from trainer.contract.directory import DirectoryChannel
from trainer.contract.durable import KILL_AT
from trainer.contract.events import Checkpoint, Failed, Finished, Paused, Resumed, Sample, State, Step
from trainer.contract.exits import Exit
from trainer.contract.inbox import Assignment, Inbox, attempt_lock_path
from trainer.machine import lock_holder

pytestmark = pytest.mark.slow

SETTINGS = {
    "epochs": 8,
    "batch_size": 1,
    "gradient_accumulation": 2,
    "checkpoint_every_epochs": 4,
    "resolution": 64,
    "rank": 2,
    "alpha": 2.0,
    "targets": "attention",
    "precision": "fp32",
    "sample_count": 0,
    "state_every_seconds": 0.0,
    "dropout": 0.2,
    "shuffle_caption": True,
    "tag_dropout": 0.3,
    "caption_dropout": 0.3,
    "ema_decay": 0.9,
}
ENDLESS = {**SETTINGS, "epochs": 9999}


class Workshop:
    """An inbox with its service as a real process, and jobs made by hand."""

    def __init__(self, root, base, stack):
        self.root = root
        self.base = base
        self.stack = stack
        self.inbox = Inbox(root / "inbox")
        self.inbox.prepare()

    def job(self, settings):
        folder = self.root / "pictures"
        folder.mkdir(exist_ok=True)
        for number, colour in enumerate(("red", "green", "blue", "white")):
            Image.new("RGB", (64, 64), colour).save(folder / f"{number}.png")
        wanted = Request(
            images=folder,
            trigger="lisaxl",
            class_word="woman",
            base=str(self.base),
            out=self.root,
            settings=settings,
        )
        return make_job(wanted, lambda _: None)

    def assign(self, job, attempt):
        """As the bot does."""
        job.open_attempt(attempt)
        self.inbox.assign(Assignment(job.path, attempt))

    def serve(self, *more, **environment):
        """A service process; killed with its child at the test's end."""
        command = [sys.executable, "-m", "trainer", "serve", str(self.inbox.path), "--device", "cpu", "--poll", "0.05"]
        with (self.root / "service.log").open("ab") as log:
            process = subprocess.Popen([*command, *more], env={**os.environ, **environment}, stderr=log)
        self.stack.callback(self._end, process)
        return process

    @staticmethod
    def _end(process):
        process.kill()
        process.wait()


@pytest.fixture
def workshop(tmp_path, small_sdxl):
    with ExitStack() as stack:
        yield Workshop(tmp_path, small_sdxl, stack)


def bodies(job, attempt, kind):
    channel = DirectoryChannel(job.path, attempt)
    return [event.body for event in channel.events() if isinstance(event.body, kind)]


def child_of(job, attempt):
    """Process that trains the attempt; None before it has taken its lock."""
    return lock_holder(attempt_lock_path(job.path, attempt), str(job.path))


def ended(job, attempt):
    return bodies(job, attempt, (Finished, Failed, Paused))


def finished(job, attempt):
    """Everything the attempt ended with: its file's weights, and its last state's with the optimizer's memory."""
    (last,) = until(lambda: ended(job, attempt), f"the end of attempt {attempt}")
    assert isinstance(last, Finished), last
    _, _, folder = next(DirectoryChannel(job.path, attempt).states())
    return {**load_file(job.file(attempt, last.file)), **load_file(folder / "learner.safetensors")}


def train_here(job, attempt):
    """What an attempt ended with that was trained to its end in this process, which has torch loaded already."""
    from trainer.job import run_job

    job.open_attempt(attempt)
    assert run_job(DirectoryChannel(job.path, attempt), device="cpu") == Exit.FINISHED
    return finished(job, attempt)


def same_weights(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def straight(tmp_path_factory, small_sdxl):
    """Weights of a training that nobody disturbed."""
    with ExitStack() as stack:
        job = Workshop(tmp_path_factory.mktemp("straight"), small_sdxl, stack).job(SETTINGS)
        return train_here(job, 1)


def test_a_killed_training_is_told_resumes_and_ends_with_the_same_weights(workshop, straight):
    job = workshop.job(SETTINGS)
    workshop.assign(job, 1)
    service = workshop.serve()
    until(lambda: len(bodies(job, 1, State)) >= 5, "five states")
    os.kill(child_of(job, 1), signal.SIGKILL)
    (failed,) = until(lambda: ended(job, 1), "the service to speak for its child")
    assert (failed.code, failed.retry) == ("crashed", True)
    assert "signal 9" in failed.message
    until(lambda: not workshop.inbox.claimed(), "the release")
    workshop.assign(job, 2)
    weights = finished(job, 2)
    (resumed,) = bodies(job, 2, Resumed)
    assert resumed.step >= 5
    assert resumed.from_attempt == 1
    assert same_weights(weights, straight)
    service.terminate()
    assert service.wait(180) == Exit.FINISHED, "an idle service has nothing to resume"


@pytest.mark.parametrize(
    "point",
    [
        "step-00000004.before-publish",
        # Files that are written in the background: steps of the next epoch are done, and lost.
        "epoch-004.safetensors.before-rename",
        "event.checkpoint.before",
        "file.webp.after",
        "event.sample.before",
        "event.finished.before",
    ],
)
def test_killed_in_a_write_the_weights_come_out_the_same(workshop, straight, point):
    job = workshop.job({**SETTINGS, "sample_count": 1, "sample_steps": 1})
    workshop.assign(job, 1)
    assert workshop.serve("--once", **{KILL_AT: point}).wait(240) == Exit.FINISHED
    assert ended(job, 1)[0].code == "crashed"
    nothing_is_overtaken(job)
    weights = train_here(job, 2)
    assert same_weights(weights, straight)
    kept = [kept.epoch for attempt in (1, 2) for kept in bodies(job, attempt, Checkpoint)]
    drawn = [drawn.epoch for attempt in (1, 2) for drawn in bodies(job, attempt, Sample)]
    assert set(kept) == set(drawn) == {4, 8}, "nothing is left out; what was written but not told of is told again"


def nothing_is_overtaken(job):
    """A state that says an epoch is over is never safe before the epoch's files."""
    states = [
        json.loads((folder / "position.json").read_text()) for _, _, folder in DirectoryChannel(job.path, 1).states()
    ]
    if max((state["position"]["epoch"] for state in states), default=0) > 4:
        assert [kept.epoch for kept in bodies(job, 1, Checkpoint)][:1] == [4]
        assert [drawn.epoch for drawn in bodies(job, 1, Sample)][:1] == [4]


def test_a_stopped_service_pauses_its_job_and_the_next_one_goes_on(workshop, straight):
    job = workshop.job(SETTINGS)
    workshop.assign(job, 1)
    service = workshop.serve()
    until(lambda: len(bodies(job, 1, State)) >= 3, "three states")
    service.terminate()
    assert service.wait(180) == Exit.PAUSED
    (paused,) = ended(job, 1)
    assert (type(paused), paused.reason) == (Paused, "shutdown")
    assert workshop.inbox.claimed() == []
    assert same_weights(train_here(job, 2), straight)
    assert bodies(job, 2, Resumed)[0].step == paused.step


def test_a_killed_service_takes_its_child_along_and_the_next_one_settles(workshop):
    job = workshop.job(ENDLESS)
    workshop.assign(job, 1)
    service = workshop.serve()
    until(lambda: bodies(job, 1, Step), "the first step")
    child = child_of(job, 1)
    service.kill()
    service.wait()
    until(lambda: child_of(job, 1) is None, "the orphan to leave by itself")
    (paused,) = ended(job, 1)
    assert (type(paused), paused.reason) == (Paused, "shutdown")
    assert child != service.pid
    assert workshop.inbox.claimed() == [Assignment(job.path, 1)]
    assert workshop.serve("--once").wait(240) == Exit.FINISHED
    assert workshop.inbox.claimed() == []
    assert len(ended(job, 1)) == 1


def test_both_killed_at_once_are_settled_by_the_next_service(workshop):
    job = workshop.job(ENDLESS)
    workshop.assign(job, 1)
    service = workshop.serve()
    until(lambda: bodies(job, 1, Step), "the first step")
    os.kill(child_of(job, 1), signal.SIGSTOP)  # so that it cannot leave politely
    service.kill()
    service.wait()
    os.kill(child_of(job, 1), signal.SIGKILL)
    until(lambda: child_of(job, 1) is None, "the child's end")
    assert workshop.serve("--once").wait(240) == Exit.FINISHED
    (failed,) = ended(job, 1)
    assert "service was interrupted" in failed.message
    assert workshop.inbox.claimed() == []
