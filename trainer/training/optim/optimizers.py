"""The optimizers a run can have: torch's, our Prodigy, and those of packages that are optional extras (`packages`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch.optim import Optimizer

from trainer.contract.config import TrainConfig
from trainer.training.optim.packages import check_optimizer
from trainer.training.optim.prodigy import Prodigy

Groups = Sequence[dict[str, Any]]
"""Torch's parameter groups: `params`, and `lr`."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of optimizer."""

    build: Callable[[Groups, TrainConfig], Optimizer]
    memory: tuple[str, ...] = ()
    """What it remembers in its groups, beside what it remembers of each weight."""


def make_optimizer(groups: Groups, config: TrainConfig) -> Optimizer:
    """The config's optimizer over the groups, each with a `lr` of its own. Raises MissingExtra."""
    check_optimizer(config.optimizer)
    return _KINDS[config.optimizer].build(groups, config)


def remembered(config: TrainConfig) -> tuple[str, ...]:
    """Names of what the config's optimizer changes in its groups from step to step."""
    return _KINDS[config.optimizer].memory


def _betas(config: TrainConfig) -> tuple[float, float]:
    return config.beta_1, config.beta_2


def _adamw(groups: Groups, config: TrainConfig) -> Optimizer:
    """Fused: one kernel for many tensors, on GPU and CPU; a LoRA is hundreds of small ones."""
    return torch.optim.AdamW(groups, betas=_betas(config), weight_decay=config.weight_decay, fused=True)


def _adamw_8bit(groups: Groups, config: TrainConfig) -> Optimizer:
    """Moments in 8 bits, in blocks of 256 (Dettmers et al. 2022, arXiv:2110.02861); small tensors stay in fp32."""
    from bitsandbytes.optim import AdamW8bit

    optimizer: Optimizer = AdamW8bit(groups, betas=_betas(config), weight_decay=config.weight_decay)
    return optimizer


def _adafactor(groups: Groups, config: TrainConfig) -> Optimizer:
    """Torch's, as in the paper (Shazeer and Stern 2018, arXiv:1804.04235).

    Its step is relative to each weight's size: min(learning_rate, 1 / sqrt(step)) times its root mean square, at
    least 1e-3. It has neither of Adam's betas. The host reads that size, so every weight of a step waits for the
    device.
    """
    return torch.optim.Adafactor(groups, weight_decay=config.weight_decay)


def _prodigy(groups: Groups, config: TrainConfig) -> Optimizer:
    """Adam that finds its own rate d (Mishchenko and Defazio 2023, arXiv:2306.06101); `learning_rate` multiplies it.

    Decay is decoupled, as in AdamW, and Adam's bias correction is on, as its authors advise for diffusion models:
    without it the first steps are too long. Their safeguard leaves the rate out of the estimate, so that a warm-up does
    not let d grow too far; it also makes d grow more slowly, so it is on only where there is a warm-up.
    """
    return Prodigy(
        groups,
        betas=_betas(config),
        weight_decay=config.weight_decay,
        safeguard_warmup=bool(config.warmup_steps or config.warmup_share),
    )


def _lion(groups: Groups, config: TrainConfig) -> Optimizer:
    """Steps of one size in every weight, by the momentum's sign (Chen et al. 2023, arXiv:2302.06675).

    Many tensors a kernel.
    """
    from lion_pytorch.foreach import Lion

    optimizer: Optimizer = Lion(groups, betas=_betas(config), weight_decay=config.weight_decay)
    return optimizer


def _schedule_free(groups: Groups, config: TrainConfig) -> Optimizer:
    """AdamW whose average of weights takes the place of a falling rate (Defazio et al. 2024, arXiv:2405.15682).

    Between steps the weights are the point y where gradients are taken; files and samples want the average x, which
    `averaging.evaluation_point` computes. The optimizer's own switch from y to x and back is not used: it rounds, and
    a run must not depend on how often it was looked at.
    """
    from schedulefree import AdamWScheduleFree

    optimizer = AdamWScheduleFree(groups, betas=_betas(config), weight_decay=config.weight_decay)
    optimizer.train()
    result: Optimizer = optimizer
    return result


_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "adamw": Kind(_adamw),
        "adamw-8bit": Kind(_adamw_8bit),
        "adafactor": Kind(_adafactor),
        "prodigy": Kind(_prodigy, ("k",)),
        "lion": Kind(_lion),
        "schedule-free": Kind(_schedule_free, ("k", "weight_sum", "lr_max", "scheduled_lr")),
    }
)
