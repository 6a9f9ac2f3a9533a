"""Where a process of a team stands, as the libraries below it are told."""

import pytest
import torch

from trainer.parallel.group import _place


@pytest.mark.parametrize(("device", "local"), [("cuda:3", "3"), ("cpu", "1")])
def test_the_gpu_that_accelerate_takes_is_the_processs_own(device, local):
    """`--device cuda:2` with two processes: number 1 is on the fourth card."""
    place = _place(1, 2, torch.device(device))
    assert (place["RANK"], place["LOCAL_RANK"], place["WORLD_SIZE"]) == ("1", local, "2")
