"""What one epoch shows: pictures held back, and regularisation pictures balanced as sd-scripts does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.contract.jobs import make_spec
from trainer.contract.config import TrainConfig
from trainer.contract.epoch import held_back, repeats_in_epoch
from trainer.contract.errors import InvalidJob
from trainer.contract.spec import PictureSpec


def pictures(count, regularisation=0, repeats=1):
    return tuple(
        PictureSpec(file=f"{n:064x}.png", caption="a", repeats=repeats, regularisation=n >= count)
        for n in range(count + regularisation)
    )


@pytest.mark.parametrize(
    ("count", "share", "held"), [(10, 0.0, 0), (10, 0.01, 1), (10, 0.25, 2), (10, 0.3, 3), (2, 0.5, 1), (3, 0.5, 2)]
)
def test_a_share_is_held_back_at_least_one_and_never_all(count, share, held):
    chosen = held_back(pictures(count, regularisation=5), share, 0)
    assert len(chosen) == held
    assert all(number < count for number in chosen), "regularisation pictures are never held back"


def test_which_ones_depends_on_the_seed_and_the_pictures_not_on_their_order():
    ours = pictures(20)
    chosen = {ours[number].file for number in held_back(ours, 0.2, 7)}
    turned = ours[::-1]
    assert {turned[number].file for number in held_back(turned, 0.2, 7)} == chosen
    assert {ours[number].file for number in held_back(ours, 0.2, 8)} != chosen


@pytest.mark.parametrize(
    ("train", "repeats", "regularisation", "expected"),
    [
        (4, 1, 2, [2, 2]),
        (5, 1, 2, [3, 2]),  # in turn: the first comes once more
        (2, 1, 4, [1, 1, 0, 0]),  # more than needed: the first ones
        (4, 2, 3, [3, 3, 2]),  # 8 wanted: 2 each by their own repeats, then one more each in turn
        (3, 1, 0, []),
    ],
)
def test_regularisation_pictures_come_as_often_as_the_others(train, repeats, regularisation, expected):
    assert repeats_in_epoch(pictures(train, regularisation, repeats), frozenset()) == [repeats] * train + expected


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 30), st.integers(1, 4))
def test_the_balance_holds_for_any_numbers(train, repeats, regularisation, their_repeats):
    subject, others = pictures(train, 0, repeats), pictures(0, regularisation, their_repeats)
    times = repeats_in_epoch(subject + others, frozenset())
    assert times[:train] == [repeats] * train
    assert train * repeats <= sum(times[train:]) < train * repeats + their_repeats


def test_a_job_counts_what_an_epoch_really_shows():
    spec = make_spec([], pictures=pictures(10, regularisation=3, repeats=2), config=TrainConfig(validation_share=0.2))
    assert spec.images_per_epoch == 2 * 8 * 2


@pytest.mark.parametrize(
    ("ours", "share", "problem"),
    [
        (pictures(0, regularisation=2), 0.0, "only regularisation pictures"),
        (pictures(1), 0.1, "validation_share leaves no picture"),
        (pictures(1, regularisation=4), 0.1, "validation_share leaves no picture"),
    ],
)
def test_a_job_without_a_picture_to_train_on_is_refused(ours, share, problem):
    with pytest.raises(InvalidJob, match=problem):
        make_spec([], pictures=ours, config=TrainConfig(validation_share=share))
