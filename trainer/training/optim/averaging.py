"""What files and samples show in place of the trained weights: their running average, or schedule-free's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer


class Average:
    """An exponential moving average of weights, in fp32."""

    def __init__(self, weights: Mapping[str, Parameter], decay: float) -> None:
        self._weights = weights
        self._decay = decay
        self.steps = 0
        self.values = {name: weight.detach().float().clone() for name, weight in weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Count the weights in: avg = d avg + (1 - d) w after n steps, with d = min(decay, (1 + n) / (10 + n)).

        The smaller decay of the first steps lets a short run's average leave the fresh LoRA behind (as in TensorFlow's
        tf.train.ExponentialMovingAverage with num_updates).
        """
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        fresh = [self._weights[name].detach().float() for name in self.values]
        torch._foreach_lerp_(list(self.values.values()), fresh, 1.0 - decay)
        self.steps += 1

    def load(self, values: Mapping[str, Tensor], steps: int) -> None:
        """Go on from these values. Raises KeyError when some are missing."""
        self.values = {name: values[name].to(old, copy=True) for name, old in self.values.items()}
        self.steps = steps


@torch.no_grad()
def evaluation_point(optimizer: Optimizer, weights: Mapping[str, Parameter]) -> dict[str, Tensor]:
    """Schedule-free's average x of the weights: from y = beta x + (1 - beta) z, x = y + (1 - 1 / beta) (z - y)."""
    beta = optimizer.param_groups[0]["betas"][0]
    # Before a weight's first gradient there is no z yet, and y is x.
    known = {name: optimizer.state[weight]["z"] for name, weight in weights.items() if optimizer.state.get(weight)}
    return {name: torch.lerp(weights[name], z, 1.0 - 1.0 / beta) for name, z in known.items()}


@contextmanager
def holding(weights: Mapping[str, Parameter], values: Mapping[str, Tensor]) -> Iterator[None]:
    """Let the weights hold these values for a while; afterwards they are what they were, to the last bit."""
    before = {name: weights[name].detach().clone() for name in values}
    for name, value in values.items():
        weights[name].data.copy_(value)
    try:
        yield
    finally:
        for name, value in before.items():
            weights[name].data.copy_(value)
