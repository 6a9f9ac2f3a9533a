"""A CUDA card under test, as a training has it."""

import gc
import warnings
from contextlib import contextmanager

import pytest
import torch

from trainer.model.device import prepare_device, release_cached

NEEDS_CARD = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card"),
    # Libraries' talk that says nothing of ours: cuBLAS in a thread of its own, cuDNN passing over an algorithm.
    pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS:UserWarning"),
    pytest.mark.filterwarnings("ignore:Plan failed with a cudnnException:UserWarning"),
]
"""Marks of the tests that a CPU cannot run."""


def needs_card(test):
    """Decorates a single one."""
    for mark in NEEDS_CARD:
        test = mark(test)
    return test


@contextmanager
def prepared_card():
    """The first card, empty: learners of earlier tests hold their networks in circles. cuDNN's flags are put back."""
    device = torch.device("cuda", 0)
    gc.collect()
    release_cached(device)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=True):
        prepare_device(device)
        yield device


@contextmanager
def never_waiting():
    """Inside, an operation that waits for the card raises RuntimeError."""
    _set_debug_mode("error")
    try:
        yield
    finally:
        _set_debug_mode("default")


def _set_debug_mode(mode):
    with warnings.catch_warnings():
        # At its first use torch says that it is a prototype.
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode(mode)
