"""`python -m trainer inspect FILE`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from trainer.contract.exits import Exit
from trainer.formats.inspect import inspect_text


def command(args: argparse.Namespace, say: Callable[[str], None]) -> Exit:
    """Print what the file holds; raises TrainerError when it is no LoRA file."""
    say(inspect_text(args.file))
    return Exit.FINISHED
