"""What only a card can show: run with `-m gpu`."""

import pytest
import torch

from tests.trainer.support.card import NEEDS_CARD, never_waiting
from tests.trainer.training.learning import make_learner, pictures
from trainer.bench.steps import make_learner as full_size
from trainer.bench.subject import Subject
from trainer.model.checkpointing import checkpoint_units, units
from trainer.model.compiling import compile_blocks
from trainer.planning.room import room_of
from trainer.training.snapshot import Snapshot

pytestmark = NEEDS_CARD
PLAN = [[(0, 1, 2)], [(2, 3, 0)], [(1, 3, 2)]]


def losses(card, fast=lambda learner: None, **settings):
    learner = make_learner(pictures(device=card), device=card, preservation_weight=1.0, **settings)
    fast(learner)
    told = []
    for step, batches in enumerate(PLAN, 1):
        learner.step(batches, step, 1.0)
        told.append(float(learner.tally.loss))
    return told


PRECISIONS = pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-3), ("bf16", 2**-7)])
"""TF32 has 10 bits, bf16 8."""


@PRECISIONS
def test_recomputed_steps_are_the_plain_ones_within_rounding(card, precision, bound):
    plain = losses(card, precision=precision)
    recomputed = losses(card, lambda one: checkpoint_units(one.unet, units(one.unet)), precision=precision)
    assert recomputed == pytest.approx(plain, rel=bound)


def compiled(learner):
    """Its blocks compiled, and an error of the compiler is none of ours to hide."""
    compile_blocks(learner.unet, {3})
    torch._dynamo.config.suppress_errors = False


@pytest.mark.filterwarnings("ignore")  # the compiler and its libraries warn of what is theirs
@PRECISIONS
def test_compiled_steps_are_the_plain_ones_within_rounding(card, compiler, precision, bound):
    plain = losses(card, precision=precision)
    assert losses(card, compiled, precision=precision) == pytest.approx(plain, rel=bound)
    assert compiler["stats"]["unique_graphs"] > 1, "nothing was compiled"


@pytest.mark.parametrize("precision", ["bf16", "full-bf16"])
def test_a_step_never_waits_for_the_card(card, precision):
    learner = make_learner(pictures(device=card), device=card, precision=precision, preservation_weight=1.0)
    for step, batches in enumerate(PLAN, 1):
        learner.step(batches, step, 1.0)  # texts are encoded, kernels chosen
    torch.cuda.synchronize(card)
    with never_waiting():
        # The same numbers, so that the same captions are drawn.
        for step, batches in enumerate(PLAN, 1):
            learner.step(batches, step, 1.0)


@pytest.mark.parametrize("checkpointing", ["off", "full"])
def test_a_step_takes_the_memory_that_was_planned(card, checkpointing):
    """SDXL's full size with random weights at 512 pixels, so that a card of 12 GB can run it: within 15 %."""
    subject = Subject("sdxl", card)
    settings = {"resolution": 512, "batch_size": 2, "gradient_checkpointing": checkpointing}
    config = subject.config(**settings)
    plan = subject.plan(config, room_of(card))
    learner = full_size(subject, config, plan.ways)
    assert all(torch.isfinite(weight).all() for weight in learner.weights.values())
    learner.step([(0, 1)], 1, 1.0)
    torch.cuda.reset_peak_memory_stats(card)
    learner.step([(0, 1)], 2, 1.0)
    assert plan.training == pytest.approx(torch.cuda.max_memory_allocated(card), rel=0.15)


def lent(learner):
    """What a checkpoint and a state lend."""
    return learner.shown(), learner.state()[0]


def test_lending_never_waits_for_the_card(card, monkeypatch):
    learner = make_learner(pictures(device=card), device=card, precision="bf16", ema_decay=0.9)
    learner.step(PLAN[0], 1, 1.0)
    torch.cuda.synchronize(card)
    with monkeypatch.context() as patch:
        patch.setattr(Snapshot, "start", lambda self: None)  # the thread's copying may wait
        with never_waiting():
            lent(learner)


@pytest.mark.parametrize("changes", [{"ema_decay": 0.9}, {"optimizer": "schedule-free"}], ids=str)
def test_what_is_lent_is_copied_as_it_was_while_the_card_is_busy(card, changes, monkeypatch):
    """Lent while the step before is still in the card's queue; the step behind it is given at once."""
    learner = make_learner(pictures(device=card), device=card, precision="bf16", learning_rate=1e-2, **changes)
    for step in range(1, 20):
        learner.step(PLAN[step % 3], step, 1.0)
        snapshots = lent(learner)
        with monkeypatch.context() as patch:
            patch.setattr(Snapshot, "start", lambda self: None)
            # In the training's stream, so before the next step changes anything.
            expected = [
                {name: tensor.clone() for name, tensor in (one._lent or one.take()).items()} for one in lent(learner)
            ]
        learner.step(PLAN[step % 3], step + 1, 1.0)
        for snapshot, tensors in zip(snapshots, expected, strict=True):
            copies = snapshot.take()
            assert copies.keys() == tensors.keys()
            assert all(copy.equal(tensors[name].cpu()) for name, copy in copies.items())
