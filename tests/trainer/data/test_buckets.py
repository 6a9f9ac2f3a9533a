import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.buckets import Bucket, all_buckets, bucket_for, fit

SIDES = st.integers(1, 8000)


@given(SIDES, SIDES, st.sampled_from([(1024, 64), (512, 64), (768, 32), (64, 8)]))
def test_every_picture_is_covered_without_distortion(width, height, sizes):
    resolution, step = sizes
    bucket = bucket_for(width, height, resolution, step)
    assert bucket.width % step == 0
    assert bucket.height % step == 0
    assert bucket.width * bucket.height <= resolution * resolution
    fitted = fit(width, height, bucket)
    scaled_height, scaled_width = fitted.scaled
    top, left = fitted.crop
    assert top >= 0
    assert left >= 0
    assert top + bucket.height <= scaled_height
    assert left + bucket.width <= scaled_width
    # One scale for both sides, up to rounding to whole pixels: nothing is stretched.
    scale = max(bucket.width / width, bucket.height / height)
    assert abs(scaled_height - height * scale) <= 0.5
    assert abs(scaled_width - width * scale) <= 0.5
    # It just covers: one side fits exactly, so only one direction is cut.
    assert scaled_height == bucket.height or scaled_width == bucket.width


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        ((1024, 1024), Bucket(1024, 1024)),
        ((3000, 3000), Bucket(1024, 1024)),
        ((832, 1216), Bucket(832, 1216)),  # SDXL's own portrait size
        ((1344, 768), Bucket(1344, 768)),
        ((3024, 4032), Bucket(896, 1152)),  # a phone's 3:4
        ((100, 9000), Bucket(512, 2048)),
    ],
)
def test_known_sizes_at_1024(size, bucket):
    assert bucket_for(*size, 1024, 64) == bucket


@given(SIDES, SIDES)
def test_a_picture_turned_on_its_side_gets_the_bucket_turned(width, height):
    upright, turned = bucket_for(width, height, 1024, 64), bucket_for(height, width, 1024, 64)
    assert (upright.width, upright.height) == (turned.height, turned.width)


def test_square_wants_one_bucket_for_all():
    assert bucket_for(300, 4000, 1024, 64, square=True) == Bucket(1024, 1024)


def test_buckets_use_most_of_the_area():
    assert all(bucket.width * bucket.height > 0.9 * 1024**2 for bucket in all_buckets(1024, 64))


def test_micro_conditioning_is_the_truth():
    fitted = fit(3000, 2000, Bucket(1024, 1024))
    # Height first: 2000 x 3000 scaled to 1024 x 1536, of which the middle 1024 columns are kept.
    assert fitted.time_ids == (2000, 3000, 0, 256, 1024, 1024)
