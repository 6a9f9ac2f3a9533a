"""What kind of LoRA a kohya file trains, and on which modules."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from trainer.contract.errors import InvalidConfig
from trainer.contract.kohya.keys import ARGUMENTS
from trainer.contract.kohya.reading import Reading

_STANDARD, _LOCON, _LYCORIS = "Standard", "Kohya LoCon", "LyCORIS/LoCon"
_TRAINED = MappingProxyType({**{kind: kind for kind in (_STANDARD, _LOCON, _LYCORIS)}, "LoCon": _LYCORIS})
_OTHERS = frozenset(
    {
        "Kohya LoHa",
        "Kohya LoKr",
        "Kohya DyLoRA",
        "LoRA-FA",
        *(f"LyCORIS/{name}" for name in ("LoHa", "LoKr", "DyLoRA", "GLoRA", "iA3", "Diag-OFT", "BOFT")),
        "LyCORIS/Native Fine-Tuning",
        *("Flux1", "Flux1 OFT", "HunyuanImage-2.1", "Anima", "Lumina"),
    }
)
_PRESETS: Mapping[str, tuple[bool, str, bool]] = MappingProxyType(
    {
        "full": (True, "kohya", True),
        "full-lin": (False, "kohya", True),
        "attn-mlp": (False, "kohya", True),
        "attn-only": (False, "attention", True),
        "unet-only": (True, "kohya", False),
        "unet-transformer-only": (False, "kohya", False),
    }
)
"""LyCORIS presets (KohakuBlueleaf/LyCORIS, lycoris/config.py): convolutions too, which linear layers, text encoders."""
_NETWORK_ARGUMENTS = MappingProxyType(
    {"conv_dim": "conv_dim", "conv_alpha": "conv_alpha", "dora_wd": "dora_wd", "preset": "LyCORIS_preset"}
)
"""Arguments of sd-scripts' network_args that are read, and the GUI's names for them."""
_ALGORITHMS = frozenset({"lora", "locon", ""})


def read_network(keys: Reading) -> bool:
    """Rank, alpha, targets, convolutions and DoRA; False where the file leaves the text encoders out.

    Raises InvalidConfig for networks that Lorelei does not train.
    """
    kind = _kind(keys)
    rank = keys.whole("network_dim", 8 if keys.gui else 4)
    keys.take("network_dim", "rank", rank)
    # sd-scripts: "None or 0 means alpha = dim" (networks/lora.py, create_network)
    keys.take("network_alpha", "alpha", keys.number("network_alpha", 1.0) or float(rank))
    keys.take("network_dropout", "dropout", keys.number("network_dropout", 0.0))
    keys.take("scale_weight_norms", "max_norm", keys.number("scale_weight_norms", 0.0))
    convolutions, targets, encoders = kind == _LOCON, "kohya", True
    if kind == _LYCORIS:
        convolutions, targets, encoders = keys.choice("LyCORIS_preset", _PRESETS, "full")
        keys.take("LyCORIS_preset", "targets", targets)
        keys.take("dora_wd", "decompose", keys.flag("dora_wd"))
    else:
        keys.ignore("LyCORIS_preset", f"{kind} is no LyCORIS network")
        keys.ignore("dora_wd", f"{kind} has no DoRA")
    keys.take("LoRA_type" if keys.gui else "network_module", "targets", targets)
    if convolutions:
        _read_convolutions(keys, kind)
    else:
        _no_convolutions(keys, f"{kind} leaves convolutions alone")
    return encoders and not _caches_texts(keys)


def _caches_texts(keys: Reading) -> bool:
    """True where the file keeps what the text encoders say, which sd-scripts only does when they are not trained."""
    name = "sdxl_cache_text_encoder_outputs" if keys.gui else "cache_text_encoder_outputs"
    if not keys.flag(name):
        return False
    keys.take(name, "text_encoder_1", False)
    keys.take(name, "text_encoder_2", False)
    return True


def _read_convolutions(keys: Reading, kind: str) -> None:
    rank, alpha = keys.whole("conv_dim", 0), keys.number("conv_alpha", 0.0 if kind == _LYCORIS else 1.0)
    if kind == _LYCORIS:  # 0 is what the linear layers have (lycoris/kohya.py, create_network)
        rank, alpha = rank or keys.settings["rank"], alpha or keys.number("network_alpha", 1.0)
    if rank:
        keys.take("conv_dim", "conv_rank", rank)
        keys.take("conv_alpha", "conv_alpha", alpha or float(rank))
    else:
        _no_convolutions(keys, "conv_dim is 0")


def _no_convolutions(keys: Reading, why: str) -> None:
    keys.ignore("conv_dim", why)
    keys.ignore("conv_alpha", why)


def _kind(keys: Reading) -> str:
    """Standard, Kohya LoCon or LyCORIS/LoCon; raises InvalidConfig for the others, with the nearest."""
    if not keys.gui:
        return _kind_of_module(keys)
    word = keys.word("LoRA_type", _STANDARD)
    if word not in _TRAINED and word in _OTHERS:
        near = _LYCORIS if word.startswith(("LyCORIS/", "Kohya Lo")) else _STANDARD
        raise InvalidConfig("LoRA_type", f"{word} is a network that Lorelei does not train; the nearest is {near}")
    return keys.choice("LoRA_type", _TRAINED, _STANDARD)


def _kind_of_module(keys: Reading) -> str:
    """The same out of sd-scripts' network_module and network_args, whose values are put where the GUI has them."""
    module = keys.word("network_module", "networks.lora")
    arguments = keys.arguments("network_args")
    if module not in ("networks.lora", "lycoris.kohya") or arguments.get("algo", "") not in _ALGORITHMS:
        raise InvalidConfig("network_module", "is a network that Lorelei does not train; the nearest is networks.lora")
    for name, gui_name in _NETWORK_ARGUMENTS.items():
        if name in arguments:
            keys.stand_in(gui_name, arguments[name], "network_args")
    if arguments.keys() - _NETWORK_ARGUMENTS.keys() - {"algo"}:
        keys.refuse("network_args", ARGUMENTS)
    keys.ignore("network_args", "read for numbers that have settings here")
    return _LYCORIS if module == "lycoris.kohya" else _LOCON if "conv_dim" in arguments else _STANDARD
