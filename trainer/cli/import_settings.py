"""`python -m trainer import`: what a kohya file comes to here, and a preset out of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from trainer.contract.durable import write_atomic
from trainer.contract.errors import InvalidConfig
from trainer.contract.exits import Exit
from trainer.contract.kohya.importing import import_json, import_toml
from trainer.contract.kohya.read import read_file
from trainer.contract.presets import of_import, preset_toml


def command(args: argparse.Namespace, say: Callable[[str], None]) -> Exit:
    """Print the report; with --out write the settings as a preset of ours."""
    data = read_file(args.file)
    imported = import_toml(data) if args.file.suffix.lower() == ".toml" else import_json(data)
    for line in imported.report.lines():
        say(line)
    if args.out is not None:
        _write(args, preset_toml(of_import(imported, args.file.stem), imported.report.reasons()).encode())
        say(f"Written to {args.out}; train with it: python -m trainer train --preset {args.out} …")
    return Exit.FINISHED


def _write(args: argparse.Namespace, data: bytes) -> None:
    if args.out.suffix.lower() != ".toml":
        raise InvalidConfig("--out", "must end in .toml, as presets do")
    write_atomic(args.out, data)
