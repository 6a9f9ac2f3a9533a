"""Steps go on while files are written, and whatever is written late is what it was, in the order it was asked for.

Each disk here is held up until a later step has been told: were a file written between two steps, no test would end.
"""

import errno
import threading
import time

import pytest
from safetensors.torch import load_file

from tests.trainer.jobs import bodies, tiny_job
from trainer.contract.channel import Command
from trainer.contract.directory import DirectoryChannel
from trainer.contract.errors import ChannelError
from trainer.contract.events import Checkpoint, CommandDone, Paused, Sample, State, Step
from trainer.contract.exits import Exit
from trainer.job import run_job
from trainer.training import keeper, loop
from trainer.training.background import WRITING
from trainer.training.report import Reporter

LONG = 60.0
"""Seconds a test waits for what must come at once."""
DUE = 1000.0
"""Seconds between states; only the tests' clock ever reaches them."""
EACH_EPOCH = {"epochs": 3, "checkpoint_every_epochs": 1, "state_every_seconds": DUE}
"""Of two steps each."""


class Clock:
    """The loop's clock, which a test puts forward."""

    perf_counter = staticmethod(time.perf_counter)

    def __init__(self):
        self.ahead = 0.0

    def monotonic(self):
        return time.monotonic() + self.ahead


class SlowDisk(DirectoryChannel):
    """Does not write what `holds` names (`state`, `lora/…`) before the gate is open."""

    def __init__(self, folder, attempt, holds, at_step):
        """`at_step` is called with this and the number of each step told."""
        super().__init__(folder, attempt)
        self.gate = threading.Event()
        self.holds = holds
        self.at_step = at_step

    def append(self, body):
        event = super().append(body)
        if isinstance(body, Step):
            self.at_step(self, body.step)
        return event

    def put_file(self, name, source):
        if name.startswith(self.holds):
            assert self.gate.wait(LONG)
        super().put_file(name, source)

    def put_state(self, folder, step):
        if self.holds == "state":
            assert self.gate.wait(LONG)
        super().put_state(folder, step)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Every step is told, states come when a test says so, and no end leaves a thread behind."""
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    clock = Clock()
    monkeypatch.setattr(loop, "time", clock)
    yield clock
    assert "writer" not in {thread.name for thread in threading.enumerate()}


def slow_disk(job, holds, at_step):
    job.open_attempt(1)
    return SlowDisk(job.path, 1, holds, at_step)


def story(channel, *kinds):
    """Events of these kinds in order, each as its kind and its step (of an answer: its number)."""
    told = [event.body for event in channel.events() if isinstance(event.body, kinds)]
    return [(body.kind, body.number if isinstance(body, CommandDone) else body.step) for body in told]


def test_steps_go_on_while_a_state_is_written_and_no_other_is_begun(small_sdxl, tmp_path, clock):
    def at_step(channel, step):
        if step in (1, 2):
            clock.ahead += 0.75 * DUE * step  # due after the first step, and again after the second
        if step == 4:
            channel.gate.set()

    clock.ahead = 0.25 * DUE
    channel = slow_disk(tiny_job(tmp_path, small_sdxl, **EACH_EPOCH), "state", at_step)
    assert run_job(channel, device="cpu") == Exit.FINISHED
    states = [step for _, step in story(channel, State)]
    assert states[0] == 1
    assert not {2, 3} & set(states), "a state is put off while another is being written"
    assert states[-1] == 6
    told = story(channel, Step, State)
    assert told.index(("step", 4)) < told.index(("state", 1))


@pytest.mark.parametrize(("holds", "kind"), [("lora/", "checkpoint"), ("samples/", "sample")])
def test_steps_go_on_while_files_are_written_and_nothing_overtakes_them(small_sdxl, tmp_path, clock, holds, kind):
    """A state that was asked for later is not safe earlier: it says that the epoch is over."""

    def at_step(channel, step):
        if step == 3:
            clock.ahead += DUE
        if step == 4:
            assert list(channel.states()) == []
            channel.gate.set()

    job = tiny_job(tmp_path, small_sdxl, **EACH_EPOCH, sample_count=2, sample_steps=1)
    channel = slow_disk(job, holds, at_step)
    assert run_job(channel, device="cpu") == Exit.FINISHED
    told = story(channel, Step, State, Checkpoint, Sample)
    assert told.index(("step", 4)) < told.index((kind, 2))
    kept = [event for event in told if event[0] != "step"]
    assert kept[:5] == [("checkpoint", 2), ("sample", 2), ("state", 3), ("checkpoint", 4), ("sample", 4)]
    assert kept[5:] == [("checkpoint", 6), ("sample", 6), ("state", 6)]


def test_what_is_written_late_is_what_it_was_when_it_was_asked_for(small_sdxl, tmp_path, clock, monkeypatch):
    """Weights, averages, the optimizer's memory and the history are copies; the steps since have not touched them."""
    save_state, save_lora = keeper.save_state, keeper.save_lora
    settings = {**EACH_EPOCH, "ema_decay": 0.9, "learning_rate": 1e-2}
    written = []
    for name, until in (("at once", {"state": 1, "lora": 2}), ("late", {"state": 3, "lora": 4})):
        steps = {number: threading.Event() for number in range(1, 7)}
        states = {}

        def late_state(folder, state, steps=steps, until=until, states=states):
            assert steps[max(until["state"], state.position.step)].wait(LONG)
            save_state(folder, state)
            history = (
                [point.step for point in state.history.points],
                [mark.step for mark in state.history.checkpoints],
            )
            states[state.position.step] = load_file(folder / "learner.safetensors"), history

        def late_lora(path, *values, steps=steps, until=until, **more):
            assert steps[max(until["lora"], 2 * int(path.stem[-1]))].wait(LONG)
            save_lora(path, *values, **more)

        def at_step(_, step, steps=steps):
            steps[step].set()
            if step == 1:
                clock.ahead += DUE

        monkeypatch.setattr(keeper, "save_state", late_state)
        monkeypatch.setattr(keeper, "save_lora", late_lora)
        job = tiny_job(tmp_path / name, small_sdxl, **settings)
        channel = slow_disk(job, "nothing", at_step)
        assert run_job(channel, device="cpu") == Exit.FINISHED
        files = {path.name: load_file(path) for path in (job.attempt(1) / "lora").iterdir()}
        written.append((states[1], states[6], files))
    for (one, history), (other, other_history) in zip(written[0][:2], written[1][:2], strict=True):
        assert_equal(one, other)
        assert history == other_history
    assert written[1][0][1] == ([1], [])
    assert written[0][2].keys() == written[1][2].keys() == {f"epoch-00{epoch}.safetensors" for epoch in (1, 2, 3)}
    for name, file in written[0][2].items():
        assert_equal(file, written[1][2][name])


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(tensor.equal(other[name]) for name, tensor in one.items())


def opens_at_the_first_wait(channel, monkeypatch):
    """Open the gate once the training waits for the disk; returns the last step told before, in a list."""
    begin, waited = Reporter.begin, []

    def spy(self, work):
        if work in WRITING.values() and not channel.gate.is_set():
            waited.append(bodies(channel, Step)[-1].step)
            channel.gate.set()
        begin(self, work)

    monkeypatch.setattr(Reporter, "begin", spy)
    return waited


def test_a_state_is_put_off_only_so_long(small_sdxl, tmp_path, clock, monkeypatch):
    """The training waits for a disk that hangs, so that its silence is noticed, and no more work is at stake."""

    def at_step(_, step):
        if step == 1:
            clock.ahead += DUE
        if step == 3:
            clock.ahead += 2 * DUE

    channel = slow_disk(tiny_job(tmp_path, small_sdxl, **EACH_EPOCH), "state", at_step)
    waited = opens_at_the_first_wait(channel, monkeypatch)
    assert run_job(channel, device="cpu") == Exit.FINISHED
    assert waited == [3]
    assert [step for _, step in story(channel, State)][:2] == [1, 3]


def test_commands_are_answered_in_order_and_after_what_they_asked_for(small_sdxl, tmp_path):
    job = tiny_job(tmp_path, small_sdxl, **EACH_EPOCH, sample_steps=1)
    job.add_command(Command(1, "sample"))
    job.add_command(Command(2, "extend", 1))
    channel = slow_disk(job, "samples/", lambda channel, step: step == 2 and channel.gate.set())
    assert run_job(channel, device="cpu") == Exit.FINISHED
    told = story(channel, Step, Sample, CommandDone)
    first = told.index(("sample", 0))
    assert [event for event in told[first:] if event[0] != "step"] == [
        ("sample", 0),
        ("command-done", 1),
        ("command-done", 2),
    ]
    assert ("step", 2) in told[:first]
    assert bodies(channel, Step)[-1].step == 8


class FullDisk(SlowDisk):
    """Has no room for a state."""

    def put_state(self, folder, step):
        assert self.gate.wait(LONG)
        raise ChannelError("cannot keep the state") from OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_met_between_two_steps_and_nothing_is_written_behind_it(small_sdxl, tmp_path, clock):
    def at_step(channel, step):
        if step == 1:
            clock.ahead += DUE
        if step == 3:
            channel.gate.set()

    job = tiny_job(tmp_path, small_sdxl, **EACH_EPOCH)
    job.open_attempt(1)
    channel = FullDisk(job.path, 1, "state", at_step)
    assert run_job(channel, device="cpu") == Exit.PAUSED
    [end] = bodies(channel, Paused)
    assert (end.reason, end.step) == ("disk-full", 0)
    assert story(channel, Checkpoint, State) == [], "the checkpoint of step 2 was behind the state"
    assert list((job.attempt(1) / "lora").iterdir()) == []


def test_a_replaced_attempt_writes_nothing_of_what_it_had_still_to_write(small_sdxl, tmp_path, clock):
    job = tiny_job(tmp_path, small_sdxl, **EACH_EPOCH)

    def at_step(channel, step):
        if step == 1:
            clock.ahead += DUE
        if step == 3:
            job.open_attempt(2)
            channel.gate.set()

    channel = slow_disk(job, "state", at_step)
    assert run_job(channel, device="cpu") == Exit.STALE
    assert story(channel, Step, Checkpoint, State)[-1] == ("step", 3)
    assert list((job.attempt(1) / "lora").iterdir()) == []
    assert list(channel.states()) == []


@pytest.mark.parametrize("how", ["stopped", "asked", "shutdown"])
def test_every_end_waits_for_what_is_still_being_written(small_sdxl, tmp_path, clock, monkeypatch, how):
    job, stop = tiny_job(tmp_path, small_sdxl, **EACH_EPOCH), threading.Event()
    end = {
        "stopped": lambda: job.set_desired("stop", 1),
        "asked": lambda: job.set_desired("pause", 1),
        "shutdown": stop.set,
    }[how]

    def at_step(_, step):
        if step == 1:
            clock.ahead += DUE
        if step == 3:
            end()

    channel = slow_disk(job, "state", at_step)
    waited = opens_at_the_first_wait(channel, monkeypatch)
    assert run_job(channel, device="cpu", stop=stop) == (Exit.FINISHED if how == "stopped" else Exit.PAUSED)
    assert waited == [3]
    kept = [("state", 1), ("checkpoint", 2), ("checkpoint" if how == "stopped" else "state", 3)]
    assert story(channel, Checkpoint, State) == kept
    assert channel.events()[-1].body.kind == ("finished" if how == "stopped" else "paused")
    assert channel.events()[-1].body.step == 3
