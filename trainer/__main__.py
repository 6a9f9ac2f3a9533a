"""`python -m trainer`: the command line. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from trainer.cli.parser import build_parser
from trainer.contract.errors import ChannelError, ContractError, StaleAttempt
from trainer.contract.exits import Exit
from trainer.errors import MissingExtra, TrainerError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (see trainer.contract.exits)."""
    # Threads that wait must sleep, not spin: on a CPU shared with a bot a step was measured 13 times slower otherwise.
    # OpenMP reads this once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _settle_memory()
    args = build_parser().parse_args(arguments)
    debug = args.debug or bool(os.environ.get("LORELEI_DEBUG"))
    _log_to_stderr(args.verbose, debug)
    try:
        with _missing_packages():
            command = importlib.import_module(f"trainer.cli.{args.command}").command
            return int(command(args, _say))
    except (ContractError, TrainerError) as error:
        if debug:
            traceback.print_exc()
        print(f"lorelei-trainer: {error}", file=sys.stderr)
        return _exit_of(error)
    except KeyboardInterrupt:
        print("lorelei-trainer: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read the output has left (`inspect FILE | head`). Nothing may be written at exit, or it fails again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _settle_memory() -> None:
    """Have torch's memory on a GPU grow in place: freed holes are then used for whatever comes, of other buckets too.

    Read when torch first asks a GPU for memory; what the host has set, under either of its names, stays.
    """
    names = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")  # torch before 2.9 knows the first alone
    if not any(name in os.environ for name in names):
        os.environ[names[0]] = "expandable_segments:True"


def _exit_of(error: Exception) -> Exit:
    """Storage may work at the next try, so a service manager should try; a wrong job or command line stays wrong."""
    if isinstance(error, StaleAttempt):
        return Exit.STALE
    return Exit.FAILED if isinstance(error, ChannelError) else Exit.USAGE


def _log_to_stderr(verbose: int, debug: bool) -> None:
    handler = logging.StreamHandler()
    if not debug:
        handler.addFilter(expected_errors_in_short)
    logging.basicConfig(
        level=[logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)],
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[handler],
    )


def expected_errors_in_short(record: logging.LogRecord) -> bool:
    """A log filter: of an error that has a sentence of its own, which is said anyway, only the cause is logged.

    The traceback stays for errors that nobody thought of.
    """
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, (ContractError, TrainerError)):
        return True
    cause = error.__cause__
    if cause is None:
        return False
    reason = next(iter(str(cause).splitlines()), "")
    record.msg, record.args, record.exc_info = f"the reason: {type(cause).__name__}: {reason}", (), None
    return True


@contextmanager
def _missing_packages() -> Iterator[None]:
    """Raise MissingExtra where a package that is not ours cannot be imported."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "trainer"):
            raise
        raise MissingExtra(package) from error


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
