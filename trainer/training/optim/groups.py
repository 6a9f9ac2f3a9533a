"""The LoRA's weights in groups with a peak rate each: the UNet's, and each text encoder's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.nn import Parameter
from torch.optim import Optimizer

from trainer.contract.config import TrainConfig

PART = "part"
"""Name, in a group, of the part it belongs to: `unet`, `text_encoder` or `text_encoder_2`."""

PEAK = "peak"
"""Of the rate its share is taken of."""


def weight_groups(weights: Mapping[str, Parameter], config: TrainConfig) -> list[dict[str, Any]]:
    """Parameter groups of the weights, by the part their names begin with; parts without weights have none."""
    peaks = {
        "unet": config.learning_rate,
        "text_encoder": config.text_encoder_1_rate or config.learning_rate,
        "text_encoder_2": config.text_encoder_2_rate or config.learning_rate,
    }
    groups = []
    for part, peak in peaks.items():
        members = [weight for name, weight in weights.items() if name.startswith(f"{part}.")]
        if members:
            groups.append({"params": members, "lr": peak, PART: part, PEAK: peak})
    return groups


def set_rates(optimizer: Optimizer, share: float) -> None:
    """Give each group this share (0 to 1) of its peak rate."""
    for group in optimizer.param_groups:
        group["lr"] = group[PEAK] * share


def rates(optimizer: Optimizer) -> dict[str, float]:
    """The rate of each part in the last step."""
    return {group[PART]: group["lr"] for group in optimizer.param_groups}
