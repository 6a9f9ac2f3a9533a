"""`python -m trainer serve INBOX`."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable

from trainer.cli.signals import stop_on_signals
from trainer.contract.cache import cache_options
from trainer.contract.exits import Exit
from trainer.service import ServiceOptions, serve
from trainer.supervise import Patience


def command(args: argparse.Namespace, _say: Callable[[str], None]) -> Exit:
    """Serve until a signal comes; a service logs what it does even without -v."""
    logging.getLogger("trainer").setLevel(min(logging.INFO, logging.getLogger().level))
    options = ServiceOptions(
        inbox=args.inbox.absolute(),
        device=args.device,
        processes=args.processes,
        name=args.name or args.inbox.absolute().name,
        poll=args.poll,
        once=args.once,
        patience=Patience(silence=args.silence),
        cache=cache_options(args.cache, args.cache_bytes, os.environ),
    )
    with stop_on_signals() as stop:
        return serve(options, stop)
