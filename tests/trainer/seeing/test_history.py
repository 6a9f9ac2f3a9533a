"""What a run remembers of itself: bounded, without doubles, the same after a resume."""

import json
from itertools import pairwise

import pytest

from tests.trainer.seeing.records import point, run
from trainer.seeing.history import POINTS_KEPT, History, Mark


def test_it_survives_json():
    history = run()
    assert History.from_json(json.loads(json.dumps(history.to_json()))) == history


@pytest.mark.parametrize("value", [{}, {"points": [{}], "checkpoints": [], "validations": []}, []])
def test_what_is_no_history_is_said_so(value):
    with pytest.raises((KeyError, TypeError)):
        History.from_json(value)


def test_what_is_told_again_takes_the_old_ones_place():
    history = History()
    for step in (1, 2, 3, 2, 4):
        history.add(point(step, loss=step / 10 + len(history.points)))
        history.add_validation(Mark(step, 1, 0.5))
        history.add_checkpoint(Mark(step, 1))
    assert [each.step for each in history.points] == [1, 2, 4]
    assert history.points[1].loss == pytest.approx(3.2), "the later telling holds"
    assert [each.step for each in history.validations] == [each.step for each in history.checkpoints] == [1, 2, 4]


def test_a_long_run_is_thinned_out_and_keeps_both_ends():
    history = History()
    for step in range(1, 3 * POINTS_KEPT):
        history.add(point(step))
        assert len(history.points) <= POINTS_KEPT
    steps = [each.step for each in history.points]
    assert (steps[0], steps[-1]) == (1, 3 * POINTS_KEPT - 1)
    assert steps == sorted(set(steps))
    assert len(steps) > POINTS_KEPT / 3
    gaps = [later - earlier for earlier, later in pairwise(steps)]
    assert max(gaps) < 3 * POINTS_KEPT / 100, "no part of the run is lost altogether"
