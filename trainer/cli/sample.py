"""`python -m trainer sample`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from trainer.cli.run import hush_libraries
from trainer.contract.exits import Exit


def command(args: argparse.Namespace, say: Callable[[str], None]) -> Exit:
    """Draw pictures; raises TrainerError for what cannot be drawn, and ChannelError when the disk refuses."""
    if not args.verbose:
        hush_libraries()
    from trainer.cli.sampling.session import run  # imports the model libraries, which talk while they are imported

    run(args, say)
    return Exit.FINISHED
