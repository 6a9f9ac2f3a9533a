"""`python -m trainer export`: a preset as a configuration that Kohya SS opens."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from trainer.contract.durable import write_atomic
from trainer.contract.errors import InvalidConfig
from trainer.contract.exits import Exit
from trainer.contract.kohya.exporting import export_json
from trainer.contract.presets import find_preset


def command(args: argparse.Namespace, say: Callable[[str], None]) -> Exit:
    """Write the JSON, and tell which settings kohya has no word for."""
    preset = find_preset(args.preset)
    exported = export_json(preset.config, preset.kohya)
    if args.out.suffix.lower() != ".json":
        raise InvalidConfig("--out", "must end in .json, as Kohya SS wants it")
    write_atomic(args.out, exported.data)
    say(f"{preset.name} written to {args.out}")
    if exported.lost:
        say(f"Kohya SS cannot say these: {', '.join(exported.lost)}")
    return Exit.FINISHED
