"""Which optimizers come from packages that are optional extras, told before anything heavy starts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType

from trainer.contract.config import Optimizer
from trainer.errors import MissingExtra

_PACKAGES: Mapping[Optimizer, tuple[str, str]] = MappingProxyType(
    {
        "adamw-8bit": ("bitsandbytes", "bitsandbytes"),
        "lion": ("lion-pytorch", "optimizers"),
        "schedule-free": ("schedulefree", "optimizers"),
    }
)
"""Package, and the extra of this project that installs it."""


def check_optimizer(optimizer: Optimizer) -> None:
    """Raise MissingExtra when the optimizer's package is not installed. Imports nothing of it."""
    package, extra = _PACKAGES.get(optimizer, ("", ""))
    if package and find_spec(package.replace("-", "_")) is None:
        raise MissingExtra(package, extra)
