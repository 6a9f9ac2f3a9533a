"""Learners over the tiny SDXL and random latents, for tests of single steps."""

from functools import partial

import torch

from tests.trainer.jobs import SMALL
from trainer.contract.config import TrainConfig
from trainer.data.buckets import Bucket, fit
from trainer.data.dataset import Encoded, TrainingSet, View
from trainer.data.texts import LiveTexts, TextCache, trains_text
from trainer.model.base import load_base
from trainer.model.device import pick_numbers
from trainer.model.lora import attach_lora
from trainer.model.text import encode_prompts, encode_with_gradients
from trainer.training.learner import Learner

CPU = torch.device("cpu")
CAPTIONS = ("lisaxl, woman, smile", "woman, lisaxl", "lisaxl, woman, hat", "woman, hat")
"""The last does not hold the trigger word."""


def pictures(captions=CAPTIONS, weights=(1.0,) * 4, masks=(None,) * 4, side=8):
    """A picture a caption, each a random latent with a little deviation."""
    chance = torch.Generator().manual_seed(0)
    fitted = fit(8 * side, 8 * side, Bucket(8 * side, 8 * side))
    return [
        Encoded(
            caption=caption,
            views=(View(fitted, torch.stack([torch.randn(4, side, side, generator=chance), dev]), mask),),
            weight=weight,
        )
        for caption, weight, mask in zip(captions, weights, masks, strict=True)
        for dev in [torch.full((4, side, side), 0.1)]
    ]


def make_learner(folder, encoded=None, device=CPU, **settings):
    """A learner over four pictures (or those given)."""
    config = TrainConfig.from_mapping({**SMALL, "learning_rate": 1e-3, **settings})
    numbers = pick_numbers(config.precision, device)
    base = load_base(str(folder), device=device, dtype=numbers.base)
    live = trains_text(config)
    texts = LiveTexts(partial(encode_with_gradients, base)) if live else TextCache(partial(encode_prompts, base))
    data = TrainingSet(encoded or pictures(), texts, 0.13025, config, "lisaxl")
    return Learner(base, attach_lora(base, config, config.seed, dtype=numbers.lora), data, config, numbers)


def weights(learner):
    """Copies of the LoRA's weights as they are."""
    return {name: weight.detach().clone() for name, weight in learner.weights.items()}


def differ(one, other):
    """True where any weight of two learners (or copies of weights) is not the same to the last bit."""
    ours, theirs = (item if isinstance(item, dict) else weights(item) for item in (one, other))
    assert ours.keys() == theirs.keys()
    return not all(tensor.equal(theirs[name]) for name, tensor in ours.items())
