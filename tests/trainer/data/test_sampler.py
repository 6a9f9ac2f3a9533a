from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from trainer.data.buckets import Bucket
from trainer.data.sampler import Sampler

BUCKETS = [Bucket(64, 64), Bucket(32, 96), Bucket(96, 32)]


@st.composite
def samplers(draw):
    count = draw(st.integers(1, 30))
    buckets = draw(st.lists(st.sampled_from(BUCKETS), min_size=count, max_size=count))
    repeats = draw(st.lists(st.integers(1, 4), min_size=count, max_size=count))
    return Sampler(buckets, repeats, draw(st.integers(1, 6)), draw(st.integers(1, 3)), draw(st.integers(0, 2**32)))


@given(samplers(), st.integers(1, 50))
def test_an_epoch_shows_each_picture_as_often_as_it_repeats(sampler, epoch):
    steps = sampler.epoch(epoch)
    seen = Counter(picture for batches in steps for batch in batches for picture in batch)
    assert seen == Counter(dict(enumerate(sampler.repeats)))
    assert len(steps) == sampler.steps_per_epoch
    for batches in steps:
        assert 1 <= len(batches) <= sampler.accumulation
        for batch in batches:
            assert 1 <= len(batch) <= sampler.batch_size
            assert len({sampler.buckets[picture] for picture in batch}) == 1


@given(samplers(), st.integers(1, 50))
def test_the_plan_depends_on_seed_and_epoch_alone(sampler, epoch):
    twin = Sampler(sampler.buckets, sampler.repeats, sampler.batch_size, sampler.accumulation, sampler.seed)
    twin.epoch(epoch + 1)
    assert twin.epoch(epoch) == sampler.epoch(epoch)


def test_order_changes_with_epoch_and_seed():
    plans = [Sampler([BUCKETS[0]] * 40, [1] * 40, 4, 1, seed).epoch(epoch) for seed, epoch in ((0, 1), (0, 2), (1, 1))]
    assert plans[0] != plans[1] != plans[2] != plans[0]
