"""What a training setting may hold: its type, its range, and which settings go together."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from trainer.contract.errors import InvalidConfig, unknown_name

if typing.TYPE_CHECKING:
    from trainer.contract.config import TrainConfig

LATENT_FACTOR = 8
"""Pixels per latent of SDXL's VAE; sides of pictures are whole latents."""

_RANGES: Mapping[str, tuple[float, float]] = types.MappingProxyType(
    {
        "epochs": (1, 10_000),
        "max_steps": (0, 10_000_000),
        "batch_size": (1, 64),
        "gradient_accumulation": (1, 256),
        "patience": (0, 1000),
        "rank": (1, 1024),
        "alpha": (1e-6, 4096),
        "conv_rank": (0, 1024),
        "conv_alpha": (1e-6, 4096),
        "dropout": (0, 0.99),
        "learning_rate": (1e-9, 10.0),
        "text_encoder_1_rate": (0, 10.0),
        "text_encoder_2_rate": (0, 10.0),
        "weight_decay": (0, 10),
        "beta_1": (0, 0.9999),
        "beta_2": (0, 0.999999),
        "schedule_cycles": (1, 1000),
        "schedule_power": (0.01, 100),
        "warmup_steps": (0, 1_000_000),
        "warmup_share": (0, 1),
        "max_grad_norm": (0, 1000),
        "max_norm": (0, 1000),
        "ema_decay": (0, 0.99999),
        "seed": (0, 2**32 - 1),
        "huber_c": (1e-6, 1000),
        "min_snr_gamma": (0, 100),
        "noise_offset": (0, 1),
        "adaptive_noise_scale": (-1, 1),
        "input_perturbation": (0, 1),
        "min_timestep": (0, 999),
        "max_timestep": (1, 1000),
        "prior_weight": (0, 100),
        "preservation_weight": (0, 100),
        "preservation_share": (0.01, 1),
        "resolution": (32, 4096),
        "bucket_step": (8, 512),
        "bucket_min": (8, 4096),
        "bucket_max": (32, 8192),
        "keep_tokens": (0, 75),
        "tag_dropout": (0, 1),
        "caption_dropout": (0, 1),
        "validation_share": (0, 0.5),
        "checkpoint_every_epochs": (1, 10_000),
        "sample_count": (0, 16),
        "sample_steps": (1, 200),
        "sample_guidance": (0, 30),
        "state_every_seconds": (0, 86_400),
    }
)


_ONCE_SWITCHES: Mapping[str, tuple[str, str]] = types.MappingProxyType({"gradient_checkpointing": ("off", "full")})
"""Settings that were false or true once, and what that means now: queued jobs, presets and scripts still say it.

The only place that knows: whatever reads settings comes through `typed` or `typed_text`.
"""


def check_limits(config: TrainConfig) -> None:
    """Raise InvalidConfig for the first setting out of its range or at odds with another."""
    for name, (low, high) in _RANGES.items():
        value = getattr(config, name)
        if not low <= value <= high:  # false for NaN too
            raise InvalidConfig(name, f"must be between {low:g} and {high:g}, not {value!r:.40}")
    for name, holds, problem in _rules(config):
        if not holds:
            raise InvalidConfig(name, problem)


def _rules(config: TrainConfig) -> tuple[tuple[str, bool, str], ...]:
    """Setting, whether its rule holds, and what to say if not."""
    step = config.bucket_step
    return (
        ("bucket_step", step % LATENT_FACTOR == 0, f"must be a multiple of {LATENT_FACTOR}, not {step}"),
        (
            "resolution",
            config.resolution % step == 0,
            f"must be a multiple of bucket_step ({step}), not {config.resolution}",
        ),
        ("bucket_max", config.bucket_max >= config.resolution, "must not be below resolution"),
        ("bucket_min", config.bucket_min <= config.bucket_max, "must not be above bucket_max"),
        ("max_timestep", config.max_timestep > config.min_timestep, "must be above min_timestep"),
        ("debiased", not (config.debiased and config.min_snr_gamma), "does not go together with min_snr_gamma"),
        (
            "adaptive_noise_scale",
            not config.adaptive_noise_scale or config.noise_offset > 0,
            "needs a noise_offset above 0",
        ),
        ("patience", not config.patience or config.validation_share > 0, "needs a validation_share above 0"),
        (
            "zero_terminal_snr",
            not config.zero_terminal_snr or config.prediction != "epsilon",
            "needs velocity prediction: pure noise cannot be told from itself",
        ),
        *_optimizer_rules(config),
    )


def _optimizer_rules(config: TrainConfig) -> tuple[tuple[str, bool, str], ...]:
    prodigy, free = config.optimizer == "prodigy", config.optimizer == "schedule-free"
    encoder_rates = {config.text_encoder_1_rate, config.text_encoder_2_rate}
    return (
        (
            "optimizer",
            not prodigy or encoder_rates <= {0.0, config.learning_rate},
            "prodigy finds one rate for all parts; leave the text encoders' rates at 0",
        ),
        (
            "ema_decay",
            not (free and config.ema_decay),
            "does not go together with schedule-free: it averages itself",
        ),
        ("beta_1", not free or config.beta_1 > 0, "must be above 0 for schedule-free: it places its average"),
    )


def typed(name: str, value: Any, hint: Any) -> Any:
    """The value in the field's own type; an int is taken for a float, never a bool for a number."""
    if type(value) is bool and name in _ONCE_SWITCHES:
        value = _ONCE_SWITCHES[name][value]
    if typing.get_origin(hint) is Literal:
        allowed = typing.get_args(hint)
        if value not in allowed:
            raise InvalidConfig(name, unknown_name(str(value), allowed))
        return value
    if hint is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise InvalidConfig(name, "is too large a number") from None
    if type(value) is not hint:
        raise InvalidConfig(name, f"must be {_KIND[hint]}, not {value!r}")
    return value


def typed_text(name: str, text: str, hint: Any) -> Any:
    """The value a command line's text stands for; raises InvalidConfig when it is none."""
    try:
        if hint is bool or (name in _ONCE_SWITCHES and text.lower() in ("true", "false")):
            return typed(name, {"true": True, "false": False}[text.lower()], hint)
        if hint in (int, float):
            return hint(text)
    except (ValueError, KeyError):
        raise InvalidConfig(name, f"must be {_KIND[hint]}, not {text!r}") from None
    return typed(name, text, hint)


_KIND = types.MappingProxyType({int: "a whole number", float: "a number", bool: "true or false", str: "text"})
