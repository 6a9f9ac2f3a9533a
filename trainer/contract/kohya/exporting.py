"""A TrainConfig as the JSON that Kohya SS opens today, with what kohya has no word for told."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from trainer.contract.config import TrainConfig
from trainer.contract.kohya.importing import import_json
from trainer.contract.kohya.keys import kept
from trainer.contract.kohya.optimizer import ADAFACTOR_BOUND
from trainer.contract.kohya.today import DEFAULTS

_OPTIMIZERS = MappingProxyType(
    {
        "adamw": "AdamW",
        "adamw-8bit": "AdamW8bit",
        "adafactor": "Adafactor",
        "prodigy": "Prodigy",
        "lion": "Lion",
        "schedule-free": "AdamWScheduleFree",
    }
)
_SCHEDULES = MappingProxyType(
    {
        "constant": "constant",
        "cosine": "cosine",
        "cosine-restarts": "cosine_with_restarts",
        "linear": "linear",
        "polynomial": "polynomial",
    }
)
_LOSSES = MappingProxyType({"mse": "l2", "huber": "huber", "smooth-l1": "smooth_l1"})
_PRECISIONS = MappingProxyType({"auto": "bf16", "bf16": "bf16", "full-bf16": "bf16", "fp16": "fp16", "fp32": "no"})
_SAMPLERS = MappingProxyType({"euler a": "euler_a", "euler": "euler", "ddim": "ddim"})
"""The others are nearest to kohya's one DPM++."""
_FILES = MappingProxyType({"fp16": "fp16", "bf16": "bf16", "fp32": "float"})


@dataclass(frozen=True, slots=True)
class Exported:
    """A kohya file's bytes, and what it cannot say."""

    data: bytes
    lost: tuple[str, ...]
    """Settings that kohya's GUI has no key for, or holds in another way, so that they come back with another value."""


def export_json(config: TrainConfig, extra: Mapping[str, Any]) -> Exported:
    """The config as today's generation of the GUI saves it; harmless keys of `extra` are kept beside the settings."""
    values = {**DEFAULTS, **kept(extra), **_keys_of(config)}
    data = json.dumps(dict(sorted(values.items())), indent=2).encode() + b"\n"
    back = import_json(data).config.to_mapping()
    return Exported(data, tuple(name for name, value in config.to_mapping().items() if back[name] != value))


def _keys_of(config: TrainConfig) -> dict[str, Any]:
    return {
        **_run_keys(config),
        **_network_keys(config),
        **_optimizer_keys(config),
        **_loss_keys(config),
        **_picture_keys(config),
    }


def _run_keys(config: TrainConfig) -> dict[str, Any]:
    return {
        "epoch": config.epochs,
        "max_train_epochs": 0 if config.max_steps else config.epochs,
        "max_train_steps": config.max_steps,
        "save_every_n_epochs": config.checkpoint_every_epochs,
        "train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation,
        # kohya chooses nothing by itself, so what fits everywhere stands for what is chosen here.
        "gradient_checkpointing": config.gradient_checkpointing != "off",
        "seed": config.seed,
        "mixed_precision": _PRECISIONS[config.precision],
        "full_bf16": config.precision == "full-bf16",
        "save_precision": _FILES[config.file_precision],
        "sdxl_no_half_vae": config.vae_precision == "fp32",
        "sample_sampler": _SAMPLERS.get(config.sample_sampler, "dpmsolver++"),
    }


def _network_keys(config: TrainConfig) -> dict[str, Any]:
    lycoris = config.decompose or config.targets == "attention"
    preset = "attn-only" if config.targets == "attention" else "full" if config.conv_rank else "attn-mlp"
    kind = "LyCORIS/LoCon" if lycoris else "Kohya LoCon" if config.conv_rank else "Standard"
    # Rank-stabilised scaling is another alpha to kohya: alpha / sqrt(rank) = (alpha x sqrt(rank)) / rank.
    factor = math.sqrt(config.rank) if config.rank_stabilised else 1.0
    return {
        "LoRA_type": kind,
        "LyCORIS_preset": preset if lycoris else "full",
        "dora_wd": config.decompose,
        "network_dim": config.rank,
        "network_alpha": config.alpha * factor,
        "conv_dim": config.conv_rank or 1,
        "conv_alpha": config.conv_alpha,
        "network_dropout": config.dropout,
        "scale_weight_norms": config.max_norm,
    }


def _optimizer_keys(config: TrainConfig) -> dict[str, Any]:
    relative = _is_relative_step(config)
    rate = 1.0 if relative else config.learning_rate
    encoders = config.text_encoder_1 or config.text_encoder_2
    text_rate = rate if relative else config.text_encoder_1_rate or rate
    schedule = _SCHEDULES[config.schedule]
    warm = bool(config.warmup_steps or config.warmup_share)
    if relative:
        schedule = "adafactor"
    elif config.schedule == "constant" and warm:
        schedule = "constant_with_warmup"
    return {
        "optimizer": _OPTIMIZERS[config.optimizer],
        "optimizer_args": _arguments(config),
        "learning_rate": rate,
        "unet_lr": rate,
        "text_encoder_lr": text_rate if encoders else 0.0,
        "sdxl_cache_text_encoder_outputs": not (encoders or _changes_captions(config)),
        "lr_scheduler": schedule,
        "lr_scheduler_num_cycles": config.schedule_cycles,
        "lr_scheduler_power": config.schedule_power,
        "lr_warmup": round(config.warmup_share * 100, 10),
        "lr_warmup_steps": config.warmup_steps,
        "max_grad_norm": config.max_grad_norm,
    }


def _arguments(config: TrainConfig) -> str:
    """Decay and betas, which the GUI only knows as arguments; Adafactor's own are left as they are."""
    decay = f"weight_decay={config.weight_decay!r}"
    if config.optimizer == "adafactor":
        return decay if _is_relative_step(config) else f"{decay} relative_step=False"
    return f"{decay} betas={config.beta_1!r},{config.beta_2!r}"


def _is_relative_step(config: TrainConfig) -> bool:
    """True for the Adafactor that kohya calls relative_step: no rate of its own, no schedule."""
    plain = config.schedule == "constant" and not (config.warmup_steps or config.warmup_share)
    rates = (config.learning_rate, config.text_encoder_1_rate, config.text_encoder_2_rate)
    return config.optimizer == "adafactor" and plain and rates == (ADAFACTOR_BOUND, 0.0, 0.0)


def _changes_captions(config: TrainConfig) -> bool:
    """True where kohya cannot cache what the text encoders say."""
    return config.shuffle_caption or config.caption_dropout > 0 or config.tag_dropout > 0


def _loss_keys(config: TrainConfig) -> dict[str, Any]:
    return {
        "loss_type": _LOSSES[config.loss],
        "huber_c": config.huber_c,
        "huber_schedule": config.huber_schedule,
        "min_snr_gamma": config.min_snr_gamma,
        "debiased_estimation_loss": config.debiased,
        "v_parameterization": config.prediction == "v-prediction",
        "noise_offset": config.noise_offset,
        "adaptive_noise_scale": config.adaptive_noise_scale,
        "ip_noise_gamma": config.input_perturbation,
        "min_timestep": config.min_timestep,
        "max_timestep": config.max_timestep,
        "prior_loss_weight": config.prior_weight,
        "masked_loss": config.masked_loss,
    }


def _picture_keys(config: TrainConfig) -> dict[str, Any]:
    return {
        "max_resolution": f"{config.resolution},{config.resolution}",
        "enable_bucket": not config.square,
        "bucket_reso_steps": config.bucket_step,
        "min_bucket_reso": config.bucket_min,
        "max_bucket_reso": config.bucket_max,
        "bucket_no_upscale": config.bucket_no_upscale,
        "flip_aug": config.flip,
        "shuffle_caption": config.shuffle_caption,
        "keep_tokens": config.keep_tokens,
        "caption_dropout_rate": config.caption_dropout,
        "max_token_length": int(config.caption_tokens),
    }
