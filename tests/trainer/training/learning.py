"""Learners over random latents, for tests of single steps: a UNet of 60,000 weights, or the tiny SDXL's whole base."""

from functools import cache, partial

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from tests.trainer.jobs import SMALL
from trainer.contract.config import TrainConfig
from trainer.data.buckets import Bucket, fit
from trainer.data.dataset import Encoded, TrainingSet, View
from trainer.data.preserved import KeptCaptions
from trainer.data.randomness import generator
from trainer.data.texts import LiveTexts, TextCache, trains_text
from trainer.model.base import BaseModel, load_base
from trainer.model.device import pick_numbers
from trainer.model.lora import attach_lora
from trainer.model.text import encode_prompts, encode_with_gradients
from trainer.planning.way import Ways
from trainer.training.learner import Learner
from trainer.training.tally import is_sound

CPU = torch.device("cpu")
CAPTIONS = ("lisaxl, woman, smile", "woman, lisaxl", "lisaxl, woman, hat", "woman, hat")
"""The last does not hold the trigger word."""
TEXT, POOLED = 12, 6
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def pictures(captions=CAPTIONS, weights=(1.0,) * 4, masks=(None,) * 4, heights=(8,) * 4, device=CPU):
    """A picture a caption, each a random latent with a little deviation, 8 wide."""
    chance = torch.Generator().manual_seed(0)
    return [
        Encoded(caption=caption, views=(_view(height, mask, chance, device),), weight=weight)
        for caption, weight, mask, height in zip(captions, weights, masks, heights, strict=True)
    ]


def _view(height, mask, chance, device):
    fitted = fit(64, 8 * height, Bucket(64, 8 * height))
    latent = torch.stack([torch.randn(4, height, 8, generator=chance) * 7, torch.full((4, height, 8), 0.1)])
    return View(fitted, latent.to(device), mask)


@cache
def _unet_weights():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _unet().state_dict()


def _unet():
    return UNet2DConditionModel(
        sample_size=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        transformer_layers_per_block=1,
        attention_head_dim=(1, 2),
        norm_num_groups=4,
        cross_attention_dim=TEXT,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=POOLED + 6 * 4,
    )


def small_base(dtype=torch.float32, device=CPU, prediction_type="epsilon"):
    """SDXL's kind of UNet, as small as it gets, without encoders."""
    unet = _unet()
    unet.load_state_dict(_unet_weights())
    nothing = nn.Identity()
    return BaseModel(
        unet=unet.requires_grad_(False).eval().to(device, dtype),
        vae=nothing,
        text_encoder=nothing,
        text_encoder_2=nothing,
        tokenizer=None,
        tokenizer_2=None,
        scheduler_config=dict(NOISE),
        prediction_type=prediction_type,
        zeros_for_empty_prompt=True,
        name="small",
        sha256="",
    )


def embed(device, prompts):
    """Random embeddings that belong to the prompt alone."""
    [prompt] = prompts
    chance = generator(0, prompt)
    return torch.randn(1, 7, TEXT, generator=chance).to(device), torch.randn(1, POOLED, generator=chance).to(device)


def make_learner(encoded=None, *, folder=None, device=CPU, team=None, ways=Ways(), **settings):  # noqa: B008 - frozen
    """A learner over four pictures (or those given) and the small base, or the base in the folder."""
    config = TrainConfig.from_mapping({**SMALL, "learning_rate": 1e-3, **settings})
    numbers = pick_numbers(config.precision, device)
    if folder is None:
        base, texts = small_base(numbers.base, device), TextCache(partial(embed, device))
    else:
        base = load_base(str(folder), device=device, dtype=numbers.base)
        live = trains_text(config)
        texts = LiveTexts(partial(encode_with_gradients, base)) if live else TextCache(partial(encode_prompts, base))
    data = TrainingSet(encoded or pictures(), texts, 0.13025, config, KeptCaptions("lisaxl"))
    weights = attach_lora(base, config, config.seed, dtype=numbers.lora)
    return Learner(base, weights, data, config, numbers, team, ways)


def weights(learner):
    """Copies of the LoRA's weights as they are."""
    return {name: weight.detach().clone() for name, weight in learner.weights.items()}


def sound(learner):
    """Whether it is worth keeping."""
    return is_sound(learner.tally.sound, learner.weights.values())


def differ(one, other):
    """True where any weight of two learners (or copies of weights) is not the same to the last bit."""
    ours, theirs = (item if isinstance(item, dict) else weights(item) for item in (one, other))
    assert ours.keys() == theirs.keys()
    return not all(tensor.equal(theirs[name]) for name, tensor in ours.items())
