"""The arguments of every command; nothing here imports more than the standard library."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from trainer.bench.variants import BATCHES
from trainer.cli.sampling.arguments import add_sample_arguments
from trainer.contract.cache import BYTES, DEFAULT_BYTES, FOLDER
from trainer.contract.spec import KINDS
from trainer.machine import DEVICE, version
from trainer.supervise import Patience

_EXITS = """exit codes: 0 finished, 1 failed (the reason is printed), 2 wrong usage or job, 75 paused with its state
written (start it again to go on), 76 replaced by a newer attempt"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `python -m trainer`; the parsed `command` is the name of a module in trainer.cli."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-v", "--verbose", action="count", default=0, help="log more; twice for everything")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error (or set LORELEI_DEBUG=1)")
    parser = argparse.ArgumentParser(
        prog="python -m trainer", description="Train SDXL LoRA files, by hand or for the Lorelei bot.", epilog=_EXITS
    )
    parser.add_argument("--version", action="version", version=version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _add_train,
        _add_run,
        _add_serve,
        _add_plan,
        _add_bench,
        _add_sample,
        _add_inspect,
        _add_convert,
        _add_import,
        _add_export,
        _add_follow,
    ):
        add(commands, common)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_train(commands: _Commands, common: argparse.ArgumentParser) -> None:
    train = commands.add_parser("train", parents=[common], help="train on a folder of pictures", epilog=_EXITS)
    pictures = train.add_mutually_exclusive_group(required=True)
    pictures.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of pictures, with .txt captions beside them if any; kohya's img/10_lisaxl woman works too",
    )
    pictures.add_argument(
        "--dataset-config", type=_toml, metavar="FILE.toml", help="instead: kohya's list of folders with their settings"
    )
    _add_more_pictures(train)
    train.add_argument("--trigger", required=True, metavar="WORD", help="word that calls the subject, e.g. lisaxl")
    train.add_argument("--class-word", default="", metavar="WORD", help="what the subject is, e.g. woman")
    train.add_argument("--base", required=True, help="SDXL model: a diffusers folder, a .safetensors file, or a hub id")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the finished LoRA file goes")
    train.add_argument("--name", help="name of the file (the trigger word where not given); a version is added")
    train.add_argument("--preset", help="name or file (ours, Kohya SS's .json) of the settings (default: as --kind)")
    train.add_argument("--kind", choices=KINDS, default="person", help="what the pictures show (default: person)")
    train.add_argument("--epochs", type=int, metavar="N", help="passes over the pictures")
    train.add_argument("--batch", type=int, metavar="N", help="pictures per step")
    train.add_argument(
        "--prompt", action="append", default=[], metavar="TEXT", help="prompt of the sample pictures; may be repeated"
    )
    train.add_argument("--negative", default="", metavar="TEXT", help="what the sample pictures should not show")
    train.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting; may be repeated"
    )
    train.set_defaults(service="by hand")
    _add_device(train)
    _add_processes(train)
    _add_cache(train)


def _add_more_pictures(train: argparse.ArgumentParser) -> None:
    train.add_argument(
        "--regularisation",
        type=Path,
        metavar="DIR",
        help="folder of pictures of the class without the subject; kohya's reg/1_woman works too",
    )
    train.add_argument(
        "--masks",
        type=Path,
        metavar="DIR",
        help="folder of masks named as the pictures: the loss counts only where they are white (sets masked_loss)",
    )
    train.add_argument("--vae", default="", help="another VAE than the base's: a folder, a .safetensors, or a hub id")


def _add_run(commands: _Commands, common: argparse.ArgumentParser) -> None:
    run = commands.add_parser("run", parents=[common], help="train a job folder, or go on with it", epilog=_EXITS)
    run.add_argument("job", metavar="JOB_FOLDER", help="folder with a job.json")
    run.add_argument("--attempt", type=_positive, metavar="N", help="an attempt that is open already (for services)")
    run.add_argument("--service", default="by hand", metavar="NAME", help="who runs it, as the log will say")
    run.add_argument("--out", type=Path, metavar="DIR", help="copy the finished LoRA file there, never over another")
    run.add_argument("--parent", type=_positive, metavar="PID", help=argparse.SUPPRESS)
    _add_device(run)
    _add_processes(run)
    _add_cache(run)


def _add_serve(commands: _Commands, common: argparse.ArgumentParser) -> None:
    serve = commands.add_parser("serve", parents=[common], help="take jobs from an inbox, one after the other")
    serve.add_argument("inbox", type=Path, metavar="INBOX", help="folder the bot assigns jobs to; one service each")
    serve.add_argument("--name", help="name of the service (the inbox's where not given)")
    serve.add_argument("--once", action="store_true", help="leave when nothing waits any more")
    serve.add_argument(
        "--poll", type=_seconds, default=1.0, metavar="SECONDS", help="time between two looks (default: 1)"
    )
    serve.add_argument(
        "--silence",
        type=_seconds,
        default=Patience().silence,
        metavar="SECONDS",
        help="end a training that has told nothing for so long (default: 120)",
    )
    _add_device(serve)
    _add_processes(serve)
    _add_cache(serve)


def _add_plan(commands: _Commands, common: argparse.ArgumentParser) -> None:
    plan = commands.add_parser("plan", parents=[common], help="memory, time and disk of a training, before it starts")
    plan.add_argument("job", type=Path, nargs="?", metavar="JOB_FOLDER", help="folder with a job.json")
    plan.add_argument("--images", type=Path, metavar="DIR", help="instead: a folder of pictures, as for train")
    plan.add_argument("--pictures", type=_positive, metavar="N", help="instead: so many pictures")
    plan.add_argument("--base", help="SDXL model: a diffusers folder, a .safetensors file, or a hub id")
    plan.add_argument("--vae", default="", help="another VAE than the base's, as for train")
    plan.add_argument("--preset", help="name or file of the settings (default: as --kind)")
    plan.add_argument("--kind", choices=KINDS, default="person", help="what the pictures show (default: person)")
    plan.add_argument("--epochs", type=int, metavar="N", help="passes over the pictures")
    plan.add_argument("--batch", type=int, metavar="N", help="pictures per step")
    plan.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting; may be repeated"
    )
    plan.add_argument("--memory", metavar="SIZE", help="plan for an empty card of that size, such as 12GB")
    plan.add_argument(
        "--no-trial",
        dest="trial",
        action="store_false",
        help="do not try out steps, samples and files to tell the time",
    )
    plan.add_argument("--json", action="store_true", help="print the plan as JSON")
    _add_device(plan)
    _add_processes(plan)


def _add_sample(commands: _Commands, common: argparse.ArgumentParser) -> None:
    sample = commands.add_parser("sample", parents=[common], help="draw pictures, with LoRA files or without")
    add_sample_arguments(sample)
    _add_device(sample)


def _add_bench(commands: _Commands, common: argparse.ArgumentParser) -> None:
    bench = commands.add_parser("bench", parents=[common], help="how fast this machine trains, and why")
    bench.add_argument(
        "--model",
        choices=("toy", "sdxl"),
        help="shape of the model: the toy's, or SDXL's own with random weights, which takes 7 GB in TMPDIR for a while "
        "(default: sdxl on a GPU, toy on a CPU)",
    )
    bench.add_argument(
        "--batch", type=_positive, nargs="+", default=list(BATCHES), metavar="N", help="batch sizes (1 2 4 5 8)"
    )
    bench.add_argument("--runs", type=_positive, default=10, metavar="N", help="timed steps of each variant (10)")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    bench.add_argument(
        "--page", type=Path, metavar="FILE.md", help="put the tables into a page, e.g. docs/BENCHMARKS.md"
    )
    _add_device(bench)


def _add_inspect(commands: _Commands, common: argparse.ArgumentParser) -> None:
    inspect = commands.add_parser("inspect", parents=[common], help="what a LoRA file holds: rank, modules, metadata")
    inspect.add_argument("file", type=Path, metavar="FILE", help="a .safetensors file")


def _add_convert(commands: _Commands, common: argparse.ArgumentParser) -> None:
    convert = commands.add_parser("convert", parents=[common], help="a LoRA file in the form another program reads")
    convert.add_argument("source", type=Path, metavar="IN", help="a LoRA file, or a folder of peft's")
    convert.add_argument("target", type=Path, metavar="OUT", help="a new .safetensors file; for peft a new folder")
    convert.add_argument(
        "--to",
        required=True,
        choices=("kohya", "diffusers", "peft"),
        help="kohya: for A1111 and ComfyUI; diffusers: one file; peft: a folder",
    )
    convert.add_argument(
        "--alpha",
        type=_alpha,
        metavar="A",
        help="alpha it was trained with, where the file does not say it (default: the rank)",
    )


def _add_import(commands: _Commands, common: argparse.ArgumentParser) -> None:
    reader = commands.add_parser("import", parents=[common], help="settings of Kohya SS (.json) or sd-scripts (.toml)")
    reader.add_argument("file", type=Path, metavar="FILE", help="a saved configuration; paths and tokens are not read")
    reader.add_argument("--out", type=Path, metavar="PRESET.toml", help="write the settings as a preset")
    reader.set_defaults(command="import_settings")


def _add_export(commands: _Commands, common: argparse.ArgumentParser) -> None:
    writer = commands.add_parser("export", parents=[common], help="a preset as a configuration for Kohya SS")
    writer.add_argument("preset", metavar="PRESET", help="name of a preset, or a file with settings")
    writer.add_argument("--out", type=Path, required=True, metavar="FILE.json", help="where the configuration goes")
    writer.set_defaults(command="export_settings")


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        type=_device,
        default="auto",
        help="auto, cpu, cuda or cuda:N (default: auto, a GPU if there is one)",
    )


def _add_processes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes",
        type=int,
        choices=range(1, 17),
        default=1,
        metavar="N",
        help="share each step among N processes: --device and the GPUs numbered next, or the CPU's cores (default: 1)",
    )


def _add_follow(commands: _Commands, common: argparse.ArgumentParser) -> None:
    """The other processes of a training, which its first one starts; without a help text it is not listed."""
    follow = commands.add_parser("follow", parents=[common])
    follow.add_argument("job", type=Path)
    follow.add_argument("--meet", type=Path, required=True)
    for name in ("attempt", "parent", "rank", "size"):
        follow.add_argument(f"--{name}", type=_positive, required=True)
    _add_device(follow)
    _add_cache(follow)


def _add_cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help=f"keep encoded pictures there for later trainings (or set {FOLDER})"
    )
    parser.add_argument(
        "--cache-bytes",
        type=_positive,
        metavar="N",
        help=f"size of that folder, beyond which the longest unused go (or set {BYTES}; default: {DEFAULT_BYTES})",
    )


def _device(text: str) -> str:
    if not DEVICE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, cpu, cuda, cuda:0, cuda:1 …")
    return text


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _toml(text: str) -> Path:
    if not text.lower().endswith(".toml"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .toml")
    return Path(text)


def _alpha(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds")
    return value
