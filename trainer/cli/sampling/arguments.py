"""The arguments of `python -m trainer sample`; the standard library alone."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

_MOST_PICTURES = 1000


def add_sample_arguments(sample: argparse.ArgumentParser) -> None:
    """What to draw, how, and where it goes."""
    sample.add_argument(
        "--base", required=True, help="SDXL model: a diffusers folder, a .safetensors file, or a hub id"
    )
    sample.add_argument(
        "--prompt",
        action="append",
        required=True,
        metavar="TEXT",
        help="in A1111's syntax: (word:1.2), [word], BREAK, <lora:name:0.9>; may be repeated",
    )
    sample.add_argument("--negative", default="", metavar="TEXT", help="what the pictures should not show")
    _add_lora_arguments(sample)
    sample.add_argument("--size", type=_size, default=(1024, 1024), metavar="WxH", help="default: 1024x1024")
    sample.add_argument("--steps", type=int, default=30, metavar="N", help="denoising steps (default: 30)")
    sample.add_argument("--cfg", type=float, default=7.0, metavar="X", help="guidance scale (default: 7)")
    sample.add_argument("--seed", type=_seed, metavar="N", help="of the first picture (default: by chance)")
    sample.add_argument("--sampler", default="DPM++ 2M Karras", metavar="NAME", help="default: DPM++ 2M Karras")
    sample.add_argument("--count", type=_count, default=1, metavar="N", help="pictures a prompt, seed by seed")
    sample.add_argument(
        "--prediction",
        choices=("auto", "epsilon", "v-prediction"),
        default="auto",
        help="what the base predicts (default: auto, what its own files say)",
    )
    sample.add_argument(
        "--zero-terminal-snr", action="store_true", help="the base was trained with a noise schedule rescaled to that"
    )
    sample.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="number format of the base (default: auto, bf16 on a GPU that has it)",
    )
    sample.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="a folder, or a file: .png, and for a grid .webp too"
    )


def _add_lora_arguments(sample: argparse.ArgumentParser) -> None:
    """Which LoRA files act, and how strongly."""
    sample.add_argument(
        "--lora",
        action="extend",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE",
        help="LoRA files, or a folder or job folder of them; those a prompt does not name act at the first weight",
    )
    sample.add_argument("--lora-dir", type=Path, metavar="DIR", help="where <lora:name:weight> finds its files")
    sample.add_argument(
        "--weights", nargs="+", type=_weight, default=[], metavar="W", help="of --lora (default: 1; a grid: 0.5 0.8 1)"
    )
    sample.add_argument(
        "--grid", action="store_true", help="one sheet a prompt and seed: --lora's files by --weights, and without"
    )


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})\s*[xX×*]\s*(\d{1,5})", text.strip(), re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 832x1216")
    return int(match[1]), int(match[2])


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1}")
    return int(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= _MOST_PICTURES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {_MOST_PICTURES}")
    return int(text)


def _weight(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a weight")
    return value
