"""What a picture is captioned with in one step: shuffled, or left out, as the config says."""

from __future__ import annotations

import random

from trainer.contract.config import TrainConfig
from trainer.data.randomness import derive


def caption_for_step(caption: str, config: TrainConfig, step: int, place: int) -> str:
    """The caption of the picture at `place` (from 0) of a step.

    Dropped (empty) in `caption_dropout` of cases; with `shuffle_caption` the tags behind the first `keep_tokens` are in
    a new order each time. Both depend on seed, step and place alone.
    """
    if not config.caption_dropout and not config.shuffle_caption:
        return caption
    chance = random.Random(derive(config.seed, "caption", step, place))
    if chance.random() < config.caption_dropout:
        return ""
    return shuffled(caption, config.keep_tokens, chance) if config.shuffle_caption else caption


def shuffled(caption: str, keep: int, chance: random.Random) -> str:
    """The comma-separated tags with the first `keep` in place and the others in random order."""
    tags = [tag.strip() for tag in caption.split(",")]
    rest = tags[keep:]
    chance.shuffle(rest)
    return ", ".join(tags[:keep] + rest)
