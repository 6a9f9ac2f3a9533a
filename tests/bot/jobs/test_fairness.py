"""Order of the queue: golden cases and properties."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.rules.jobs.eta import Forecast, forecast
from bot.rules.jobs.fairness import AGE_GUARD_SECONDS, HALF_LIFE_SECONDS, Burnt, Waiting, decayed_usage, in_order

NOW = 1_000_000.0


def names(waiting, usage=None, training=()):
    return [job.job_id for job in in_order(waiting, usage or {}, training, NOW)]


def job(name, owner, ago=0.0, seconds=3600.0, *, interrupted=False):
    return Waiting(name, owner, NOW - ago, seconds, interrupted)


def test_equal_members_go_by_age():
    assert names([job("b", 2, 10), job("a", 1, 20)]) == ["a", "b"]


def test_who_used_less_goes_first():
    assert names([job("heavy", 1, 100), job("light", 2, 1)], {1: 7200.0, 2: 60.0}) == ["light", "heavy"]


def test_a_batch_of_jobs_does_not_block_a_casual_member():
    batch = [job(f"batch{n}", 1, 100 - n) for n in range(8)]
    assert names([*batch, job("casual", 2, 1)])[:2] == ["batch0", "casual"]


def test_one_running_job_per_member_while_others_wait():
    assert names([job("again", 1, 100), job("other", 2, 1)], {2: 9999.0}, training=[1]) == ["other", "again"]
    assert names([job("again", 1, 100)], training=[1]) == ["again"], "but a free trainer never idles for it"


def test_a_day_of_waiting_beats_usage():
    old = job("old", 1, AGE_GUARD_SECONDS + 1)
    assert names([job("new", 2, 1), old], {1: 1e6}) == ["old", "new"]
    older = job("older", 1, AGE_GUARD_SECONDS + 2)
    assert names([old, older], {1: 1e6}) == ["older", "old"]


def test_an_interrupted_job_goes_on_first():
    assert names([job("new", 2, 100), job("cut", 1, 1, interrupted=True)], {1: 1e6}) == ["cut", "new"]


def test_usage_halves_every_three_days():
    burnt = [Burnt(1, 1000.0, NOW), Burnt(1, 1000.0, NOW - HALF_LIFE_SECONDS), Burnt(2, 80.0, NOW + 5)]
    assert decayed_usage(burnt, NOW) == {1: 1500.0, 2: 80.0}


jobs = st.lists(
    st.builds(
        Waiting,
        job_id=st.uuids().map(str),
        owner_id=st.integers(1, 4),
        submitted_at=st.floats(NOW - 2 * AGE_GUARD_SECONDS, NOW),
        seconds=st.floats(0, 1e5),
        interrupted=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda job: job.job_id,
)
usages = st.dictionaries(st.integers(1, 4), st.floats(0, 1e6), max_size=4)


@given(jobs, usages, st.sets(st.integers(1, 4)), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_every_job_is_served_once_whatever_order_they_are_listed_in(waiting, usage, training, chance):
    order = in_order(waiting, usage, training, NOW)
    assert sorted(order, key=lambda job: job.job_id) == sorted(waiting, key=lambda job: job.job_id)
    shuffled = chance.sample(waiting, len(waiting))
    assert in_order(shuffled, usage, training, NOW) == order


@given(jobs, usages)
@settings(max_examples=150, deadline=None)
def test_old_jobs_stand_before_young_ones_and_in_their_own_order(waiting, usage):
    fresh = [job for job in waiting if not job.interrupted]
    order = in_order(fresh, usage, (), NOW)
    ages = [NOW - job.submitted_at for job in order]
    old = [age for age in ages if age > AGE_GUARD_SECONDS]
    assert ages[: len(old)] == old
    assert old == sorted(old, reverse=True)


@given(st.integers(2, 5), st.integers(1, 6))
def test_backlogged_members_share_alike(members, each):
    waiting = [job(f"{owner}-{n}", owner, 100 - n) for owner in range(members) for n in range(each)]
    random.Random(each).shuffle(waiting)
    order = in_order(waiting, {}, (), NOW)
    for turn in range(each):
        assert {job.owner_id for job in order[turn * members : (turn + 1) * members]} == set(range(members))


def test_the_forecast_replays_the_queue():
    line = [job("a", 1, seconds=100), job("b", 2, seconds=50), job("c", 3, seconds=10)]
    assert forecast(line, [NOW + 30, NOW - 99], NOW) == {
        "a": Forecast(NOW, NOW + 100),
        "b": Forecast(NOW + 30, NOW + 80),
        "c": Forecast(NOW + 80, NOW + 90),
    }


@pytest.mark.parametrize(("free_at", "told"), [([], []), ([NOW], ["a", "b"])])
def test_nothing_is_told_behind_what_is_unknown(free_at, told):
    line = [job("a", 1, seconds=5), job("b", 2, seconds=0), job("c", 3, seconds=10)]
    times = forecast(line, free_at, NOW)
    assert list(times) == told
    if told:
        assert times["b"].ends_at is None
