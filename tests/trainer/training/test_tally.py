import pytest
import torch

from trainer.training.tally import Tally

CPU = torch.device("cpu")
NAN = float("nan")


def tally_of(losses, norms=None, patience=1):
    tally = Tally.begin(CPU, patience)
    for loss, norm in zip(losses, norms or [1.0] * len(losses), strict=True):
        tally.add(torch.tensor(loss), torch.tensor(norm))
    return tally


def test_the_smoothed_loss_is_the_mean_at_first_and_then_forgets():
    assert float(tally_of([]).smoothed) == 0.0
    assert float(tally_of([4.0]).smoothed) == 4.0
    assert float(tally_of([4.0, 2.0, 3.0]).smoothed) == pytest.approx(3.0)
    assert float(tally_of([1.0] * 100 + [2.0]).smoothed) == pytest.approx(1.02)


@pytest.mark.parametrize(("losses", "norms"), [([1.0, NAN], [1.0, 1.0]), ([1.0, 2.0], [1.0, float("inf")])])
def test_what_is_no_number_is_not_counted_in(losses, norms):
    tally = tally_of(losses, norms)
    assert (float(tally.loss), float(tally.smoothed), bool(tally.sound)) == (1.0, 1.0, False)
    tally.add(torch.tensor(1.0), torch.tensor(1.0))
    assert not bool(tally.sound)


def test_with_patience_only_many_in_a_row_are_unsound():
    assert bool(tally_of([NAN, NAN, 1.0, NAN, NAN], patience=3).sound)
    assert not bool(tally_of([1.0, NAN, NAN, NAN], patience=3).sound)


def test_a_first_step_that_is_skipped_leaves_no_trace():
    tally = tally_of([NAN, 5.0], patience=3)
    assert (float(tally.smoothed), float(tally.loss)) == (5.0, 5.0)


def test_a_state_goes_on():
    straight, resumed = tally_of([1.0, NAN, 2.0, NAN], patience=3), Tally.begin(CPU, 3)
    resumed.load({name: tensor.clone() for name, tensor in straight.state().items()})
    for tally in (straight, resumed):
        tally.add(torch.tensor(7.0), torch.tensor(1.0))
        tally.add(torch.tensor(NAN), torch.tensor(1.0))
        tally.add(torch.tensor(NAN), torch.tensor(1.0))
    assert float(straight.smoothed) == float(resumed.smoothed)
    assert bool(straight.sound) == bool(resumed.sound)
