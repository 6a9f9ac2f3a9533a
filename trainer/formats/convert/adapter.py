"""peft's description of an adapter (LoraConfig as JSON): where diffusers and peft keep rank and alpha.

Only what says how strong a LoRA is matters here: `r` and `lora_alpha` for all modules, `rank_pattern` and
`alpha_pattern` for those that differ, `use_rslora` for alpha / sqrt(rank) in place of alpha / rank.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainer.errors import LoraFileError

if TYPE_CHECKING:  # it imports torch, and `inspect` answers without
    from trainer.formats.lora_modules import LoraModules

ADAPTER = "lora_adapter_metadata"
"""Metadata entry of diffusers' files: each part's description, its keys behind the part's name, as JSON."""
PARTS = ("unet", "text_encoder", "text_encoder_2")

_LARGEST = 1e9
"""No rank or alpha comes near it."""

_PLAIN = re.compile(r"\^?([\w.]+)\$?")
"""A pattern that is only a path; anything else could be a regular expression that takes forever."""


def describe_adapter(modules: LoraModules) -> dict[str, Any]:
    """The description of one part's modules, by path inside the part.

    Paths of text encoders come without `text_model`: peft takes them for ends of paths, and only so do they fit the
    first encoder before and after transformers 5.6.
    """
    short = {path.removeprefix("text_model."): module for path, module in modules.items()}
    rank = _most_common([module.rank for module in short.values()])
    alpha = _most_common([module.alpha for module in short.values()])
    return {
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {path: module.rank for path, module in sorted(short.items()) if module.rank != rank},
        "alpha_pattern": {path: module.alpha for path, module in sorted(short.items()) if module.alpha != alpha},
        "target_modules": sorted(short),
        "use_dora": any(module.magnitudes is not None for module in short.values()),
        "use_rslora": False,
    }


def descriptions(text: str | None) -> dict[str, dict[str, Any]]:
    """Each part's description in diffusers' metadata entry; raises LoraFileError when the entry is no JSON object."""
    try:
        value = json.loads(text or "{}")
        entries = [(*key.partition("."), entry) for key, entry in value.items()]
    except (ValueError, AttributeError, RecursionError) as error:
        raise LoraFileError(f"its metadata entry {ADAPTER} is damaged.") from error
    parts: dict[str, dict[str, Any]] = {}
    for part, _, key, entry in entries:
        if part in PARTS:
            parts.setdefault(part, {})[key] = entry
    return parts


def alpha_in(adapter: Mapping[str, Any], path: str, rank: int) -> float:
    """The alpha of a module in a description, such that alpha / rank is its strength.

    Raises LoraFileError when the description has no number there, or patterns that are no paths.
    """
    return _number(adapter, "alpha", "lora_alpha", path) * (math.sqrt(rank) if adapter.get("use_rslora") else 1.0)


def says_the_same(adapter: Mapping[str, Any], modules: LoraModules) -> bool:
    """True when the description has these modules' ranks and alphas, up to the rounding of a file's fp32."""
    dora = any(module.magnitudes is not None for module in modules.values())
    try:
        return bool(adapter.get("use_dora")) == dora and all(
            _number(adapter, "rank", "r", path) == module.rank
            and math.isclose(alpha_in(adapter, path, module.rank), module.alpha, rel_tol=1e-6)
            for path, module in modules.items()
        )
    except LoraFileError:
        return False


def _number(adapter: Mapping[str, Any], name: str, key: str, path: str) -> float:
    """A module's own number in `<name>_pattern`, or the one of all in `key`."""
    value = adapter.get(key)
    patterns = adapter.get(f"{name}_pattern") or {}
    if not isinstance(patterns, Mapping):
        raise LoraFileError(f"its adapter description has a {name}_pattern that is none.")
    for pattern, own in patterns.items():
        match = _PLAIN.fullmatch(pattern)
        if match is None:
            raise LoraFileError(f"its adapter description has the pattern {pattern!r:.80}; only module paths are read.")
        if f".{path}".endswith(f".{match[1]}"):
            value = own
            break
    # A whole number may have more digits than a float can hold; comparing it, unlike isfinite, does not mind.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST:
        raise LoraFileError(f"its adapter description has no {name} for {path!r}, or one that is no number.")
    return value


def _most_common(values: list[Any]) -> Any:
    return Counter(values).most_common(1)[0][0]
