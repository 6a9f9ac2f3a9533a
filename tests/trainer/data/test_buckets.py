import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.config import TrainConfig
from trainer.data.buckets import Bucket, all_buckets, bucket_for, fit, fit_picture

SIDES = st.integers(1, 8000)


@given(SIDES, SIDES, st.sampled_from([(1024, 64), (512, 64), (768, 32), (64, 8)]))
def test_every_picture_is_covered_without_distortion(width, height, sizes):
    resolution, step = sizes
    bucket = bucket_for(width, height, TrainConfig(resolution=resolution, bucket_step=step))
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
    assert bucket_for(*size, TrainConfig()) == bucket


@given(SIDES, SIDES)
def test_a_picture_turned_on_its_side_gets_the_bucket_turned(width, height):
    upright, turned = bucket_for(width, height, TrainConfig()), bucket_for(height, width, TrainConfig())
    assert (upright.width, upright.height) == (turned.height, turned.width)


def test_buckets_use_most_of_the_area():
    assert all(bucket.width * bucket.height > 0.9 * 1024**2 for bucket in all_buckets(TrainConfig()))


def test_another_step_gives_other_buckets():
    sides = {bucket.width for bucket in all_buckets(TrainConfig(bucket_step=128))}
    assert sides
    assert all(side % 128 == 0 for side in sides)
    assert any(bucket.width % 128 for bucket in all_buckets(TrainConfig()))


@pytest.mark.parametrize(
    ("settings", "bucket"),
    [
        ({}, Bucket(512, 2048)),
        ({"bucket_min": 640}, Bucket(640, 1600)),
        ({"bucket_max": 1536}, Bucket(704, 1472)),
        ({"bucket_max": 1024}, Bucket(1024, 1024)),
        ({"resolution": 512}, Bucket(256, 1024)),
        ({"resolution": 128, "bucket_step": 32}, Bucket(64, 256)),  # no bucket could have sides of bucket_min here
    ],
)
def test_sides_stay_within_their_bounds(settings, bucket):
    assert bucket_for(100, 9000, TrainConfig(**settings)) == bucket


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        ((600, 800), Bucket(576, 768)),
        ((500, 3000), Bucket(448, 2048)),
        ((30, 40), Bucket(64, 64)),
        ((1100, 1100), Bucket(1024, 1024)),
        ((900, 3000), Bucket(576, 1792)),
    ],
)
def test_a_small_picture_is_not_enlarged_where_that_is_not_wanted(size, bucket):
    config = TrainConfig(bucket_no_upscale=True)
    fitted = fit_picture(*size, config)
    assert fitted.bucket == bucket
    assert fitted.scaled[0] <= size[1] or min(size) < 64, "only what is below one step is enlarged"
    assert bucket_for(*size, TrainConfig()).width >= bucket.width


def test_square_wants_one_bucket_for_all():
    assert bucket_for(300, 4000, TrainConfig(square=True)) == Bucket(1024, 1024)
    assert bucket_for(300, 4000, TrainConfig(square=True, bucket_no_upscale=True)) == Bucket(256, 256)


# --- the focus of a square ------------------------------------------------------------------------------------------
def kept(fitted):
    """Left, top, right, lower of what is shown, as shares of the picture."""
    (height, width), (top, left) = fitted.scaled, fitted.crop
    return (
        left / width,
        top / height,
        (left + fitted.bucket.width) / width,
        (top + fitted.bucket.height) / height,
    )


def test_a_square_is_cut_around_the_focus():
    upper = fit_picture(2000, 3000, TrainConfig(square=True), (0.3, 0.1, 0.7, 0.3))
    assert upper.scaled == (3000, 2000), "the face is smaller than 1024 pixels: it is not enlarged"
    assert upper.crop == (600 - 512, 1000 - 512)
    large = fit_picture(2000, 3000, TrainConfig(square=True), (0.1, 0.2, 0.9, 0.5))
    assert large.scaled == (1920, 1280), "1600 pixels of 2000 are shown on 1024"
    assert kept(large) == pytest.approx((0.1, 0.35 - 0.8 / 3, 0.9, 0.35 + 0.8 / 3), abs=1e-3)
    assert large.original == (3000, 2000)


def test_without_a_square_or_a_focus_the_cut_is_in_the_middle():
    focus = (0.3, 0.1, 0.7, 0.3)
    assert fit_picture(2000, 3000, TrainConfig(), focus) == fit_picture(2000, 3000, TrainConfig())
    middle = fit_picture(2000, 3000, TrainConfig(square=True))
    assert (middle.scaled, middle.crop) == ((1536, 1024), (256, 0))


SHARES = st.floats(0, 1, width=32)


@given(SIDES, SIDES, SHARES, SHARES, SHARES, SHARES)
def test_a_square_holds_its_focus_if_it_can_and_never_leaves_the_picture(width, height, a, b, c, d):
    left, right = sorted((a, b))
    top, lower = sorted((c, d))
    if right - left < 1e-3 or lower - top < 1e-3 or max(width, height) > 20 * min(width, height):
        return
    config = TrainConfig(square=True, resolution=256)
    fitted = fit_picture(width, height, config, (left, top, right, lower))
    shown = kept(fitted)
    assert all(0 <= share <= 1 for share in shown)
    pixel = max(1.5 / side for side in fitted.scaled)
    if (right - left) * width <= min(width, height) and (lower - top) * height <= min(width, height):
        assert shown[0] <= left + pixel
        assert shown[1] <= top + pixel
        assert shown[2] >= right - pixel
        assert shown[3] >= lower - pixel
    scale = fitted.scaled[0] / height
    assert scale <= max(1.0, 256 / min(width, height)) * 1.01 + 1 / height, "enlarged only as far as it must be"


# --- micro-conditioning ---------------------------------------------------------------------------------------------
def test_micro_conditioning_is_the_truth():
    fitted = fit(3000, 2000, Bucket(1024, 1024))
    # Height first: 2000 x 3000 scaled to 1024 x 1536, of which the middle 1024 columns are kept.
    assert fitted.time_ids == (2000, 3000, 0, 256, 1024, 1024)


def test_a_mirrored_picture_is_cut_off_on_the_other_side():
    fitted = fit(3000, 2000, Bucket(1024, 1024), (0.0, 0.0, 0.2, 1.0))
    assert fitted.time_ids == (2000, 3000, 0, 0, 1024, 1024)
    assert fitted.mirror().time_ids == (2000, 3000, 0, 512, 1024, 1024)
    assert fitted.mirror().mirrored
    assert fitted.mirror().mirror() == fitted
