"""Prodigy for hundreds of small weights: a few kernels a step, and nothing that the host would have to wait for.

Its authors' own package adds the estimate up on the host, weight by weight: with SDXL's LoRA of 722 modules that is
some 2,900 waits in a step. Here the estimate stays on the device, and torch's foreach kernels take many weights at
once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

D0 = 1e-6
"""First estimate of the rate; only whether it is small matters (Mishchenko and Defazio 2023, section 6)."""
EPSILON = 1e-8
TOGETHER = 1 << 24
"""Weights, about, that are worked on at once: one more number of each is made on the way, some 70 MB in fp32."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the weights, with what is remembered of each; lists run alike."""

    weights: list[Tensor]
    gradients: list[Tensor]
    states: list[dict[str, Tensor]]

    def remembered(self, field: str) -> list[Tensor]:
        return [state[field] for state in self.states]


class Prodigy(Optimizer):
    """Adam that finds its own rate d (arXiv:2306.06101, algorithm 4), with decoupled decay and Adam's bias correction.

    The numbers are those of `prodigyopt.Prodigy` with `decouple` and `use_bias_correction`, but for rounding.
    """

    def __init__(
        self,
        groups: Sequence[dict[str, Any]],
        *,
        betas: tuple[float, float],
        weight_decay: float,
        safeguard_warmup: bool,
    ) -> None:
        """`lr` multiplies d and must be the same in all groups; `safeguard_warmup` leaves it out of the estimate."""
        super().__init__(groups, {"lr": 1.0, "betas": betas, "weight_decay": weight_decay, "k": 0})
        self._safeguard_warmup = safeguard_warmup

    @property
    def estimate(self) -> Tensor:
        """Shape (2,), fp64, on the device: d, and the numerator of its estimate; kept with the first weight."""
        estimate: Tensor = self.state[self._first]["estimate"]
        return estimate

    @property
    def _first(self) -> Parameter:
        first: Parameter = self.param_groups[0]["params"][0]
        return first

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move the weights by their gradients; at a rate of 0 nothing happens, and nothing is learnt."""
        rate, betas, steps = (self.param_groups[0][key] for key in ("lr", "betas", "k"))
        if not rate:
            return
        self._begin()
        beta_1, beta_2 = betas
        correction = math.sqrt(1 - beta_2 ** (steps + 1)) / (1 - beta_1 ** (steps + 1))
        d, numerator = self.estimate.unbind()
        length = d * (rate * correction)
        growth = d / D0 * (d if self._safeguard_warmup else length)
        sums = torch.zeros_like(self.estimate)
        for part, _ in self._parts():
            sums += _learn(part, d, growth, betas)
        beta_3 = math.sqrt(beta_2)
        numerator = beta_3 * numerator + d / D0 * length * sums[0]
        # As long as all gradients were zero there is nothing to divide by.
        found = torch.where(sums[1] > 0, numerator / sums[1], d)
        larger = torch.maximum(d, found)
        for part, decay in self._parts():
            _move(part, larger, length, decay)
        self.estimate.copy_(torch.stack([larger, numerator]))
        for group in self.param_groups:
            group["k"] = steps + 1

    def _begin(self) -> None:
        """Make what is remembered of weights that are seen for the first time; that once waits for the device."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if weight.grad is None or "s" in state:
                    continue
                state |= {field: torch.zeros_like(weight) for field in ("s", "exp_avg", "exp_avg_sq")}
                # Half of a LoRA starts at zero: that needs no memory.
                if weight.any():
                    state["p0"] = weight.detach().clone()
        if "estimate" not in self.state[self._first]:
            start = torch.tensor([D0, 0.0], dtype=torch.float64, device=self._first.device)
            self.state[self._first]["estimate"] = start

    def _parts(self) -> Iterator[tuple[_Part, float]]:
        """The weights that have gradients, in parts of about `TOGETHER` numbers, with their decay."""
        for group in self.param_groups:
            part, numbers = _Part([], [], []), 0
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                part.weights.append(weight)
                part.gradients.append(weight.grad)
                part.states.append(self.state[weight])
                numbers += weight.numel()
                if numbers >= TOGETHER:
                    yield part, group["weight_decay"]
                    part, numbers = _Part([], [], []), 0
            if part.weights:
                yield part, group["weight_decay"]


def _learn(part: _Part, d: Tensor, growth: Tensor, betas: tuple[float, float]) -> Tensor:
    """Count the gradients into both moments and into s, which its factor `growth` is for.

    Returns shape (2,): the sum over all weights of gradient times way gone so far, and of the sizes of s.
    """
    beta_1, beta_2 = betas
    way = list(torch._foreach_neg(part.weights))
    moved = [(one, state["p0"]) for one, state in zip(way, part.states, strict=True) if "p0" in state]
    if moved:
        torch._foreach_add_([one for one, _ in moved], [start for _, start in moved])
    torch._foreach_mul_(way, part.gradients)
    gain = _sum(way)
    del way, moved
    dtype = part.weights[0].dtype
    scaled = torch._foreach_mul(part.gradients, d.to(dtype))
    firsts, seconds, sums = (part.remembered(field) for field in ("exp_avg", "exp_avg_sq", "s"))
    torch._foreach_lerp_(firsts, scaled, 1 - beta_1)
    torch._foreach_mul_(seconds, beta_2)
    torch._foreach_addcmul_(seconds, scaled, scaled, value=1 - beta_2)
    torch._foreach_mul_(scaled, (growth / d).to(dtype))
    torch._foreach_mul_(sums, math.sqrt(beta_2))
    torch._foreach_add_(sums, scaled)
    return torch.stack([gain, _sizes(sums)])


def _move(part: _Part, d: Tensor, length: Tensor, decay: float) -> None:
    """Adam's step of this length, m / (sqrt(v) + d epsilon), the weights' decay before it.

    Both halves are divided by d, so that what is added is a plain number: a tensor might be read by the host.
    """
    dtype = part.weights[0].dtype
    steps = torch._foreach_sqrt(part.remembered("exp_avg_sq"))
    torch._foreach_mul_(steps, (1 / d).to(dtype))
    torch._foreach_add_(steps, EPSILON)
    torch._foreach_reciprocal_(steps)
    torch._foreach_mul_(steps, part.remembered("exp_avg"))
    torch._foreach_mul_(steps, (-length / d).to(dtype))
    if decay:
        torch._foreach_mul_(part.weights, (1 - decay * length).to(dtype))
    torch._foreach_add_(part.weights, steps)


def _sum(tensors: list[Tensor]) -> Tensor:
    """Of all their numbers, which are lost: there is a foreach kernel for sums of sizes only."""
    sizes = _sizes(tensors)
    torch._foreach_clamp_min_(tensors, 0.0)
    return 2 * _sizes(tensors) - sizes


def _sizes(tensors: list[Tensor]) -> Tensor:
    """Sum of the sizes of all their numbers: a scalar in fp64."""
    dtype = torch.promote_types(tensors[0].dtype, torch.float32)
    return torch.stack(torch._foreach_norm(tensors, 1, dtype=dtype)).double().sum()
