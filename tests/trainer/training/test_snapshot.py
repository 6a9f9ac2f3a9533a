"""What is lent is copied beside the steps, once, before it changes, whoever comes to it first."""

import gc
import threading
import weakref
from contextlib import ExitStack

import pytest
import torch

from tests.trainer.training.learning import differ, make_learner, weights
from trainer.training import snapshot as module
from trainer.training.snapshot import Snapshot, copied

LONG = 60.0
"""Seconds a test waits for what must come at once."""
SETTINGS = {
    "plain": {},
    "average": {"ema_decay": 0.5},
    "schedule-free": {"optimizer": "schedule-free"},
    "bf16 and average": {"precision": "full-bf16", "ema_decay": 0.5, "max_norm": 0.1},
}


@pytest.fixture
def gate():
    """Copying goes on when it is set; a test that fails before must not hang."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def copies(monkeypatch, gate):
    """The copying waits for the gate; names of the threads that came to it, and an event for the first."""
    names, begun = [], threading.Event()

    def late(tensors):
        names.append(threading.current_thread().name)
        begun.set()
        assert gate.wait(LONG)
        return copied(tensors)

    monkeypatch.setattr(module, "copied", late)
    return names, begun


@pytest.fixture
def no_thread(monkeypatch):
    """The thread that copies never comes to it."""
    monkeypatch.setattr(Snapshot, "start", lambda self: None)


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(tensor.dtype == other[name].dtype and tensor.equal(other[name]) for name, tensor in one.items())


# --- alone ------------------------------------------------------------------------------------------------------------
def test_copies_have_the_same_bits_and_are_contiguous():
    lent = {
        "crosswise": torch.arange(6.0).reshape(2, 3).T,
        "brain": torch.randn(5).bfloat16(),
        "count": torch.tensor(7),
        "bytes": torch.arange(300).to(torch.uint8),
        "none": torch.zeros(0, 3),
    }
    taken = Snapshot(lent).take()
    assert_equal(taken, lent)
    assert all(tensor.is_contiguous() for tensor in taken.values())
    assert not {tensor.data_ptr() for tensor in taken.values() if tensor.numel()} & {
        tensor.data_ptr() for tensor in lent.values()
    }


def test_whoever_asks_meanwhile_waits_and_gets_the_same_copies(copies, gate):
    names, begun = copies
    lent = Snapshot({"a": torch.ones(3)})
    lent.start()
    assert begun.wait(LONG)
    threading.Timer(0, gate.set).start()
    assert lent.take() is lent.take()
    assert names == ["copier"]


def test_originals_are_let_go_once_they_are_copied():
    original = torch.ones(3)
    gone = weakref.ref(original)
    lent = Snapshot({"a": original})
    lent.take()
    del original
    gc.collect()
    assert gone() is None


def test_a_copy_that_fails_is_tried_again_by_whoever_needs_it(monkeypatch):
    failed = threading.Event()

    def full(tensors):
        if threading.current_thread().name != "copier":
            raise MemoryError
        failed.set()
        raise ZeroDivisionError

    lent = Snapshot({"a": torch.ones(3)})
    with monkeypatch.context() as patch:
        patch.setattr(module, "copied", full)
        lent.start()
        assert failed.wait(LONG)
        with pytest.raises(MemoryError):
            lent.take()
    assert lent.take()["a"].equal(torch.ones(3))


# --- of a learner -----------------------------------------------------------------------------------------------------
def trained(**settings):
    one = make_learner(**settings, learning_rate=1e-2)
    for step in (1, 2):
        one.step([(0, 1)], step, 1.0)
    return one


LENT = {"shown": lambda learner: learner.shown(), "state": lambda learner: learner.state()[0]}
"""What a learner lends: of a checkpoint, of a state."""


@pytest.mark.parametrize(
    ("lend", "settings"),
    [(LENT["state"], settings) for settings in SETTINGS.values()]
    + [(LENT["shown"], SETTINGS[name]) for name in ("plain", "average")],
    ids=[f"state-{name}" for name in SETTINGS] + ["shown-plain", "shown-average"],
)
def test_passes_go_on_while_nothing_is_copied_yet(settings, lend, copies, gate, monkeypatch):
    """The gate opens once the gradients are there: were the copy waited for before, no test would end."""
    names, _ = copies
    one = trained(**settings)
    before = weights(one)
    gate.set()
    expected = lend(one).take()
    gate.clear()
    names.clear()
    lent = lend(one)
    clip, reached = torch.nn.utils.clip_grad_norm_, []

    def clipped(*arguments):
        reached.append(not gate.is_set())
        gate.set()
        return clip(*arguments)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clipped)
    one.step([(1, 2)], 3, 1.0)
    assert reached == [True]
    assert differ(one, before)
    assert_equal(lent.take(), expected)
    assert len(names) == 1


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_step_makes_the_copies_itself_where_the_thread_does_not_come(settings, no_thread):
    """Two are lent at once: a checkpoint and a state."""
    one = trained(**settings)
    lent = [(lend(one), lend(one).take()) for lend in LENT.values()]
    one.step([(1, 2)], 3, 1.0)
    for snapshot, expected in lent:
        assert_equal(snapshot.take(), expected)


CHANGES = {
    "looking": lambda learner, _, stack: stack.enter_context(learner.averaged()),
    "loading": lambda learner, state, _: learner.load(*state),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("lend", LENT.values(), ids=LENT)
def test_whatever_changes_weights_waits_for_the_copies(lend, change, no_thread):
    one = trained(ema_decay=0.5)
    early, values = make_learner(ema_decay=0.5).state()
    before = weights(one)
    lent, expected = lend(one), lend(one).take()
    with ExitStack() as stack:
        change(one, (early.take(), values), stack)
        assert differ(one, before)
        assert_equal(lent.take(), expected)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_file_shows_what_samples_show(settings):
    one = trained(**settings)
    lent = one.shown()
    with one.averaged():
        assert_equal(lent.take(), weights(one))


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_made_for_a_file_alone_is_copied_at_once(name, no_thread):
    """Its memory on the device is no part of the plan; what the training has anyway is lent."""
    lent = trained(**SETTINGS[name]).shown()
    assert bool(lent._lent) == (name in ("plain", "average"))


def test_what_nobody_wants_any_more_is_not_copied(copies, no_thread):
    """After an error of the writing, say: there is no gate to wait at."""
    names, _ = copies
    one = trained()
    one.state()
    gc.collect()
    one.step([(1, 2)], 3, 1.0)
    assert names == []


def test_an_error_of_copying_ends_the_step_before_anything_has_changed(monkeypatch, no_thread):
    one = trained()
    before, lent = weights(one), one.shown()

    def full(tensors):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(module, "copied", full)
        with pytest.raises(MemoryError):
            one.step([(1, 2)], 3, 1.0)
    assert_equal(weights(one), before)
    assert_equal(lent.take(), before)
