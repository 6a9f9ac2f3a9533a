"""What a picture is captioned with in one step: shuffled, thinned or left out, as the config says."""

from __future__ import annotations

import random

from trainer.contract.config import TrainConfig
from trainer.data.randomness import derive


def caption_for_step(caption: str, config: TrainConfig, step: int, place: int) -> str:
    """The caption of the picture at `place` (from 0) of a step.

    Empty in `caption_dropout` of cases. Of the tags behind the first `keep_tokens`, `tag_dropout` are left out, and
    with `shuffle_caption` the others are in a new order each time. All of it depends on seed, step and place alone.
    A caption without commas is a sentence, and shown whole.
    """
    if not config.caption_dropout and not tags_change(config):
        return caption
    chance = random.Random(derive(config.seed, "caption", step, place))
    if chance.random() < config.caption_dropout:
        return ""
    tags = [tag.strip() for tag in caption.split(",")]
    if not tags_change(config) or len(tags) == 1:
        return caption
    rest = tags[config.keep_tokens :]
    if config.shuffle_caption:
        chance.shuffle(rest)
    rest = [tag for tag in rest if chance.random() >= config.tag_dropout]
    return ", ".join(tags[: config.keep_tokens] + rest)


def tags_change(config: TrainConfig) -> bool:
    """True where captions have other tags, or another order of them, from step to step."""
    return config.shuffle_caption or config.tag_dropout > 0
