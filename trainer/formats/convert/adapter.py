"""peft's description of an adapter (LoraConfig as JSON): where diffusers and peft keep rank and alpha.

Only what says how strong a LoRA is matters here: `r` and `lora_alpha` for all modules, `rank_pattern` and
`alpha_pattern` for those that differ, `use_rslora` for alpha / sqrt(rank) in place of alpha / rank.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from trainer.errors import LoraFileError
from trainer.formats.lora_modules import LoraModules

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


def alpha_in(adapter: Mapping[str, Any], path: str, rank: int) -> float:
    """The alpha of a module in a description, such that alpha / rank is its strength.

    Raises LoraFileError when the description has no number there, or patterns that are no paths.
    """
    alpha = adapter.get("lora_alpha")
    patterns = adapter.get("alpha_pattern") or {}
    if not isinstance(patterns, Mapping):
        raise LoraFileError("its adapter description has an alpha_pattern that is none.")
    for pattern, value in patterns.items():
        match = _PLAIN.fullmatch(pattern)
        if match is None:
            raise LoraFileError(f"its adapter description has the pattern {pattern!r:.80}; only module paths are read.")
        if f".{path}".endswith(f".{match[1]}"):
            alpha = value
            break
    if type(alpha) not in (int, float) or not math.isfinite(alpha):
        raise LoraFileError(f"its adapter description has no alpha for {path!r}; give the one it was trained with.")
    return float(alpha) * (math.sqrt(rank) if adapter.get("use_rslora") else 1.0)


def says_the_same(adapter: Mapping[str, Any], modules: LoraModules) -> bool:
    """True when the description has these modules' alphas, up to the rounding of a file's fp32."""
    try:
        return all(
            math.isclose(alpha_in(adapter, path, module.rank), module.alpha, rel_tol=1e-6)
            for path, module in modules.items()
        )
    except LoraFileError:
        return False


def _most_common(values: list[Any]) -> Any:
    return Counter(values).most_common(1)[0][0]
