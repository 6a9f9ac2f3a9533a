"""The inbox: an assignment is waiting, claimed or gone; never two of these, and never in the way of the next."""

import json
import multiprocessing
import os
import threading

import pytest

from tests.trainer.contract.jobs import make_job
from trainer.contract.errors import ChannelError
from trainer.contract.inbox import Assignment, Inbox, ServiceInfo, attempt_lock

INFO = ServiceInfo(
    pid=7, device="cpu", device_name="a CPU", memory_bytes=1 << 30, version="1", beat_at=1.5, busy_with="job1"
)


@pytest.fixture
def inbox(tmp_path):
    inbox = Inbox(tmp_path / "inbox")
    inbox.prepare()
    return inbox


@pytest.fixture
def assignment(tmp_path):
    return Assignment(tmp_path / "jobs" / "job1", 1)


def test_an_assignment_goes_from_waiting_to_claimed_to_gone(inbox, assignment):
    inbox.assign(assignment)
    assert (inbox.waiting(), inbox.claimed(), inbox.holds(assignment)) == ([assignment], [], True)
    assert inbox.claim(assignment)
    assert (inbox.waiting(), inbox.claimed(), inbox.holds(assignment)) == ([], [assignment], True)
    inbox.release(assignment)
    inbox.release(assignment)
    assert (inbox.waiting(), inbox.claimed(), inbox.holds(assignment)) == ([], [], False)


def test_assigning_again_changes_nothing_while_it_is_held(inbox, assignment):
    inbox.assign(assignment)
    assert inbox.claim(assignment)
    inbox.assign(assignment)
    assert inbox.waiting() == []


def test_only_a_waiting_assignment_can_be_withdrawn(inbox, assignment):
    inbox.assign(assignment)
    assert inbox.withdraw(assignment)
    assert not inbox.claim(assignment)
    inbox.assign(assignment)
    inbox.claim(assignment)
    assert not inbox.withdraw(assignment)


def test_the_oldest_comes_first(inbox, tmp_path):
    wanted = []
    for age, name in enumerate(("c", "a", "b")):
        assignment = Assignment(tmp_path / name, 1)
        inbox.assign(assignment)
        os.utime(inbox.path / assignment.file_name, (1000 + age, 1000 + age))
        wanted.append(assignment)
    assert inbox.waiting() == wanted


def claim_all(path, folder, count, start, results):
    inbox = Inbox(path)
    start.wait()
    results.put([n for n in range(count) if inbox.claim(Assignment(folder / f"job{n}", 1))])


def test_two_services_never_claim_the_same(inbox, tmp_path):
    count, context = 150, multiprocessing.get_context("spawn")
    for number in range(count):
        inbox.assign(Assignment(tmp_path / f"job{number}", 1))
    start, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=claim_all, args=(inbox.path, tmp_path, count, start, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    taken = results.get(timeout=60) + results.get(timeout=60)
    for worker in workers:
        worker.join(60)
    assert sorted(taken) == list(range(count))


HOSTILE = {
    "job1.1.json": b"",
    "job2.1.json": b"[" * 100_000,
    "job3.1.json": b"null",
    "job4.1.json": b'{"folder": "/jobs/other", "attempt": 1}',
    "job5.2.json": b'{"folder": "/jobs/job5", "attempt": "2"}',
    "job6.1.json": b'{"folder": 6, "attempt": 1}',
    "job7.1.json": b'{"folder": "a\\u0000/job7", "attempt": 1}',
    "job8.1.json": b" " * 200_000 + b'{"folder": "/jobs/job8", "attempt": 1}',
    "job9.1.json": b"\xff\xfe",
}


def test_hostile_files_are_set_aside_and_the_rest_goes_on(inbox, assignment, caplog):
    inbox.path.joinpath("good.1.json").write_text(json.dumps({"folder": "/jobs/good", "attempt": 1}))
    for name, data in HOSTILE.items():
        (inbox.path / name).write_bytes(data)
    (inbox.path / "dir.1.json").mkdir()
    (inbox.path / "dangling.1.json").symlink_to("nowhere")
    named = [waiting.job_id for waiting in inbox.waiting()]
    assert named == ["good"]
    assert {path.name for path in inbox.path.glob("*.bad")} == {f"{name}.bad" for name in (*HOSTILE, "dir.1.json")}
    assert "job4.1.json" in caplog.text
    assert inbox.waiting() == [Assignment(inbox.path.__class__("/jobs/good"), 1)]


@pytest.mark.parametrize(
    "name", ["x.json", "job1.0.json", "job1.01.json", "a b.1.json", ".job1.1.json", "job1.1.json~"]
)
def test_other_files_are_left_alone(inbox, name):
    (inbox.path / name).write_bytes(b"{")
    assert inbox.waiting() == []
    assert (inbox.path / name).exists()


def test_an_assignment_that_cannot_be_served_is_set_aside(inbox, assignment):
    inbox.assign(assignment)
    inbox.set_aside(assignment, "no such folder")
    assert not inbox.holds(assignment)
    assert [path.name for path in inbox.path.glob("*.bad")] == [f"{assignment.file_name}.bad"]


def test_an_inbox_that_is_gone_is_an_error_of_the_contract(tmp_path, assignment):
    gone = Inbox(tmp_path / "gone")
    assert gone.waiting() == gone.claimed() == []
    for ask in (lambda: gone.assign(assignment), lambda: gone.release(assignment)):
        with pytest.raises(ChannelError):
            ask()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ChannelError, match="cannot make the inbox"):
        Inbox(tmp_path / "file" / "inbox").prepare()


# --- who serves -----------------------------------------------------------------------------------------------------
def test_the_heartbeat_is_read_as_written(inbox):
    assert inbox.service() is None
    inbox.announce(INFO)
    assert inbox.service() == INFO


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b"[]", b'{"pid": 1}', None])
def test_a_damaged_heartbeat_is_none(inbox, data):
    inbox.announce(INFO)
    value = json.loads((inbox.path / "service.json").read_bytes()) | {"pid": "seven"}
    (inbox.path / "service.json").write_bytes(json.dumps(value).encode() if data is None else data)
    assert inbox.service() is None


def test_an_inbox_has_one_service(inbox):
    assert not inbox.is_served()
    with inbox.serve():
        assert inbox.is_served()
        with pytest.raises(ChannelError, match="another trainer service"), inbox.serve():
            pass
    assert not inbox.is_served()


def test_asking_whether_an_inbox_is_served_never_keeps_a_service_out(inbox):
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            inbox.is_served()

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(20):
            with inbox.serve():
                pass
    finally:
        stop.set()
        for asker in askers:
            asker.join()


def test_asking_makes_no_file(tmp_path):
    assert not Inbox(tmp_path).is_served()
    assert list(tmp_path.iterdir()) == []


def test_an_attempt_is_trained_by_one_process(tmp_path):
    job = make_job(tmp_path)
    with pytest.raises(ChannelError, match="cannot lock"), attempt_lock(job.path, 1):
        pass
    job.open_attempt(1)
    with attempt_lock(job.path, 1), pytest.raises(ChannelError, match="another process"), attempt_lock(job.path, 1):
        pass
    with attempt_lock(job.path, 1):
        pass
