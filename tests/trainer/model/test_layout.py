"""The layout that is faster is the one that stays, and the numbers are the same in both."""

import pytest
import torch

from tests.trainer.jobs import open_channel, tiny_job
from tests.trainer.training.learning import make_learner, small_base
from trainer.contract.config import TrainConfig
from trainer.contract.exits import Exit
from trainer.job import run_job
from trainer.model import layout
from trainer.model.lora import attach_lora
from trainer.planning.architecture import sdxl_architecture

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def timed_as(faster, seen):
    def seconds(block, maps, _known):
        assert maps.is_contiguous(), "as a transformer gives them"
        seen.append((block.in_channels, tuple(maps.shape)))
        return 1.0 if block.conv1.weight.is_contiguous(memory_format=faster) else 2.0

    return seconds


@pytest.mark.parametrize("faster", LAYOUTS)
def test_the_faster_layout_stays(monkeypatch, faster):
    """Tried on the costliest block, at the size it sees: here an outer one, which sees the latents' own."""
    unet = small_base().unet
    seen = []
    monkeypatch.setattr(layout, "_seconds", timed_as(faster, seen))
    assert layout.choose_layout(unet, (8, 12), 3) is faster
    assert seen == [(24, (3, 24, 12, 8))] * 2
    assert all(weight.is_contiguous(memory_format=faster) for weight in unet.parameters() if weight.dim() == 4)


def test_sdxls_costliest_block_is_tried_at_its_own_size(monkeypatch):
    """up_blocks.1's first sees the skip connection too: 1920 channels at a half of the latents' sides."""
    unet = sdxl_architecture().build("unet")
    block, shrunk = max(layout._blocks(unet), key=layout._work)
    assert (block.in_channels, block.out_channels, shrunk) == (1920, 640, 2)


@pytest.mark.parametrize("faster", LAYOUTS)
def test_nothing_is_left_on_a_lora_attached_later(monkeypatch, faster):
    """No gradient of the trial, and its convolutions lie as a resumed run's would."""
    base = small_base()
    timed = layout._seconds
    monkeypatch.setattr(layout, "_seconds", lambda *tried: timed(*tried) * 0 + timed_as(faster, [])(*tried))
    layout.choose_layout(base.unet, (8, 8), 2)
    weights = attach_lora(base, TrainConfig(conv_rank=2, rank=2, alpha=2.0), 0)
    assert all(weight.grad is None and weight.is_contiguous() for weight in weights.values())


def test_a_job_is_tuned_before_its_lora_is_attached(small_sdxl, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(
        "trainer.training.prepare.tune",
        lambda unet, *_: trained.append([weight.requires_grad for weight in unet.parameters()]),
    )
    assert run_job(open_channel(tiny_job(tmp_path, small_sdxl, epochs=1)), device="cpu") == Exit.FINISHED
    assert not any(trained[0])


@pytest.mark.parametrize("settings", [{}, {"conv_rank": 2}])
def test_steps_have_the_same_losses_in_both(monkeypatch, settings):
    told = []
    for faster in LAYOUTS:
        monkeypatch.setattr(layout, "_seconds", timed_as(faster, []))
        base = small_base()
        layout.choose_layout(base.unet, (8, 8), 4)
        monkeypatch.setattr("tests.trainer.training.learning.small_base", lambda *_, laid=base: laid)
        learner = make_learner(preservation_weight=1.0, **settings)
        losses = []
        for step in range(1, 4):
            learner.step([(0, 1, 2, 3)], step, 1.0)
            losses.append(float(learner.tally.loss))
        told.append(losses)
    assert told[1] == pytest.approx(told[0], rel=1e-6)


def test_both_are_really_timed():
    assert layout.choose_layout(small_base().unet, (8, 8), 2) in LAYOUTS
