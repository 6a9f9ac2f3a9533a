"""The samplers people know by A1111's names, over diffusers' schedulers set up as A1111's are.

| name | steps | in A1111 (1.10) |
|---|---|---|
| DPM++ 2M Karras | Karras sigmas, midpoint | k-diffusion's sample_dpmpp_2m |
| DPM++ SDE Karras | Karras sigmas, two calls a step, eta 1 | sample_dpmpp_sde (see `sde`) |
| Euler a | timesteps from 999 to 0, eta 1 | sample_euler_ancestral |
| Euler | the same, no noise | sample_euler |
| UniPC | even timesteps, bh1, order 3 | its own, with these defaults |
| DDIM | every (1000 // steps)th timestep from 1 up, eta 0 | its own |

What differs: diffusers rounds DPM++ 2M's and UniPC's timesteps and interpolates Euler's sigmas in a straight line, not
in their logarithm; noise comes from CPU generators (A1111 with its random numbers from the CPU); DDIM takes exactly
the steps asked for, and on a base with zero terminal SNR begins at the last timestep, as such a base must (Lin et al.
2023, arXiv:2305.08891, section 3.3).
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from trainer.contract.config import Sampler
from trainer.contract.errors import unknown_name
from trainer.errors import BadSample
from trainer.sampling.sde import StochasticSolver
from trainer.sampling.solver import Predict, Solver

A1111_NAMES: Mapping[Sampler, tuple[str, str]] = MappingProxyType(
    {
        "dpm++ 2m karras": ("DPM++ 2M", "Karras"),
        "dpm++ sde karras": ("DPM++ SDE", "Karras"),
        "euler a": ("Euler a", "Automatic"),
        "euler": ("Euler", "Automatic"),
        "unipc": ("UniPC", "Automatic"),
        "ddim": ("DDIM", "Automatic"),
    }
)
"""Sampler and schedule type, as A1111 writes them into a picture."""

_ALIASES: Mapping[str, Sampler] = MappingProxyType(
    {"dpm++2m": "dpm++ 2m karras", "dpm++sde": "dpm++ sde karras", "eulerancestral": "euler a"}
)
"""A1111 takes Karras for the first two where no schedule is named."""

_OF_THE_BASE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)
"""What belongs to the base model itself; the rest of its scheduler config is a taste in sampling."""


def sampler_named(text: str) -> Sampler:
    """The sampler of this name, whatever its case, spaces and underscores; raises BadSample with the nearest one."""
    names: dict[str, Sampler] = {_plain(name): name for name in typing.get_args(Sampler)}
    plain = _plain(text)
    if found := names.get(plain) or _ALIASES.get(plain):
        return found
    raise BadSample(f"sampler: {unknown_name(text.lower(), names.values())}")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower()).removeprefix("k").replace("dpmpp", "dpm++")


def solver(sampler: Sampler, settings: Mapping[str, Any], steps: int) -> Solver:
    """The sampler for a base with this scheduler config; noise schedule and prediction type stay the base's own."""
    scheduler = _SCHEDULERS[sampler](_of_the_base(settings), steps)
    if sampler == "dpm++ sde karras":
        scheduler.set_timesteps(steps)
        return StochasticSolver(scheduler.sigmas, scheduler.alphas_cumprod, scheduler.config.prediction_type)
    return SchedulerSolver(scheduler, steps)


@dataclass(frozen=True, slots=True)
class SchedulerSolver:
    """A scheduler of diffusers."""

    scheduler: Any
    steps: int

    def run(
        self, noise: Tensor, generators: Sequence[torch.Generator], predict: Predict, begin: Callable[[], None]
    ) -> Tensor:
        """As Solver.run."""
        scheduler = self.scheduler
        scheduler.set_timesteps(self.steps, device=noise.device)
        if not isinstance(scheduler, DDIMScheduler):
            # Without it the first step looks its own place up, which waits for the GPU and takes the wrong one of two
            # timesteps that round to the same.
            scheduler.set_begin_index(0)
        noisy = {"generator": list(generators)} if isinstance(scheduler, EulerAncestralDiscreteScheduler) else {}
        latents: Tensor = noise * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            begin()
            prediction = predict(scheduler.scale_model_input(latents, timestep), timestep)
            (latents, *_) = scheduler.step(prediction, timestep, latents, return_dict=False, **noisy)
        return latents


def _of_the_base(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in _OF_THE_BASE if settings.get(name) is not None}


def _karras(base: dict[str, Any], _steps: int) -> DPMSolverMultistepScheduler:
    """`midpoint` is k-diffusion's second-order step. `zero` ends at no noise at all, as k-diffusion's appended sigma 0
    does, with its first-order last step. Karras sigmas run over the whole training range whatever the
    timestep_spacing, as A1111's do.
    """
    return DPMSolverMultistepScheduler(
        **base,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        # k-diffusion takes second-order steps to the end however few there are.
        lower_order_final=False,
        use_karras_sigmas=True,
        final_sigmas_type="zero",
    )


def _euler(base: dict[str, Any], steps: int) -> EulerDiscreteScheduler:
    return EulerDiscreteScheduler(**base, timestep_spacing=_spacing(steps))


def _euler_ancestral(base: dict[str, Any], steps: int) -> EulerAncestralDiscreteScheduler:
    return EulerAncestralDiscreteScheduler(**base, timestep_spacing=_spacing(steps))


def _spacing(steps: int) -> str:
    """From the last timestep to the first; numpy's linspace would make a single step start at the first."""
    return "linspace" if steps > 1 else "trailing"


def _unipc(base: dict[str, Any], _steps: int) -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(**base, solver_order=3, solver_type="bh1", final_sigmas_type="sigma_min")


def _ddim(base: dict[str, Any], _steps: int) -> DDIMScheduler:
    spacing = "trailing" if base.get("rescale_betas_zero_snr") else "leading"
    return DDIMScheduler(**base, timestep_spacing=spacing, steps_offset=1, clip_sample=False, set_alpha_to_one=False)


_SCHEDULERS: Mapping[Sampler, Callable[[dict[str, Any], int], Any]] = MappingProxyType(
    {
        "dpm++ 2m karras": _karras,
        "dpm++ sde karras": _karras,
        "euler a": _euler_ancestral,
        "euler": _euler,
        "unipc": _unipc,
        "ddim": _ddim,
    }
)
