"""`python -m trainer.toy`: build the toy world's assets, or judge a LoRA file on them."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit code."""
    options = _parser().parse_args(arguments)
    # Each command brings torch with it; `--help` does without.
    from trainer.toy import commands

    return commands.run_build(options) if options.command == "build" else commands.run_judge(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainer.toy", description="The toy world of Lorelei.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="make the weights again from nothing")
    build.add_argument("assets", nargs="*", metavar="ASSET", help="vae, base, tagger; all of them if none is named")
    build.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    build.add_argument("--out", type=Path, default=Path(__file__).parent / "assets", help="folder of the assets")
    build.add_argument(
        "--work", type=Path, default=_work(), help="folder of checkpoints; a killed build goes on from it"
    )
    build.add_argument("--onto", type=Path, help="a toy SDXL folder to train the base on from, instead of from nothing")
    build.add_argument("--steps-scale", type=float, default=1.0, help="share of each recipe's steps (default: 1)")
    judge = commands.add_parser("judge", help="measure what the base, or a LoRA on it, draws")
    judge.add_argument(
        "--lora", type=Path, action="append", default=[], help="a .safetensors file; several are compared"
    )
    judge.add_argument("--weights", type=float, nargs="+", default=[0.5, 1.0], help="LoRA weights (default: 0.5 1)")
    judge.add_argument("--pictures", type=int, default=32, help="pictures per group and weight (default: 32)")
    judge.add_argument("--base", type=Path, help="a toy SDXL folder (default: the committed one)")
    judge.add_argument("--tagger", type=Path, help="a toy tagger folder (default: the committed one)")
    judge.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    judge.add_argument("--out", type=Path, default=Path("toy-judge"), help="gets table.md, scores.json and grid.png")
    return parser


def _work() -> Path:
    return Path(tempfile.gettempdir()) / "lorelei-toy"


if __name__ == "__main__":
    raise SystemExit(main())
