"""The layout that is faster is the one that stays, and the numbers are the same in both."""

import pytest
import torch

from tests.trainer.training.learning import make_learner, small_base
from trainer.model import layout

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def timed_as(faster, seen):
    def seconds(block, maps, _known):
        seen.append((block.in_channels, tuple(maps.shape)))
        return 1.0 if maps.is_contiguous(memory_format=faster) else 2.0

    return seconds


@pytest.mark.parametrize("faster", LAYOUTS)
def test_the_faster_layout_stays(monkeypatch, faster):
    unet = small_base().unet
    seen = []
    monkeypatch.setattr(layout, "_seconds", timed_as(faster, seen))
    assert layout.choose_layout(unet, (8, 12), 3) is faster
    assert seen == [seen[0]] * 2
    assert seen[0][1] == (3, seen[0][0], 6, 4)
    assert all(weight.is_contiguous(memory_format=faster) for weight in unet.parameters() if weight.dim() == 4)


def test_steps_have_the_same_losses_in_both(monkeypatch):
    told = []
    for faster in LAYOUTS:
        monkeypatch.setattr(layout, "_seconds", timed_as(faster, []))
        learner = make_learner(preservation_weight=1.0, conv_rank=2)
        layout.choose_layout(learner.unet, (8, 8), 4)
        losses = []
        for step in range(1, 4):
            learner.step([(0, 1, 2, 3)], step, 1.0)
            losses.append(float(learner.tally.loss))
        told.append(losses)
    assert told[1] == pytest.approx(told[0], rel=1e-6)


def test_both_are_really_timed():
    assert layout.choose_layout(small_base().unet, (8, 8), 2) in LAYOUTS
