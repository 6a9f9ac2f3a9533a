"""One optimizer step, in every number format."""

import pytest
import torch

from tests.trainer.jobs import SMALL
from tests.trainer.support.training_set import training_set
from trainer.contract.config import TrainConfig
from trainer.data.texts import TextCache
from trainer.model.base import load_base
from trainer.model.device import pick_numbers
from trainer.model.lora import attach_lora
from trainer.model.text import encode_prompts
from trainer.training.learner import Learner

CPU = torch.device("cpu")


def learner(folder, **settings):
    """A learner over four random latents."""
    config = TrainConfig.from_mapping({**SMALL, "learning_rate": 1e-3, **settings})
    numbers = pick_numbers(config.precision, CPU)
    base = load_base(str(folder), device=CPU, dtype=numbers.base)
    chance = torch.Generator().manual_seed(0)
    latents = [torch.stack([torch.randn(4, 8, 8, generator=chance), torch.full((4, 8, 8), 0.1)]) for _ in range(4)]
    texts = TextCache(lambda prompts: encode_prompts(base, prompts))
    data = training_set("abcd", latents, texts, config)
    return Learner(base, attach_lora(base, config, config.seed, dtype=numbers.lora), data, config, numbers)


def weights(learner):
    return {name: weight.detach().clone() for name, weight in learner.weights.items()}


def test_accumulated_batches_are_the_whole_batch(tiny_sdxl):
    """Gradients of 4 pictures at once and as 3 + 1 agree: every picture counts alike."""
    whole, parts = learner(tiny_sdxl), learner(tiny_sdxl)
    whole.step([(0, 1, 2, 3)], 1, 1e-3)
    parts.step([(0, 1, 2), (3,)], 1, 1e-3)
    assert whole.tally.loss.item() == pytest.approx(parts.tally.loss.item(), rel=1e-5)
    ours, theirs = (
        {name: one.optimizer.state[weight]["exp_avg"] for name, weight in one.weights.items()} for one in (whole, parts)
    )
    scale = max(float(tensor.abs().max()) for tensor in ours.values())
    assert max(float((tensor - theirs[name]).abs().max()) for name, tensor in ours.items()) < 1e-4 * scale


def test_the_base_never_changes(tiny_sdxl):
    one = learner(tiny_sdxl)
    frozen = {name: p.clone() for name, p in one._unet.named_parameters() if not p.requires_grad}
    one.step([(0, 1)], 1, 1e-2)
    assert all(p.equal(frozen[name]) for name, p in one._unet.named_parameters() if name in frozen)


@pytest.mark.parametrize(
    ("precision", "lora"), [("fp32", torch.float32), ("bf16", torch.float32), ("full-bf16", torch.bfloat16)]
)
def test_every_precision_learns_one_picture_by_heart(tiny_sdxl, precision, lora):
    """The same picture, noise and timestep over and over: the loss must fall well below its start."""
    one = learner(tiny_sdxl, precision=precision, rank=8, alpha=8.0)
    losses = []
    for _ in range(6):
        one.step([(0,)], 1, 1e-2)
        losses.append(float(one.tally.loss))
    assert {weight.dtype for weight in one.weights.values()} == {lora}
    assert one.is_sound()
    assert losses[-1] < 0.95 * losses[0], losses


def test_bf16_stays_close_to_fp32(tiny_sdxl):
    exact, short = learner(tiny_sdxl), learner(tiny_sdxl, precision="bf16")
    for one in (exact, short):
        one.step([(0, 1, 2, 3)], 1, 1e-3)
    assert float(short.tally.loss) == pytest.approx(float(exact.tally.loss), rel=0.02)


def test_gradient_checkpointing_changes_no_number(tiny_sdxl):
    plain, thrifty = learner(tiny_sdxl), learner(tiny_sdxl, gradient_checkpointing=True)
    for one in (plain, thrifty):
        one.step([(0, 1)], 1, 1e-3)
    assert all(torch.allclose(weight, weights(thrifty)[name], atol=1e-7) for name, weight in weights(plain).items())


def test_clipping_bounds_the_gradient(tiny_sdxl):
    free, bound = learner(tiny_sdxl, max_grad_norm=0.0), learner(tiny_sdxl, max_grad_norm=1e-3)
    norms = []
    for one in (free, bound):
        one.step([(0, 1)], 1, 1e-3)
        # After one step AdamW's first moment is (1 - beta1) times the gradient it saw.
        moments = [one.optimizer.state[weight]["exp_avg"] / 0.1 for weight in one.weights.values()]
        norms.append(float(torch.stack([moment.norm() for moment in moments]).norm()))
    assert norms[0] > 2e-3
    assert norms[1] == pytest.approx(1e-3, rel=1e-2)


def test_rubbish_is_noticed(tiny_sdxl):
    one = learner(tiny_sdxl)
    one._data.pictures[0].views[0].latent[0].fill_(torch.nan)
    assert one.is_sound()
    one.step([(0, 1)], 1, 1e-3)
    assert not one.is_sound()
    one.step([(2, 3)], 2, 1e-3)
    assert not bool(one.tally.sound)
