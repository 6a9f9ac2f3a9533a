"""TrainConfig: every knob of a training run, validated before anything heavy starts.

A config is a flat, frozen value. It comes from a preset (one TOML each), plus overrides of the host and of the
member, and it is frozen into job.json at submit: later edits of presets or settings never reach a queued job.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from trainer.contract.errors import InvalidConfig, unknown_name

Targets = Literal["kohya", "attention"]
Precision = Literal["auto", "fp32", "bf16", "full-bf16"]
Schedule = Literal["constant", "cosine", "linear"]

LATENT_FACTOR = 8
"""Pixels per latent of SDXL's VAE; sides of pictures are whole latents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Settings of one run; lengths in pixels, rates per optimizer step, times in seconds."""

    # --- length -----------------------------------------------------------------------------------------------------
    epochs: int = 100
    """Passes over the data set (each picture counts `repeats` times in one pass)."""
    batch_size: int = 5
    """Pictures per forward pass."""
    gradient_accumulation: int = 1
    """Forward passes per optimizer step; a step then sees batch_size x gradient_accumulation pictures."""
    # --- network ----------------------------------------------------------------------------------------------------
    rank: int = 32
    """Inner width of each LoRA pair (kohya: network_dim)."""
    alpha: float = 32.0
    """LoRA output is scaled by alpha / rank (kohya: network_alpha)."""
    targets: Targets = "kohya"
    """`kohya`: every linear layer of the UNet's transformers (722 in SDXL); `attention`: q, k, v, out only (560)."""
    # --- optimisation -----------------------------------------------------------------------------------------------
    learning_rate: float = 1e-4
    """Peak rate of AdamW."""
    weight_decay: float = 0.01
    """AdamW's decoupled decay."""
    schedule: Schedule = "constant"
    """Shape of the learning rate after the warm-up."""
    warmup_steps: int = 0
    """Steps over which the rate rises linearly from 0."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this joint 2-norm; 0 switches clipping off."""
    precision: Precision = "auto"
    """`bf16`: fp32 LoRA under bf16 autocast; `full-bf16`: LoRA weights in bf16 too; `auto`: bf16 on a GPU that has it,
    fp32 on a CPU."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about 40 % more work."""
    seed: int = 0
    """Everything random derives from it: LoRA's start, order of pictures, noise, timesteps, samples."""
    # --- loss -------------------------------------------------------------------------------------------------------
    min_snr_gamma: float = 0.0
    """Weights each timestep by min(snr, gamma) / snr (Hang et al. 2023, arXiv:2303.09556); 5 is usual, 0 is off."""
    noise_offset: float = 0.0
    """Adds this much of a per-channel constant to the noise, for darker and brighter pictures; 0 switches it off."""
    # --- pictures and captions --------------------------------------------------------------------------------------
    resolution: int = 1024
    """Side of the square whose area every bucket keeps."""
    bucket_step: int = 64
    """Bucket sides are multiples of this."""
    square: bool = False
    """One square bucket for all (centre crop) instead of aspect buckets."""
    shuffle_caption: bool = False
    """Shuffle the tags behind the first `keep_tokens` ones anew for each step."""
    keep_tokens: int = 2
    """Leading tags (trigger and class word) that shuffling leaves in place."""
    caption_dropout: float = 0.0
    """Share of steps in which a picture is shown with an empty caption."""
    # --- checkpoints and samples ------------------------------------------------------------------------------------
    checkpoint_every_epochs: int = 5
    """A LoRA file is kept at each multiple, and at the end (only there when it exceeds `epochs`)."""
    sample_count: int = 4
    """Pictures drawn at each checkpoint epoch; 0 draws none."""
    sample_steps: int = 30
    """Steps of DPM++ 2M Karras for a sample."""
    sample_guidance: float = 7.0
    """Classifier-free guidance scale of samples (A1111's default)."""
    state_every_seconds: float = 180.0
    """A resume state is written about this often, and at a pause."""

    def __post_init__(self) -> None:
        """Refuse a config that cannot train; the first problem is raised as InvalidConfig."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _typed(field.name, getattr(self, field.name), _HINTS[field.name]))
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:  # false for NaN too
                raise InvalidConfig(name, f"must be between {low:g} and {high:g}, not {value!r:.40}")
        if self.bucket_step % LATENT_FACTOR:
            raise InvalidConfig("bucket_step", f"must be a multiple of {LATENT_FACTOR}, not {self.bucket_step}")
        if self.resolution % self.bucket_step:
            raise InvalidConfig(
                "resolution", f"must be a multiple of bucket_step ({self.bucket_step}), not {self.resolution}"
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Config from plain values; raises InvalidConfig for a key nobody knows, with the nearest one."""
        for key in values:
            if key not in _HINTS:
                raise InvalidConfig(str(key), unknown_name(str(key), _HINTS))
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, one per field, ready for JSON."""
        return dataclasses.asdict(self)

    def with_overrides(self, values: Mapping[str, Any]) -> Self:
        """This config with some values replaced; raises InvalidConfig as from_mapping does."""
        return self.from_mapping({**self.to_mapping(), **values})


_HINTS: Mapping[str, Any] = types.MappingProxyType(
    {name: hint for name, hint in typing.get_type_hints(TrainConfig).items() if not name.startswith("_")}
)

_RANGES: Mapping[str, tuple[float, float]] = types.MappingProxyType(
    {
        "epochs": (1, 10_000),
        "batch_size": (1, 64),
        "gradient_accumulation": (1, 256),
        "rank": (1, 1024),
        "alpha": (1e-6, 4096),
        "learning_rate": (1e-9, 1.0),
        "weight_decay": (0, 10),
        "warmup_steps": (0, 1_000_000),
        "max_grad_norm": (0, 1000),
        "seed": (0, 2**32 - 1),
        "min_snr_gamma": (0, 100),
        "noise_offset": (0, 1),
        "resolution": (32, 4096),
        "bucket_step": (8, 512),
        "keep_tokens": (0, 75),
        "caption_dropout": (0, 1),
        "checkpoint_every_epochs": (1, 10_000),
        "sample_count": (0, 16),
        "sample_steps": (1, 200),
        "sample_guidance": (0, 30),
        "state_every_seconds": (0, 86_400),
    }
)


def _typed(name: str, value: Any, hint: Any) -> Any:
    """The value in the field's own type; an int is taken for a float, never a bool for a number."""
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


_KIND = types.MappingProxyType({int: "a whole number", float: "a number", bool: "true or false", str: "text"})


def parse_override(text: str) -> tuple[str, Any]:
    """`key=value` of a command line as key and typed value.

    Raises InvalidConfig when the key is unknown or the value does not fit the field.
    """
    key, separator, raw = text.partition("=")
    key, raw = key.strip(), raw.strip()
    if not separator:
        raise InvalidConfig(text, "write it as key=value")
    if key not in _HINTS:
        raise InvalidConfig(key, unknown_name(key, _HINTS))
    hint = _HINTS[key]
    try:
        if hint is bool:
            return key, {"true": True, "false": False}[raw.lower()]
        if hint in (int, float):
            return key, hint(raw)
    except (ValueError, KeyError):
        raise InvalidConfig(key, f"must be {_KIND[hint]}, not {raw!r}") from None
    return key, _typed(key, raw, hint)
