"""How wrong an answer is, and how much that counts. All functions keep the number format they are given."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.training.objective.diffusion import TIMESTEPS, Diffusion

_MOST_SNR = 1000.0
"""Debiased weights treat cleaner timesteps as this clean (sd-scripts)."""


def picture_losses(
    errors: Tensor, timesteps: Tensor, diffusion: Diffusion, config: TrainConfig, masks: Tensor | None = None
) -> Tensor:
    """Loss of each picture `(b,)` from the errors `(b, 4, h/8, w/8)` of its answer.

    With masks `(b, 1, h/8, w/8)` each loss is multiplied with its mask before the mean over the whole picture, as in
    sd-scripts: a white pixel counts as much as it does in a picture without a mask, so a picture with little white
    counts little, and none with no white at all.
    """
    snr = diffusion.snr(timesteps)
    each = error_losses(errors, huber_thresholds(timesteps, snr, config).view(-1, 1, 1, 1), config)
    if masks is not None and config.masked_loss:
        each = each * masks
    return each.mean(dim=(1, 2, 3)) * timestep_weights(snr, config, velocity=diffusion.predicts_velocity)


def error_losses(errors: Tensor, threshold: Tensor, config: TrainConfig) -> Tensor:
    """Loss of each error e: e^2, or 2 c (sqrt(e^2 + c^2) - c) with its threshold c for `huber`, without the factor c
    for `smooth-l1` (kohya-ss/sd-scripts, library/train_util.py, conditional_loss).
    """
    squared = errors.square()
    if config.loss == "mse":
        return squared
    # sqrt(e^2 + c^2) - c, written so that a small e is not lost in the difference of two larger numbers.
    bent = 2.0 * squared / ((squared + threshold.square()).sqrt() + threshold)
    return threshold * bent if config.loss == "huber" else bent


def huber_thresholds(timesteps: Tensor, snr: Tensor, config: TrainConfig) -> Tensor:
    """Where the Huber losses turn from square to linear at each timestep `(b,)`, by `huber_schedule`:

    - `constant`: c;
    - `exponential`: c^(t / 1000), so 1 where clean and c where noise;
    - `snr`: (1 - c) / (1 + s)^2 + c, with s = 1 / sqrt(snr), the noise's share in the signal
    (kohya-ss/sd-scripts, library/train_util.py, get_huber_threshold_if_needed).
    """
    c = config.huber_c
    if config.huber_schedule == "constant":
        return torch.full_like(snr, c)
    if config.huber_schedule == "exponential":
        return torch.pow(torch.full_like(snr, c), timesteps / TIMESTEPS)
    return (1.0 - c) / (1.0 + snr.rsqrt()).square() + c


def timestep_weights(snr: Tensor, config: TrainConfig, *, velocity: bool) -> Tensor:
    """How much each timestep counts `(b,)`.

    Min-SNR (arXiv:2303.09556): min(snr, gamma) / snr, for velocity / (snr + 1). Debiased (arXiv:2310.08442):
    1 / sqrt(snr), for velocity 1 / (snr + 1), with snr at most 1000, as in kohya-ss/sd-scripts
    (library/custom_train_functions.py).
    """
    if config.min_snr_gamma:
        return snr.clamp(max=config.min_snr_gamma) / (snr + 1.0 if velocity else snr)
    if config.debiased:
        bounded = snr.clamp(max=_MOST_SNR)
        return 1.0 / (bounded + 1.0) if velocity else bounded.rsqrt()
    return torch.ones_like(snr)
