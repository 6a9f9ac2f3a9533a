"""The layout that is faster is the one that stays."""

import pytest
import torch

from tests.trainer.training.learning import small_base
from trainer.model import layout


@pytest.mark.parametrize("faster", [torch.contiguous_format, torch.channels_last])
def test_the_faster_layout_stays_and_changes_no_answer(monkeypatch, faster, tiny_sdxl):
    unet = small_base().unet
    seen = []

    def seconds(block, maps, _known):
        seen.append((block.in_channels, tuple(maps.shape)))
        return 1.0 if maps.is_contiguous(memory_format=faster) else 2.0

    monkeypatch.setattr(layout, "_seconds", seconds)
    assert layout.choose_layout(unet, (8, 12), 3) is faster
    assert seen == [seen[0]] * 2
    assert seen[0][1] == (3, seen[0][0], 6, 4)
    assert all(weight.is_contiguous(memory_format=faster) for weight in unet.parameters() if weight.dim() == 4)


def test_both_are_really_timed():
    unet = small_base().unet
    assert layout.choose_layout(unet, (8, 8), 2) in (torch.contiguous_format, torch.channels_last)
