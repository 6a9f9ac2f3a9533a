"""When a training counts as hung; no clock but the numbers given."""

from trainer.supervise import Patience
from trainer.training.lifeline import FIRST_OF, FIRST_SECONDS, LEAST_SECONDS, LOADING, Lifeline


def run_of(*works):
    """A lifeline through pieces of (kind, seconds), with a `step` begun at the end; and the time of that."""
    now, line = 0.0, Lifeline(0.0)
    for work, seconds in works:
        line.begin(work, now)
        now += seconds
    line.begin("step", now)
    return line, now


def test_quick_steps_may_take_the_least_patience():
    line, now = run_of(("step", 0.5), ("step", 0.4))
    assert line.is_alive(now + LEAST_SECONDS - 1)
    assert not line.is_alive(now + LEAST_SECONDS)


def test_slow_steps_may_take_five_times_the_longest_seen():
    line, now = run_of(("step", 60.0), ("step", 40.0))
    assert line.is_alive(now + 299)
    assert not line.is_alive(now + 300)


def test_the_first_of_a_kind_gets_more_time_whatever_the_others_took():
    line, now = run_of(("encoding", 1.0), ("encoding", 1.0))
    assert line.is_alive(now + FIRST_SECONDS - 1)
    assert not line.is_alive(now + FIRST_SECONDS)


def test_one_slow_kind_does_not_lend_its_patience_to_another():
    line, now = run_of(("step", 1.0), ("keeping", 500.0))
    assert not line.is_alive(now + LEAST_SECONDS)


def test_a_large_model_may_come_from_a_slow_disk():
    line = Lifeline(0.0)
    line.begin(LOADING, 0.0)
    assert line.is_alive(3000.0)
    assert not line.is_alive(FIRST_OF[LOADING])


def test_a_training_that_hangs_is_ended_within_minutes():
    """From the last step to SIGTERM: its own patience, then the service's."""
    assert LEAST_SECONDS + Patience().silence <= 5 * 60
