"""Loss, noise and timesteps of a kohya file."""

from __future__ import annotations

from types import MappingProxyType

from trainer.contract.errors import InvalidConfig
from trainer.contract.kohya.reading import Reading

_LOSSES = MappingProxyType({"l2": "mse", "huber": "huber", "smooth_l1": "smooth-l1"})
_HUBER_SCHEDULES = MappingProxyType({"snr": "snr", "exponential": "exponential", "constant": "constant"})


def read_loss(keys: Reading) -> None:
    """Everything that turns a prediction into a number; raises InvalidConfig."""
    _read_shape(keys)
    keys.take("min_snr_gamma", "min_snr_gamma", keys.number("min_snr_gamma", 0.0))
    keys.take("debiased_estimation_loss", "debiased", keys.flag("debiased_estimation_loss"))
    # No v-prediction in the file is no statement about the base, which is chosen elsewhere and knows it itself.
    keys.take("v_parameterization", "prediction", "v-prediction" if keys.flag("v_parameterization") else "auto")
    keys.take("zero_terminal_snr", "zero_terminal_snr", keys.flag("zero_terminal_snr"))
    keys.take("prior_loss_weight", "prior_weight", keys.number("prior_loss_weight", 1.0))
    masked = keys.flag("masked_loss") or keys.flag("alpha_mask")
    keys.take("masked_loss", "masked_loss", masked)
    keys.take("alpha_mask", "masked_loss", masked)
    keys.take("min_timestep", "min_timestep", keys.whole("min_timestep", 0))
    keys.take("max_timestep", "max_timestep", keys.whole("max_timestep", 0) or 1000)
    _read_noise(keys)


def _read_shape(keys: Reading) -> None:
    if keys.word("loss_type").lower() == "l1":
        raise InvalidConfig("loss_type", "l1 is not offered; the nearest is smooth_l1")
    loss = keys.choice("loss_type", _LOSSES, "l2")
    keys.take("loss_type", "loss", loss)
    if loss == "mse":
        for key in ("huber_c", "huber_schedule", "huber_scale"):
            keys.ignore(key, "only the Huber losses have it")
        return
    schedule = keys.choice("huber_schedule", _HUBER_SCHEDULES, "snr")
    keys.take("huber_schedule", "huber_schedule", schedule)
    scale = keys.number("huber_scale", 1.0)
    constant = schedule == "constant"
    # train_util.py, get_huber_threshold_if_needed: a constant threshold is the product; snr leaves the scale out.
    keys.take("huber_c", "huber_c", keys.number("huber_c", 0.1) * (scale if constant else 1.0))
    if constant:
        keys.take("huber_scale", "huber_c", keys.settings["huber_c"])
    else:
        keys.ignore("huber_scale", f"not used by huber_schedule {schedule} here")


def _read_noise(keys: Reading) -> None:
    offset = keys.number("noise_offset", 0.0) if keys.word("noise_offset_type", "Original") == "Original" else 0.0
    keys.take("noise_offset", "noise_offset", offset)
    if offset:
        keys.take("adaptive_noise_scale", "adaptive_noise_scale", keys.number("adaptive_noise_scale", 0.0))
    else:
        keys.ignore("adaptive_noise_scale", "there is no noise offset to adapt")
    keys.take("ip_noise_gamma", "input_perturbation", keys.number("ip_noise_gamma", 0.0))
