"""A run beside a plain loop: torch and the papers' formulas only, none of the project's training code.

Shared are the draws (which pictures, which noise, which timesteps: what a seed gives is tested elsewhere), the start of
the LoRA, and the UNet's class. Everything from there to the loss and the next weights is written out here.
"""

import math

import pytest
import torch

from tests.trainer.training.learning import make_learner, pictures, small_base
from trainer.training.objective.noise import draw_noise
from trainer.training.schedule import rate_share

STEPS, RATE, DECAY, BETAS, CLIP, WARMUP, GAMMA, OFFSET = 20, 2e-3, 0.02, (0.85, 0.95), 0.5, 4, 5.0, 0.03
PLAN = [[(0, 1), (2,)], [(3,), (0, 1)], [(2, 3)], [(1,), (2, 3)]]
"""Pictures of each step's batches, over and over; 0 and 1 are of one bucket, 2 and 3 of another."""
SETTINGS = {
    "optimizer": "adamw",
    "learning_rate": RATE,
    "weight_decay": DECAY,
    "beta_1": BETAS[0],
    "beta_2": BETAS[1],
    "max_grad_norm": CLIP,
    "schedule": "cosine",
    "warmup_steps": WARMUP,
    "min_snr_gamma": GAMMA,
    "noise_offset": OFFSET,
    "rank": 3,
    "alpha": 1.5,
    "gradient_accumulation": 2,
}


def with_plain_lora(unet, weights, scale):
    """Add scale B A x to every module that has weights."""
    for path in {name.split(".lora_")[0] for name in weights}:
        down, up = weights[f"{path}.lora_A.weight"], weights[f"{path}.lora_B.weight"]
        unet.get_submodule(path.removeprefix("unet.")).register_forward_hook(
            lambda _, inputs, output, down=down, up=up: output + scale * (inputs[0] @ down.T) @ up.T
        )


def plain_losses(start, data, config, velocity):
    """Loss of each step, by the formulas."""
    unet = small_base().unet
    weights = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
    with_plain_lora(unet, weights, 1.5 / 3)
    optimizer = torch.optim.AdamW(weights.values(), betas=BETAS, weight_decay=DECAY)
    # In fp32, as every trainer's noise schedule is: in doubles the losses differ by 2e-6 from the second step on.
    signal = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)
    losses = []
    for step in range(1, STEPS + 1):
        total, first, count = 0.0, 0, sum(map(len, PLAN[step % len(PLAN)]))
        for batch in PLAN[step % len(PLAN)]:
            seen = data.batch(batch, step, first)
            drawn = draw_noise(seen.latents, range(first, first + len(batch)), step, config)
            a = signal[drawn.timesteps].view(-1, 1, 1, 1)
            noised = a.sqrt() * seen.latents + (1 - a).sqrt() * drawn.noise
            target = a.sqrt() * drawn.noise - (1 - a).sqrt() * seen.latents if velocity else drawn.noise
            conditions = {"text_embeds": seen.pooled, "time_ids": seen.time_ids}
            answer = unet(noised, drawn.timesteps, seen.text, added_cond_kwargs=conditions).sample
            snr = (a / (1 - a)).flatten()
            weight = snr.clamp(max=GAMMA) / (snr + 1 if velocity else snr)
            loss = (((answer - target) ** 2).mean(dim=(1, 2, 3)) * weight).sum() / count
            loss.backward()
            total += float(loss.detach())
            first += len(batch)
        norm = torch.sqrt(sum(weight.grad.square().sum() for weight in weights.values()))
        for weight in weights.values():
            weight.grad *= min(1.0, CLIP / (float(norm) + 1e-6))
        progress = (step - 1 - WARMUP) / (STEPS - WARMUP)
        optimizer.param_groups[0]["lr"] = RATE * min(step / WARMUP, (1 + math.cos(math.pi * max(0.0, progress))) / 2)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
    return losses


@pytest.mark.parametrize("prediction", ["epsilon", "v-prediction"])
def test_twenty_steps_have_the_losses_of_a_plain_loop(prediction):
    """Two buckets, accumulation, min-SNR, clipping, a schedule: equal to 1e-6 in fp32."""
    one = make_learner(pictures(heights=(8, 8, 12, 12)), prediction=prediction, **SETTINGS)
    start = {name: weight.detach().clone() for name, weight in one.weights.items()}
    ours = []
    for step in range(1, STEPS + 1):
        one.step(PLAN[step % len(PLAN)], step, rate_share(step, STEPS, one._config))
        ours.append(float(one.tally.loss))
    plain = plain_losses(start, one._objective._data, one._config, prediction == "v-prediction")
    assert ours == pytest.approx(plain, abs=1e-6, rel=1e-6)
    # It was a run that learned something, not twenty times the same.
    assert max(float(weight.detach().abs().max()) for name, weight in one.weights.items() if "lora_B" in name) > RATE
