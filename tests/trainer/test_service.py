"""The service: whatever a job, a child or a disk does, the attempt's log ends and the next job runs."""

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from tests.trainer.contract.jobs import make_job
from tests.trainer.polling import until
from tests.trainer.scripted_child import FAILED, FINISHED
from trainer import service as service_module
from trainer.contract.directory import DirectoryChannel
from trainer.contract.errors import ChannelError
from trainer.contract.events import CommandDone, Failed, Heartbeat, Paused
from trainer.contract.exits import Exit
from trainer.contract.folder import JobFolder
from trainer.contract.inbox import Assignment, Inbox, attempt_lock_path
from trainer.machine import describe, lock_holder
from trainer.service import ServiceOptions, serve
from trainer.supervise import Child, Patience, end_process, speak_for


def scripted(endings):
    """A start function whose children end as `endings[job id]` says."""

    def start(assignment, options):
        command = [sys.executable, "-m", "tests.trainer.scripted_child", str(assignment.folder)]
        command += [str(assignment.attempt), endings[assignment.job_id]]
        return Child(assignment, command, options.patience)

    return start


class World:
    def __init__(self, root):
        self.root = root
        self.inbox = Inbox(root / "inbox")
        self.inbox.prepare()
        self.options = ServiceOptions(
            inbox=self.inbox.path,
            device="cpu",
            name="test",
            poll=0.02,
            once=True,
            patience=Patience(silence=60.0, stopping=60.0, dying=60.0),
        )
        self.endings = {}
        self.stop = threading.Event()

    def assign(self, job_id, ending, attempt=1):
        job = make_job(self.root, job_id) if not (self.root / "jobs" / job_id).exists() else None
        assignment = Assignment(self.root / "jobs" / job_id, attempt)
        if job:
            job.open_attempt(attempt)
        self.inbox.assign(assignment)
        self.endings[job_id] = ending
        return assignment

    def serve(self):
        return serve(self.options, self.stop, scripted(self.endings))

    def last(self, job_id, attempt=1):
        return DirectoryChannel(self.root / "jobs" / job_id, attempt).events()[-1].body

    def is_settled(self):
        return not self.inbox.claimed() and not self.inbox.waiting()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


# --- how children end -----------------------------------------------------------------------------------------------
def test_jobs_run_oldest_first_and_their_own_last_word_stays(world):
    world.assign("job1", "finish")
    world.assign("job2", "fail")
    assert world.serve() == Exit.FINISHED
    assert world.last("job1") == FINISHED
    assert world.last("job2") == FAILED
    assert world.is_settled()


@pytest.mark.parametrize(
    ("ending", "code", "retry", "words"),
    [
        ("-9", "crashed", True, "often the machine ran out of memory"),
        ("-11", "crashed", True, "SIGSEGV"),
        ("torn", "crashed", True, "killed"),
        ("1", "crashed", True, "exit code 1"),
        ("0", "crashed", True, "exit code 0"),
        ("2", "invalid-job", False, "could not use this job"),
    ],
)
def test_a_child_that_dies_without_a_word_is_spoken_for(world, ending, code, retry, words):
    world.assign("job1", ending)
    world.assign("job2", "finish")
    world.serve()
    last = world.last("job1")
    assert isinstance(last, Failed)
    assert (last.code, last.retry) == (code, retry)
    assert words in last.message
    assert world.last("job2") == FINISHED, "the queue behind moves on"
    assert world.is_settled()


def test_a_signal_without_a_name_has_a_sentence_too():
    assert "signal 99" in speak_for(-99).message


def test_a_silent_child_is_ended_and_called_hung(world):
    world.options = replace(world.options, patience=Patience(silence=0.2, stopping=60.0, dying=0.2))
    world.assign("job1", "deaf")
    workspace = DirectoryChannel(world.root / "jobs" / "job1", 1).workspace
    world.serve()
    assert (world.last("job1").code, world.last("job1").retry) == ("hung", True)
    assert not workspace.exists(), "what it was working with is of no use to anybody"


def test_a_child_that_beats_is_not_silent(world):
    world.options = replace(world.options, patience=Patience(silence=6.0, stopping=60.0, dying=60.0))
    world.assign("job1", "beat-for-8-s")
    world.serve()
    assert world.last("job1") == FINISHED


def test_a_child_that_cannot_start_is_told(world):
    def refuse(_assignment, _options):
        raise OSError(11, "Resource temporarily unavailable")

    world.assign("job1", "finish")
    serve(world.options, world.stop, refuse)
    assert "could not be started" in world.last("job1").message


def test_the_childs_output_is_kept_beside_its_events(world):
    world.assign("job1", "not a number")
    world.serve()
    assert "invalid literal" in (world.root / "jobs" / "job1" / "attempts" / "1" / "trainer.log").read_text()


# --- stopping -------------------------------------------------------------------------------------------------------
class running:
    """The service in a thread of the test."""

    def __init__(self, world):
        self.world = world
        self.result = None

    def __enter__(self):
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def _run(self):
        self.result = self.world.serve()

    def join(self, seconds):
        self.thread.join(seconds)
        assert not self.thread.is_alive()

    def __exit__(self, *_):
        self.world.stop.set()
        self.join(90)


def test_a_stopped_service_lets_the_child_write_its_state_and_keeps_the_rest_waiting(world):
    world.options = replace(world.options, once=False)
    world.assign("job1", "until-asked")
    waiting = world.assign("job2", "finish")
    with running(world) as thread:
        until(lambda: world.inbox.service() and world.inbox.service().busy_with == "job1", "job1 to be trained")
        until(lambda: DirectoryChannel(world.root / "jobs" / "job1", 1).events(), "the child's first event")
        world.stop.set()
        thread.join(60)
        assert thread.result == Exit.PAUSED
    assert world.last("job1") == Paused(reason="shutdown", step=1, message="paused")
    assert world.inbox.claimed() == []
    assert world.inbox.waiting() == [waiting]


def test_a_child_that_does_not_leave_is_killed_when_the_service_stops(world):
    world.options = replace(world.options, once=False, patience=Patience(silence=60.0, stopping=0.1, dying=60.0))
    world.assign("job1", "deaf")
    with running(world) as thread:
        until(lambda: DirectoryChannel(world.root / "jobs" / "job1", 1).events(), "the child's first event")
        world.stop.set()
        thread.join(60)
    assert "service was interrupted" in world.last("job1").message, "nobody is to blame the machine's memory"


def test_an_idle_service_that_is_stopped_has_nothing_to_resume(world):
    world.options = replace(world.options, once=False)
    with running(world) as thread:
        until(world.inbox.is_served, "the service")
        world.stop.set()
        thread.join(60)
        assert thread.result == Exit.FINISHED
    assert not world.inbox.is_served()


# --- what an earlier service left -----------------------------------------------------------------------------------
def test_an_interrupted_attempt_is_told_and_released(world):
    world.inbox.claim(world.assign("job1", "finish"))
    DirectoryChannel(world.root / "jobs" / "job1", 1).append(Heartbeat())
    world.serve()
    last = world.last("job1")
    assert (last.code, last.retry) == ("crashed", True)
    assert "service was interrupted" in last.message
    assert world.is_settled()


def test_an_attempt_that_ended_before_the_service_died_is_only_released(world):
    world.inbox.claim(world.assign("job1", "finish"))
    DirectoryChannel(world.root / "jobs" / "job1", 1).append(FINISHED)
    world.serve()
    assert world.last("job1") == FINISHED
    assert len(DirectoryChannel(world.root / "jobs" / "job1", 1).events()) == 1
    assert world.is_settled()


@pytest.mark.parametrize("ending", ["until-asked", "deaf"])
def test_an_orphan_is_ended_before_its_attempt_is_closed(world, ending):
    dying = 0.5 if ending == "deaf" else 60.0
    world.options = replace(world.options, patience=Patience(silence=60.0, stopping=60.0, dying=dying))
    world.inbox.claim(assignment := world.assign("job1", ending))
    command = [sys.executable, "-m", "tests.trainer.scripted_child", str(assignment.folder), "1", ending]
    with subprocess.Popen(command) as orphan:
        until(lambda: lock_holder(attempt_lock_path(assignment.folder, 1), str(assignment.folder)), "the orphan")
        world.serve()
        assert orphan.wait(60) is not None
    assert isinstance(world.last("job1"), Paused if ending == "until-asked" else Failed)
    assert world.is_settled()


def test_a_process_that_is_gone_already_is_no_error():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    end_process(process.pid, lambda: False, 0.0)


@pytest.mark.parametrize("loss", ["job", "log"])
def test_a_claimed_job_that_was_deleted_or_damaged_is_let_go(world, loss):
    world.inbox.claim(assignment := world.assign("job1", "finish"))
    if loss == "job":
        shutil.rmtree(assignment.folder)
    else:
        (assignment.folder / "attempts" / "1" / "events.jsonl").write_bytes(b"garbage\n")
    world.assign("job2", "finish")
    world.serve()
    assert world.last("job2") == FINISHED
    assert world.is_settled()


def test_a_child_that_left_for_a_newer_attempt_is_not_spoken_for(world):
    world.assign("job1", "replaced")
    world.serve()
    assert world.last("job1").kind == "claimed"
    assert world.is_settled()


def test_an_attempt_replaced_meanwhile_is_closed_by_nobody(world):
    world.inbox.claim(assignment := world.assign("job1", "finish"))
    make = DirectoryChannel(assignment.folder, 1)
    make.append(CommandDone(number=1, ok=True, message="x"))
    JobFolder(assignment.folder).open_attempt(2)
    world.serve()
    assert world.is_settled()
    assert DirectoryChannel(assignment.folder, 1).events()[-1].body.kind == "command-done"


def test_a_disk_that_refuses_keeps_the_assignment_for_later(world, monkeypatch):
    world.inbox.claim(world.assign("job1", "finish"))

    def refuse(*_):
        raise ChannelError("cannot write events: No space left on device; free some disk space")

    with monkeypatch.context() as patch:
        patch.setattr(service_module.DirectoryChannel, "append", refuse)
        with pytest.raises(ChannelError, match="No space left"):
            world.serve()
    assert len(world.inbox.claimed()) == 1
    world.serve()
    assert world.last("job1").code == "crashed"
    assert world.is_settled()


def test_a_service_outlives_a_full_disk_and_a_strange_error(world, monkeypatch):
    world.options = replace(world.options, once=False)
    world.assign("job1", "finish")
    errors = [ChannelError("full"), RuntimeError("strange")]
    real = Inbox.claimed

    def claimed(inbox):
        if errors:
            raise errors.pop(0)
        return real(inbox)

    monkeypatch.setattr(Inbox, "claimed", claimed)
    with running(world):
        until(lambda: not errors and world.is_settled(), "job1 to end")
    assert world.last("job1") == FINISHED


# --- strange assignments --------------------------------------------------------------------------------------------
def test_hostile_assignments_do_not_stop_the_queue(world, tmp_path):
    (world.inbox.path / "evil.1.json").write_bytes(b"[" * 100_000)
    world.inbox.assign(Assignment(tmp_path / "nowhere" / "gone", 1))
    world.inbox.assign(Assignment(world.root / "jobs" / "unopened", 1))
    make_job(world.root, "unopened")
    world.assign("job1", "finish")
    world.serve()
    assert world.last("job1") == FINISHED
    assert {path.name for path in world.inbox.path.glob("*.bad")} == {
        "evil.1.json.bad",
        "gone.1.json.bad",
        "unopened.1.json.bad",
    }


def test_a_replaced_attempt_is_not_started(world):
    world.assign("job1", "finish")
    JobFolder(world.root / "jobs" / "job1").open_attempt(2)
    world.serve()
    assert DirectoryChannel(world.root / "jobs" / "job1", 1).events() == []
    assert world.is_settled()


def test_one_inbox_has_one_service(world):
    with world.inbox.serve(), pytest.raises(ChannelError, match="another trainer service"):
        world.serve()


# --- what it says of itself -----------------------------------------------------------------------------------------
def test_it_says_who_and_what_it_is(world):
    world.serve()
    info = world.inbox.service()
    assert (info.pid, info.device, info.busy_with) == (os.getpid(), "cpu", "")
    assert info.memory_bytes > 1 << 28
    assert info.device_name
    assert info.version


def test_the_gpu_is_known_through_nvidia_smi(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "$2: NVIDIA H200, 143771"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine = describe("cuda:1")
    assert (machine.device, machine.name, machine.memory_bytes) == ("cuda", "1: NVIDIA H200", 143771 << 20)
    assert describe("auto").name == "0: NVIDIA H200"
    program.write_text("#!/bin/sh\nexit 9\n")
    assert describe("auto").device == "cpu"
    assert describe("cuda").device == "cuda"


@pytest.mark.parametrize(
    ("visible", "name"),
    [
        ("3", "3: NVIDIA H200"),
        ("2, GPU-8932f937", "2: NVIDIA H200"),
        ("GPU-8932f937,2", "GPU-8932f937: NVIDIA H200"),
        ("", "a GPU that nvidia-smi does not know"),
    ],
)
def test_cudas_first_gpu_is_the_first_that_is_visible(tmp_path, monkeypatch, visible, name):
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "$2: NVIDIA H200, 143771"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert describe("cuda").name == name
    assert describe("cuda:2").name == "a GPU that nvidia-smi does not know"


def test_no_lock_has_no_holder(tmp_path):
    assert lock_holder(tmp_path / "lock", "x") is None
    (tmp_path / "lock").touch()
    assert lock_holder(tmp_path / "lock", "x") is None
