"""What the tests on a card rest on, held against a torch that only pretends."""

import warnings

import pytest
import torch

from tests.trainer.support.card import never_waiting


def test_the_mode_that_forbids_waiting_ends_and_torchs_warning_of_it_is_no_error(monkeypatch):
    modes = []

    def set_mode(mode):
        modes.append(mode)
        warnings.warn("Synchronization debug mode is a prototype feature", UserWarning, stacklevel=1)

    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", set_mode)
    with never_waiting():
        assert modes == ["error"]
    with pytest.raises(ZeroDivisionError), never_waiting():
        _ = 1 / 0
    assert modes == ["error", "default"] * 2
    with pytest.raises(UserWarning), never_waiting():
        warnings.warn("something else", UserWarning, stacklevel=1)
