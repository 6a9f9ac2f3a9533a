"""What is written while the training goes on: in order, bounded, and never silently lost."""

import gc
import threading
import weakref
from types import SimpleNamespace

import pytest

from tests.trainer.polling import until
from trainer.training import background as module
from trainer.training import lifeline
from trainer.training.background import SNAPSHOTS, WRITING, Background
from trainer.training.report import Reporter

LONG = 60.0
"""Seconds a test waits for what must come at once."""


class Watched(Reporter):
    """Tells a test when the training begins to wait."""

    def __init__(self):
        super().__init__(None)
        self.waits = threading.Semaphore(0)
        self.works = []

    def begin(self, work):
        super().begin(work)
        self.works.append(work)
        self.waits.release()


@pytest.fixture
def report():
    return Watched()


@pytest.fixture
def gate():
    """A piece of work that goes on when it is set; a test that fails before must not hang."""
    event = threading.Event()
    yield event
    event.set()


def writers():
    return [thread for thread in threading.enumerate() if thread.name == "writer"]


def held(gate):
    """Work that is held up until the gate opens."""
    return lambda: gate.wait(LONG)


def in_thread(work):
    """Somebody else does it meanwhile; tells whether it came to its end."""
    done = threading.Event()
    threading.Thread(target=lambda: (work(), done.set()), daemon=True).start()
    return done


def test_all_is_done_in_order_by_the_one_thread(report):
    done = []
    with Background(report) as background:
        for number in range(10):
            background.put(lambda number=number: done.append((number, threading.current_thread().name)), "note")
    assert done == [(number, "writer") for number in range(10)]
    assert not writers()


def test_whoever_gives_it_goes_on_meanwhile(report, gate):
    done = []
    with Background(report) as background:
        background.put(held(gate), "state")
        background.put(lambda: done.append("second"), "state")
        background.check()
        assert done == []
        gate.set()
        background.drain()
        assert done == ["second"]


def test_snapshots_are_bounded_and_notes_are_not(report, gate):
    with Background(report) as background:
        for _ in range(SNAPSHOTS):
            background.put(held(gate), "state")
        background.put(lambda: None, "note")
        assert not report.waits.acquire(blocking=False), "there was room for all of it"
        more = in_thread(lambda: background.put(lambda: None, "state"))
        assert report.waits.acquire(timeout=LONG)
        assert not more.is_set()
        gate.set()
        assert more.wait(LONG)


def test_no_snapshot_is_held_on_to_once_it_is_written(report):
    class Snapshot:
        def write(self):
            pass

    with Background(report) as background:
        snapshot = Snapshot()
        gone = weakref.ref(snapshot)
        background.put(snapshot.write, "state")
        del snapshot
        background.drain()
        # The writer lets go of it just behind the moment that `drain` waits for.
        until(lambda: gc.collect() is not None and gone() is None, "the snapshot's end")


def test_an_error_comes_out_at_the_next_call_and_nothing_behind_it_is_done(report, gate):
    done = []

    def fail():
        gate.wait(LONG)
        raise ZeroDivisionError("the disk")

    def train():
        with Background(report) as background:
            background.put(fail, "state")
            background.put(lambda: done.append("behind"), "state")
            background.put(lambda: done.append("note"), "note")
            gate.set()
            for call in (background.drain, background.check, lambda: background.put(lambda: None, "state")):
                with pytest.raises(ZeroDivisionError):
                    call()
            background.check()

    with pytest.raises(ZeroDivisionError, match="the disk"):
        train()
    assert done == []
    assert not writers()


def test_an_error_ends_the_wait_for_room(report, gate):
    def fail():
        gate.wait(LONG)
        raise ZeroDivisionError

    def train():
        with Background(report) as background:
            background.put(fail, "state")
            for _ in range(SNAPSHOTS - 1):
                background.put(lambda: None, "state")
            in_thread(lambda: report.waits.acquire(timeout=LONG) and gate.set())
            background.put(lambda: None, "state")
            raise AssertionError("it was told there is room")

    with pytest.raises(ZeroDivisionError):
        train()


def test_the_last_error_is_not_lost_though_nobody_asks(report):
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Background(report) as background:
        background.put(fail, "state")
    assert not writers()


def test_an_error_of_the_training_leaves_nothing_out_that_was_given_before(report, gate, caplog):
    done = []

    def fail():
        raise ZeroDivisionError("later")

    def train():
        with Background(report) as background:
            background.put(held(gate), "state")
            background.put(lambda: done.append("before"), "state")
            background.put(fail, "state")
            gate.set()
            raise KeyError("the training's own")

    with pytest.raises(KeyError):
        train()
    assert done == ["before"]
    assert "later" in caplog.text
    assert not writers()


def test_the_end_of_the_process_leaves_out_what_has_not_begun(report, gate):
    done, begun = [], threading.Event()

    def first():
        begun.set()
        gate.wait(LONG)
        done.append("begun")

    def go_on_once_closed(background):
        with background._changed:
            assert background._changed.wait_for(lambda: background._is_closed, LONG)
        gate.set()

    def train():
        with Background(report) as background:
            background.put(first, "state")
            background.put(lambda: done.append("behind"), "state")
            assert begun.wait(LONG)
            in_thread(lambda: go_on_once_closed(background))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert done == ["begun"]
    assert not writers()


def test_a_hung_disk_is_noticed_by_the_wait_for_it(report, gate):
    """The training's own lifeline runs out: it is at a piece of work that takes too long."""
    with Background(report) as background:
        background.put(lambda: None, "state")
        background.drain()
        report.waits = threading.Semaphore(0)
        background.put(held(gate), "state")
        waiting = in_thread(background.drain)
        assert report.waits.acquire(timeout=LONG)
        _, since = report._lifeline._current
        assert report._lifeline.is_alive(since + lifeline.LEAST_SECONDS - 1)
        assert not report._lifeline.is_alive(since + lifeline.LEAST_SECONDS)
        gate.set()
        assert waiting.wait(LONG)


def test_the_wait_is_for_the_kind_that_is_being_written(report, gate):
    """However small what was written before: a state may take as long as states take, and its first longer."""
    second = threading.Event()
    with Background(report) as background:
        background.put(held(gate), "note")
        background.put(held(second), "state")
        waiting = in_thread(background.drain)
        assert report.waits.acquire(timeout=LONG)
        gate.set()
        assert report.waits.acquire(timeout=LONG)
        assert report.works == [WRITING["note"], WRITING["state"]]
        assert report._lifeline.patience(WRITING["note"]) == lifeline.LEAST_SECONDS
        assert report._lifeline.patience(WRITING["state"]) == lifeline.FIRST_SECONDS
        second.set()
        assert waiting.wait(LONG)


@pytest.mark.parametrize("kind", WRITING)
def test_each_kind_may_take_as_long_as_it_has_taken(report, kind, monkeypatch):
    clock = iter([0.0, 100.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with Background(report) as background:
        background.put(lambda: None, kind)
        background.drain()
    patience = {work: report._lifeline.patience(work) for work in WRITING.values()}
    others = dict.fromkeys(WRITING.values(), lifeline.FIRST_SECONDS)
    assert patience == {**others, WRITING[kind]: lifeline.FACTOR * 100.0}
