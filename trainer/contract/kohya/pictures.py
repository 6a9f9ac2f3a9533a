"""Resolution, buckets and captions of a kohya file."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer.contract.errors import InvalidConfig
from trainer.contract.kohya.reading import Reading

_CAPTION_TOKENS = (75, 150, 225)
_SD_SCRIPTS_LARGEST = 1024
"""max_bucket_reso where an sd-scripts file does not name it; the GUI's is 2048."""


def read_pictures(keys: Reading) -> None:
    """How pictures are cut and captions are read; raises InvalidConfig."""
    step = keys.whole("bucket_reso_steps", 64) or 64
    resolution = side(keys.numbers("max_resolution" if keys.gui else "resolution", ","), step)
    bucketed = keys.flag("enable_bucket", default=keys.gui)
    keys.take("max_resolution" if keys.gui else "resolution", "resolution", resolution)
    keys.take("enable_bucket", "square", not bucketed)
    keys.take("bucket_reso_steps", "bucket_step", step)
    keys.take("min_bucket_reso", "bucket_min", keys.whole("min_bucket_reso", 256) or 256)
    largest = keys.whole("max_bucket_reso", 2048 if keys.gui else _SD_SCRIPTS_LARGEST) or 2048
    keys.take(
        "max_bucket_reso",
        "bucket_max",
        *(longest_side(largest, resolution, step) if bucketed else (max(largest, resolution),)),
    )
    keys.take("bucket_no_upscale", "bucket_no_upscale", keys.flag("bucket_no_upscale"))
    keys.take("flip_aug", "flip", keys.flag("flip_aug"))
    keys.take("shuffle_caption", "shuffle_caption", keys.flag("shuffle_caption"))
    keys.take("keep_tokens", "keep_tokens", keys.whole("keep_tokens", 0))
    keys.take("caption_dropout_rate", "caption_dropout", keys.number("caption_dropout_rate", 0.0))
    keys.take("caption_tag_dropout_rate", "tag_dropout", keys.number("caption_tag_dropout_rate", 0.0))
    tokens = keys.whole("max_token_length", 75) or 75
    if tokens not in _CAPTION_TOKENS:
        raise InvalidConfig("max_token_length", "must be 75, 150 or 225")
    keys.take("max_token_length", "caption_tokens", str(tokens))


def longest_side(largest: int, resolution: int, step: int) -> tuple[int, str]:
    """Longest side of a bucket for kohya's max_bucket_reso, and why where it is another than that.

    sd-scripts cuts longer buckets off there (library/model_util.py, make_bucket_resolutions), so that they are smaller
    than others; here all have the same area, and where the largest side is that of the square there are no others.
    """
    if largest >= resolution + step:
        return largest, ""
    return 2 * resolution, f"raised from {largest}, which leaves room for squares only"


def side(sides: Sequence[float], step: int) -> int:
    """Side of the square with the area of kohya's `W,H`, in whole bucket steps; raises InvalidConfig.

    kohya fills buckets up to the area W x H, so a square of that area gives the same ones.
    """
    if len(sides) not in (1, 2) or not all(1 <= one <= 10_000 for one in sides) or not 1 <= step <= 512:
        raise InvalidConfig("resolution", "must be one side in pixels, or two as in 1024,1024")
    return max(round(math.sqrt(sides[0] * sides[-1]) / step), 1) * step
