"""What a LoRA file says about itself: sd-scripts' `ss_*` fields and Stability's ModelSpec, all as text.

A1111 takes a LoRA for SDXL only when `ss_base_model_version` begins with `sdxl_`; with other metadata and without
that field it hides the file while an SDXL model is loaded. So that field is always there.
Nothing here names a member or a path: the base model is recorded by the last part of its name.

Field names and the form of each value follow kohya-ss/sd-scripts (train_network.py, library/sai_model_spec.py);
ModelSpec 1.0.1 is https://github.com/Stability-AI/ModelSpec.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from trainer.contract.config import Optimizer, Schedule, TrainConfig
from trainer.contract.spec import JobSpec

BASE_VERSION = "sdxl_base_v1-0"
ARCHITECTURE = "stable-diffusion-xl-v1-base/lora"
IMPLEMENTATION = "https://github.com/Stability-AI/generative-models"
"""sd-scripts' constant for an SDXL LoRA in its own layout; loaders compare it literally."""

LONGEST_TEXT = 300
"""Characters kept of any text a person wrote."""

TAG_FREQUENCY_BYTES = 40_000
"""Room for ss_tag_frequency; the rarest tags go first. All metadata together stays below 100 kB."""

SETTINGS = "lorelei_settings"
"""Metadata entry with all settings of the run as JSON; sd-scripts has no field for some of them."""

UNSET = "None"
"""How sd-scripts writes an option that was not given; readers of its fields know the word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """How far the run is, and what only the run knows."""

    epoch: int
    """Epochs finished."""
    step: int
    """Optimizer steps done."""
    steps: int
    """Optimizer steps planned."""
    batches_per_epoch: int
    started_at: float
    """Unix time of the first attempt's start."""
    saved_at: float
    """Unix time of this file."""
    mixed_precision: str = "no"
    """Number format of the arithmetic: `no` (fp32), `bf16` or `fp16`."""
    prediction_type: str = "epsilon"
    """What the base predicts: `epsilon` or `v_prediction`."""
    base_sha256: str = ""
    """Of a single-file base; empty when unknown."""
    buckets: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """Pictures (repeats counted) per bucket size, (width, height) in pixels."""


def training_metadata(spec: JobSpec, config: TrainConfig, progress: TrainingProgress) -> dict[str, str]:
    """All metadata of one LoRA file, sorted by name.

    config: the settings really used (they differ from spec.config after an extension or an out-of-memory retry); with
    `strip_metadata` everything drawn from captions and pictures is left out (tag frequency, data set, comment).
    """
    fields: dict[str, Any] = {
        **_identity(spec, progress),
        **_network(config),
        **_optimisation(config, progress),
        **_loss(config),
        **_pictures(spec, config, progress),
        **_model_spec(spec, config, progress),
        SETTINGS: json.dumps(config.to_mapping(), sort_keys=True),
    }
    if not config.strip_metadata:
        fields |= _dataset(spec)
    return {name: str(value) for name, value in sorted(fields.items())}


def _identity(spec: JobSpec, progress: TrainingProgress) -> dict[str, Any]:
    session = int.from_bytes(hashlib.sha256(spec.job_id.encode()).digest()[:4], "big")
    known_hash = {"ss_new_sd_model_hash": progress.base_sha256} if progress.base_sha256 else {}
    return {
        "ss_base_model_version": BASE_VERSION,
        "ss_v2": False,
        "ss_sd_model_name": base_name(spec.base),
        **known_hash,
        "ss_output_name": spec.name,
        "ss_session_id": session,  # kohya: a number that all files of one run share
        "ss_training_started_at": progress.started_at,
        "ss_training_finished_at": progress.saved_at,
        "ss_epoch": progress.epoch,
        "ss_steps": progress.step,
        "ss_max_train_steps": progress.steps,
    }


def _network(config: TrainConfig) -> dict[str, Any]:
    """sd-scripts' --network_args as it records them, all values texts; those of DoRA and rsLoRA are LyCORIS's."""
    convolutions = {"conv_dim": config.conv_rank, "conv_alpha": config.conv_alpha} if config.conv_rank else {}
    arguments = {
        **({} if config.targets == "kohya" else {"targets": config.targets}),
        **convolutions,
        **({"dora_wd": True, "wd_on_output": True} if config.decompose else {}),
        **({"rs_lora": True} if config.rank_stabilised else {}),
    }
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": config.rank,
        "ss_network_alpha": config.alpha,
        "ss_network_args": json.dumps({name: str(value) for name, value in arguments.items()}),
        "ss_network_dropout": config.dropout or UNSET,
        "ss_scale_weight_norms": config.max_norm or UNSET,
    }


def _text_rates(config: TrainConfig) -> str:
    """One rate for one or both text encoders, `[first, second]` where they differ."""
    rates = [
        (rate or config.learning_rate) if trained else 0.0
        for trained, rate in (
            (config.text_encoder_1, config.text_encoder_1_rate),
            (config.text_encoder_2, config.text_encoder_2_rate),
        )
    ]
    if not any(rates):
        return UNSET
    return str(rates[0] if rates[0] == rates[1] else rates)


def _optimisation(config: TrainConfig, progress: TrainingProgress) -> dict[str, Any]:
    warmup = max(config.warmup_steps, round(config.warmup_share * progress.steps))
    warm = "_with_warmup" if config.schedule == "constant" and warmup else ""
    arguments = f"weight_decay={config.weight_decay},betas=({config.beta_1}, {config.beta_2})"
    return {
        "ss_learning_rate": config.learning_rate,
        "ss_unet_lr": config.learning_rate,
        "ss_text_encoder_lr": _text_rates(config),
        "ss_optimizer": f"{_OPTIMIZERS[config.optimizer]}({arguments})",
        "ss_lr_scheduler": _SCHEDULES.get(config.schedule, config.schedule) + warm,
        "ss_lr_warmup_steps": warmup,
        "ss_max_grad_norm": config.max_grad_norm,
        "ss_mixed_precision": progress.mixed_precision,
        "ss_full_fp16": False,
        "ss_full_bf16": config.precision == "full-bf16",
        "ss_gradient_checkpointing": config.gradient_checkpointing in ("partial", "full"),
        "ss_gradient_accumulation_steps": config.gradient_accumulation,
        "ss_batch_size_per_device": config.batch_size,
        "ss_total_batch_size": config.batch_size * config.gradient_accumulation,
        "ss_num_epochs": config.epochs,
        "ss_num_batches_per_epoch": progress.batches_per_epoch,
        "ss_seed": config.seed,
    }


def _loss(config: TrainConfig) -> dict[str, Any]:
    return {
        "ss_loss_type": {"mse": "l2", "huber": "huber", "smooth-l1": "smooth_l1"}[config.loss],
        "ss_huber_schedule": config.huber_schedule,
        "ss_huber_c": config.huber_c,
        "ss_min_snr_gamma": config.min_snr_gamma or UNSET,
        "ss_debiased_estimation": config.debiased,
        "ss_zero_terminal_snr": config.zero_terminal_snr,
        "ss_noise_offset": config.noise_offset or UNSET,
        "ss_adaptive_noise_scale": config.adaptive_noise_scale or UNSET,
        "ss_ip_noise_gamma": config.input_perturbation or UNSET,
        "ss_prior_loss_weight": config.prior_weight,
        "ss_masked_loss": config.masked_loss,
        "ss_validation_split": config.validation_share,
    }


def _repeats(spec: JobSpec, *, regularisation: bool) -> int:
    return sum(picture.repeats for picture in spec.pictures if picture.regularisation == regularisation)


def _pictures(spec: JobSpec, config: TrainConfig, progress: TrainingProgress) -> dict[str, Any]:
    sides = [side for bucket in progress.buckets for side in bucket]
    return {
        "ss_num_train_images": _repeats(spec, regularisation=False),
        "ss_num_reg_images": _repeats(spec, regularisation=True),
        "ss_resolution": f"({config.resolution}, {config.resolution})",
        "ss_enable_bucket": not config.square,
        "ss_bucket_no_upscale": config.bucket_no_upscale,
        "ss_min_bucket_reso": min(sides, default=config.resolution),
        "ss_max_bucket_reso": max(sides, default=config.resolution),
        "ss_bucket_info": json.dumps(_bucket_info(progress.buckets)),
        "ss_shuffle_caption": config.shuffle_caption,
        "ss_keep_tokens": config.keep_tokens,
        "ss_caption_dropout_rate": config.caption_dropout,
        "ss_caption_tag_dropout_rate": config.tag_dropout,
        "ss_max_token_length": config.caption_tokens,
        "ss_clip_skip": UNSET,
        "ss_cache_latents": True,
        "ss_color_aug": False,
        "ss_flip_aug": config.flip,
        "ss_random_crop": False,
    }


def _bucket_info(buckets: Mapping[tuple[int, int], int]) -> dict[str, Any]:
    """sd-scripts' form; A1111 counts training resolutions from it."""
    return {
        "buckets": {
            str(number): {"resolution": list(size), "count": count}
            for number, (size, count) in enumerate(sorted(buckets.items()))
        }
    }


def _dataset(spec: JobSpec) -> dict[str, Any]:
    """What A1111 shows of the data set; a kohya folder is called `<repeats>_<what it shows>`."""
    frequency: dict[str, Counter[str]] = {}
    folders: dict[bool, dict[str, dict[str, int]]] = {False: {}, True: {}}
    for picture in spec.pictures:
        subject = f"{spec.trigger} {spec.class_word}".strip()
        shows = (spec.class_word or "regularisation") if picture.regularisation else subject
        folder = f"{picture.repeats}_{_short(shows)}"
        entry = {"n_repeats": picture.repeats, "img_count": 0}
        folders[picture.regularisation].setdefault(folder, entry)["img_count"] += 1
        tags = (_short(tag.strip().lower()) for tag in picture.caption.split(","))
        frequency.setdefault(folder, Counter()).update(tag for tag in tags if tag)
    return {
        "ss_dataset_dirs": json.dumps(folders[False]),
        "ss_reg_dataset_dirs": json.dumps(folders[True]),
        "ss_tag_frequency": json.dumps(_capped(frequency)),
        "ss_training_comment": f"{spec.kind}, preset {_short(spec.preset)}",
    }


def _capped(frequency: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    """The most frequent tags of each folder, as many as TAG_FREQUENCY_BYTES hold."""
    room = TAG_FREQUENCY_BYTES
    kept: dict[str, dict[str, int]] = {folder: {} for folder in frequency}
    ranked = sorted(
        ((count, tag, folder) for folder, counts in frequency.items() for tag, count in counts.items()),
        key=lambda entry: (-entry[0], entry[1], entry[2]),
    )
    for count, tag, folder in ranked:
        room -= len(json.dumps({tag: count}))
        if room < 0:
            break
        kept[folder][tag] = count
    return kept


def _model_spec(spec: JobSpec, config: TrainConfig, progress: TrainingProgress) -> dict[str, Any]:
    trigger = _short(spec.trigger)
    velocity = (progress.prediction_type if config.prediction == "auto" else config.prediction).startswith("v")
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": ARCHITECTURE,
        "modelspec.implementation": IMPLEMENTATION,
        "modelspec.implementation_version": f"lorelei/{version('lorelei')}",
        "modelspec.title": spec.name,
        "modelspec.resolution": f"{config.resolution}x{config.resolution}",
        "modelspec.date": datetime.fromtimestamp(int(progress.saved_at), UTC).isoformat(),
        "modelspec.prediction_type": "v" if velocity else "epsilon",
        "modelspec.timestep_range": f"{config.min_timestep},{config.max_timestep}",
        "modelspec.trigger_phrase": trigger,
        "modelspec.usage_hint": f"Put {trigger!r} first in the prompt, at a strength of about 0.9.",
        "modelspec.tags": ", ".join(filter(None, (spec.kind, _short(spec.class_word)))),
    }


def base_name(base: str) -> str:
    """The last part of a base model's path or hub id, so that no path of the host gets into a file."""
    return _short(base.replace("\\", "/").rstrip("/").rpartition("/")[2])


def _short(text: str) -> str:
    return text[:LONGEST_TEXT]


_OPTIMIZERS: Mapping[Optimizer, str] = MappingProxyType(
    {
        "adamw": "torch.optim.adamw.AdamW",
        "adamw-8bit": "bitsandbytes.optim.adamw.AdamW8bit",
        "adafactor": "torch.optim._adafactor.Adafactor",
        "prodigy": "prodigyopt.prodigy.Prodigy",
        "lion": "lion_pytorch.lion_pytorch.Lion",
        "schedule-free": "schedulefree.adamw_schedulefree.AdamWScheduleFree",
    }
)
"""Module and class, as sd-scripts writes them; ours is prodigyopt's Prodigy, but for rounding."""
_SCHEDULES: Mapping[Schedule, str] = MappingProxyType({"cosine-restarts": "cosine_with_restarts"})
"""sd-scripts' names where they differ."""
