"""`python -m trainer follow`: one more process of a training, started by its first one; not for people."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable

from trainer.cli.run import hush_libraries
from trainer.contract.cache import cache_options
from trainer.contract.directory import DirectoryChannel
from trainer.contract.exits import Exit
from trainer.supervise import follow


def command(args: argparse.Namespace, _say: Callable[[str], None]) -> Exit:
    """Follow the orders on the standard input until they end."""
    # A Ctrl-C or a stop of the service reaches every process; the leader pauses, and then lets this one go.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if not follow(args.parent, signal.SIGKILL):
        return Exit.STALE
    if not args.verbose:
        hush_libraries()
    from trainer.parallel.follower import follow_orders
    from trainer.parallel.group import open_store
    from trainer.parallel.team import Team

    channel = DirectoryChannel(args.job, args.attempt)
    store = open_store(args.meet, args.size)
    cache = cache_options(args.cache, args.cache_bytes, os.environ)
    return follow_orders(channel, Team(args.rank, args.size), store, args.device, cache, sys.stdin.buffer)
