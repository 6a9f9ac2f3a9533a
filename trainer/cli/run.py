"""`python -m trainer run JOB_FOLDER`: train one attempt of a job in this process."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from trainer.by_hand.result import export, last_word
from trainer.cli.progress import ProgressBar, ShownChannel
from trainer.cli.signals import stop_on_signals
from trainer.contract.cache import cache_options
from trainer.contract.errors import InvalidJob
from trainer.contract.exits import Exit
from trainer.contract.folder import JobFolder
from trainer.contract.inbox import attempt_lock, attempt_lock_path
from trainer.contract.prompts import as_prompt
from trainer.supervise import follow


def command(args: argparse.Namespace, say: Callable[[str], None]) -> Exit:
    """Train; raises InvalidJob for what is no job folder, ChannelError when another process is at it."""
    if "://" in args.job:
        raise InvalidJob("a job behind an address cannot be run yet; give the path of a job folder on this machine")
    if args.parent is not None and not follow(args.parent):
        os.kill(os.getpid(), signal.SIGTERM)  # the service died before this process could follow it
    job = JobFolder(Path(args.job).absolute())
    return train_attempt(job, args.attempt or open_next_attempt(job), args, say)


def open_next_attempt(job: JobFolder) -> int:
    """Open an attempt for this process; raises ChannelError while another process trains the job."""
    job.spec()
    attempts = job.attempts()
    if attempts and attempt_lock_path(job.path, attempts[-1]).exists():
        with attempt_lock(job.path, attempts[-1]):
            pass
    number = max([job.desired().attempt, *attempts]) + 1
    job.open_attempt(number)
    return number


def train_attempt(job: JobFolder, attempt: int, args: argparse.Namespace, say: Callable[[str], None]) -> Exit:
    """Train an open attempt with its progress shown; SIGTERM and Ctrl-C pause it with its state written.

    `args` has device, processes, service, cache, cache_bytes and out (a folder for the finished file, or None).
    """
    cache = cache_options(args.cache, args.cache_bytes, os.environ)

    def stopping() -> None:
        sys.stderr.write("\nWriting the state, then leaving; press Ctrl-C again to leave at once.\n")

    with stop_on_signals(stopping) as stop, attempt_lock(job.path, attempt), closing(ProgressBar(say)) as bar:
        if not args.verbose:
            hush_libraries()
        from trainer.job import run_job  # imports torch: seconds, in which a signal must already count
        from trainer.parallel.leader import Leader

        team = Leader(args.processes, follower_command(job, attempt, args)) if args.processes > 1 else None
        channel = ShownChannel(job.path, attempt, bar.show)
        code = run_job(channel, device=args.device, service=args.service, stop=stop, cache=cache, team=team)
    tell_end(job, attempt, code, args.out, say)
    return code


def follower_command(job: JobFolder, attempt: int, args: argparse.Namespace) -> list[str]:
    """The command of another process of this training, but for its place among them."""
    command = [sys.executable, "-m", "trainer", "follow", str(job.path), "--attempt", str(attempt)]
    command += ["--parent", str(os.getpid()), *["-v"] * args.verbose, *["--debug"] * args.debug]
    if args.cache is not None:
        command += ["--cache", str(args.cache)]
    if args.cache_bytes is not None:
        command += ["--cache-bytes", str(args.cache_bytes)]
    return command


def tell_end(job: JobFolder, attempt: int, code: Exit, out: Path | None, say: Callable[[str], None]) -> None:
    """Where the file and the samples are, or how to go on; puts the file into `out` if that is given."""
    again = f"{shlex.quote(str(job.path))}{f' --out {shlex.quote(str(out))}' if out else ''}"
    if code == Exit.PAUSED:
        say(f"Go on with: python -m trainer run {again}")
    if code != Exit.FINISHED:
        return
    finished = last_word(job, attempt)
    if finished is None or not finished.file:
        say("Stopped before the first step: there is no file.")
        return
    path = export(job, attempt, out) if out else job.file(attempt, finished.file)
    say(f"Finished: {path} ({finished.bytes / 1e6:.1f} MB), {finished.step} steps")
    if finished.message:
        say(finished.message)
    plot = job.attempt(attempt) / "loss.png"
    if plot.exists():
        say(f"Loss plot: {plot} (TensorBoard: tensorboard --logdir {shlex.quote(str(plot.parent.parent))})")
    samples = sorted((job.attempt(attempt) / "samples").glob("*-grid.*"))
    if samples:
        say(f"Samples: {samples[-1]} (all in {samples[-1].parent})")
    spec = job.spec()
    words = as_prompt(", ".join(filter(None, (spec.trigger, spec.class_word))))
    say(f"Use it with <lora:{path.stem}:0.9> and {words} in the prompt")


def hush_libraries() -> None:
    """Keep the bars and hints of the model libraries out of the terminal; -v shows them."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
