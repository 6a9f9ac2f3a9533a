"""Optimizer, rates and schedule of a kohya file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from trainer.contract.errors import InvalidConfig
from trainer.contract.kohya.keys import ARGUMENTS
from trainer.contract.kohya.reading import Reading

ADAFACTOR_BOUND = 1e-2
"""The relative step is min(1e-2, 1 / sqrt(step)) in kohya's Adafactor (transformers.optimization) and in ours."""
_GUI_RATE = 1e-4
_SD_SCRIPTS_RATE = 2e-6


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of our optimizers, with what its package takes for the values that kohya leaves to it."""

    name: str
    weight_decay: float = 0.01
    beta_2: float = 0.999


_ADAMW, _ADAMW_8BIT = _Kind("adamw"), _Kind("adamw-8bit")
_ADAFACTOR, _PRODIGY = _Kind("adafactor", 0.0), _Kind("prodigy", 0.0)
_LION, _SCHEDULE_FREE = _Kind("lion", 0.0, 0.99), _Kind("schedule-free", 0.0)
_TRAINED: Mapping[str, _Kind] = MappingProxyType(
    {
        "AdamW": _ADAMW,
        "PagedAdamW": _ADAMW,  # paging moves states to the CPU; the arithmetic is the same
        "PagedAdamW32bit": _ADAMW,
        "AdamW8bit": _ADAMW_8BIT,
        "PagedAdamW8bit": _ADAMW_8BIT,
        "Adafactor": _ADAFACTOR,
        "Prodigy": _PRODIGY,
        "Lion": _LION,
        "Lion8bit": _LION,  # the same rule with rounded states
        "PagedLion8bit": _LION,
        "AdamWScheduleFree": _SCHEDULE_FREE,
    }
)
_NEAREST = MappingProxyType(
    {
        "dadapt": "Prodigy",  # by the same authors, its successor
        "prodigyplus": "Prodigy",
        "bitsandbytes.optim.ademamix": "AdamW8bit",
        "bitsandbytes.optim.pagedademamix": "AdamW8bit",
        "ademamix": "AdamW8bit",
        "pytorch_optimizer.came": "Adafactor",
        "radamschedulefree": "AdamWScheduleFree",
        "sgdschedulefree": "AdamWScheduleFree",
        "sgd": "AdamW",
    }
)
_SCHEDULES = MappingProxyType(
    {
        "constant": "constant",
        "constant_with_warmup": "constant",
        "cosine": "cosine",
        "cosine_with_restarts": "cosine-restarts",
        "linear": "linear",
        "polynomial": "polynomial",
        "adafactor": "constant",
    }
)


def read_optimizer(keys: Reading, encoders: bool) -> None:
    """Optimizer, rates, schedule; `encoders` is whether the network reaches the text encoders. Raises InvalidConfig."""
    kind = _kind(keys)
    name = "optimizer" if keys.gui else "optimizer_type"
    keys.take(name, "optimizer", kind.name)
    keys.take(name, "weight_decay", kind.weight_decay)
    keys.take(name, "beta_2", kind.beta_2)
    keys.ignore("use_8bit_adam", f"{name} says it")
    fixed_rate = _read_arguments(keys, kind)
    keys.take("max_grad_norm", "max_grad_norm", keys.number("max_grad_norm", 1.0))
    if kind is _ADAFACTOR and not fixed_rate:
        _read_relative_step(keys, encoders)
    else:
        _read_rates(keys, encoders)
        if kind is _SCHEDULE_FREE:
            _no_schedule(keys, "schedule-free needs no schedule, and sd-scripts gives it none")
        else:
            _read_schedule(keys, kind)


def _no_schedule(keys: Reading, why: str) -> None:
    keys.settings["schedule"] = "constant"
    for key in ("lr_scheduler", "lr_scheduler_num_cycles", "lr_scheduler_power", "lr_warmup", "lr_warmup_steps"):
        keys.ignore(key, why)


def _kind(keys: Reading) -> _Kind:
    name = "optimizer" if keys.gui else "optimizer_type"
    default = "AdamW8bit" if keys.flag("use_8bit_adam") else "AdamW"
    word = keys.word(name, default).lower()
    for start, near in _NEAREST.items():
        if word.startswith(start):
            raise InvalidConfig(name, f"is not one that Lorelei has; the nearest is {near}, so put that in its place")
    return keys.choice(name, _TRAINED, default)


def _read_arguments(keys: Reading, kind: _Kind) -> bool:
    """Weight decay and betas out of optimizer_args, as numbers; True for an Adafactor with a rate of its own."""
    arguments = keys.arguments("optimizer_args")
    decay = _number(arguments.pop("weight_decay", ""))
    if decay is not None:
        keys.take("optimizer_args", "weight_decay", decay)
    # Adafactor has none: there they are an argument like any other.
    text = "" if kind is _ADAFACTOR else arguments.pop("betas", "")
    betas = [_number(part) for part in text.strip("()[]").split(",")]
    if len(betas) == 2 and betas[0] is not None and betas[1] is not None:
        keys.take("optimizer_args", "beta_1", betas[0])
        keys.take("optimizer_args", "beta_2", betas[1])
    fixed_rate = False
    if kind is _ADAFACTOR:
        relative, scaled, warm = (
            arguments.pop(name, default).lower() == "true"
            for name, default in (("relative_step", "True"), ("scale_parameter", "True"), ("warmup_init", "False"))
        )
        if warm or not scaled:
            raise InvalidConfig(
                "optimizer_args",
                "ask for an Adafactor that does not scale by its weights, or warms up by itself; take AdamW",
            )
        fixed_rate = not relative
    if arguments:
        keys.refuse("optimizer_args", ARGUMENTS)
    elif keys.has("optimizer_args"):
        keys.ignore("optimizer_args", "read for numbers that have settings here")
    return fixed_rate


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read_relative_step(keys: Reading, encoders: bool) -> None:
    """sd-scripts drops all rates and the schedule where Adafactor finds its own step (train_util.py, get_optimizer)."""
    keys.take("optimizer" if keys.gui else "optimizer_type", "learning_rate", ADAFACTOR_BOUND)
    trained = encoders and _rates(keys)[1] > 0
    _take_encoders(keys, trained, 0.0)
    why = "Adafactor's relative step has its own rate and schedule"
    keys.ignore("learning_rate", why)
    keys.ignore("unet_lr", why)
    _no_schedule(keys, why)


def _read_rates(keys: Reading, encoders: bool) -> None:
    unet, text = _rates(keys)
    own = "unet_lr" if keys.number("unet_lr", 0.0) else "learning_rate"
    keys.take(own, "learning_rate", unet)
    if own == "unet_lr":
        keys.ignore("learning_rate", "unet_lr and text_encoder_lr stand for it")
    _take_encoders(keys, encoders and text > 0, text)


def _rates(keys: Reading) -> tuple[float, float]:
    """Rates of the UNet and of the text encoders; 0 for encoders that are not trained. Raises InvalidConfig.

    The GUI trains one part alone where the other's rate is 0, and both at learning_rate where both are
    (kohya_gui/lora_gui.py, resolve_network_train_flags); sd-scripts has switches for it, and no rate is learning_rate.
    """
    fallback = keys.number("learning_rate", _GUI_RATE if keys.gui else _SD_SCRIPTS_RATE, empty=0.0)
    missing = _GUI_RATE if keys.gui else fallback
    unet, text = (keys.number(key, missing, empty=0.0) for key in ("unet_lr", "text_encoder_lr"))
    if keys.gui and not unet and not text:
        unet = text = fallback
    if keys.flag("network_train_text_encoder_only") or (not unet and text):
        raise InvalidConfig("unet_lr", "is 0, so that only text encoders would be trained; give the UNet a rate")
    if not unet:
        raise InvalidConfig("learning_rate", "is 0, so that nothing would be trained; give a rate above 0")
    return unet, 0.0 if keys.flag("network_train_unet_only") else text


def _take_encoders(keys: Reading, trained: bool, rate: float) -> None:
    for number in (1, 2):
        keys.take("text_encoder_lr", f"text_encoder_{number}", trained)
        if trained and rate:
            keys.take("text_encoder_lr", f"text_encoder_{number}_rate", rate)
    keys.ignore("network_train_unet_only", "text_encoder_lr and this decide together")


def _read_schedule(keys: Reading, kind: _Kind) -> None:
    name = keys.word("lr_scheduler", "cosine" if keys.gui else "constant")
    schedule = keys.choice("lr_scheduler", _SCHEDULES, "cosine" if keys.gui else "constant")
    keys.take("lr_scheduler", "schedule", schedule)
    if name.lower() == "adafactor" and kind is not _ADAFACTOR:
        raise InvalidConfig("lr_scheduler", "adafactor goes with the Adafactor optimizer only; take constant")
    if schedule == "cosine-restarts":
        keys.take("lr_scheduler_num_cycles", "schedule_cycles", keys.whole("lr_scheduler_num_cycles", 1))
    else:
        keys.ignore("lr_scheduler_num_cycles", "only cosine_with_restarts has cycles")
    if schedule == "polynomial":
        keys.take("lr_scheduler_power", "schedule_power", keys.number("lr_scheduler_power", 1.0))
    else:
        keys.ignore("lr_scheduler_power", "only polynomial has a power")
    if name.lower() == "constant":
        for key in ("lr_warmup", "lr_warmup_steps"):
            keys.ignore(key, "kohya's constant schedule has no warm-up")
    else:
        _read_warmup(keys)


def _read_warmup(keys: Reading) -> None:
    """lr_warmup is a percentage; lr_warmup_steps beats it, and is a share of all steps below 1 in sd-scripts
    (kohya_gui/common_gui.py, resolve_lr_warmup_steps; train_util.py, get_scheduler_fix)."""
    steps = keys.number("lr_warmup_steps", 0.0)
    if 0 < steps < 1:
        keys.take("lr_warmup_steps", "warmup_share", steps)
    elif steps:
        keys.take("lr_warmup_steps", "warmup_steps", int(steps))
        keys.ignore("lr_warmup", "lr_warmup_steps counts")
    else:
        keys.take("lr_warmup", "warmup_share", keys.number("lr_warmup", 0.0) / 100)
