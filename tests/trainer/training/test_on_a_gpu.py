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
    plan = subject.plan(subject.config(**settings), room_of(card))
    learner = full_size(subject, plan.ways, **settings)
    assert all(torch.isfinite(weight).all() for weight in learner.weights.values())
    learner.step([(0, 1)], 1, 1.0)
    torch.cuda.reset_peak_memory_stats(card)
    learner.step([(0, 1)], 2, 1.0)
    assert plan.training == pytest.approx(torch.cuda.max_memory_allocated(card), rel=0.15)
