"""`python -m trainer bench`: how fast this machine trains, with and without what makes it fast."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

from trainer.cli.run import hush_libraries
from trainer.contract.durable import write_atomic, write_json
from trainer.contract.exits import Exit


def command(args: argparse.Namespace, say: Callable[[str], None]) -> Exit:
    """Measure, write JSON and page where they are asked for, and print the section."""
    if not args.verbose:
        hush_libraries()
    from trainer.bench.page import section, updated
    from trainer.bench.run import run_bench
    from trainer.bench.subject import ModelName, Subject
    from trainer.model.device import pick_device

    device = pick_device(args.device)
    usual: ModelName = "sdxl" if device.type == "cuda" else "toy"
    report = run_bench(Subject(args.model or usual, device), args.batch, args.runs, _as_typed(args))
    # Written first: what took minutes must not be lost with a terminal that reads no further.
    if args.json is not None:
        write_json(args.json, report.to_json())
    if args.page is not None:
        page: Path = args.page
        write_atomic(page, updated(page.read_text("utf-8") if page.exists() else "", report).encode(), mode=0o644)
    say(section(report))
    for file in filter(None, (args.json, args.page)):
        say(f"Written to {file}")
    return Exit.FAILED if report.unmeasured else Exit.FINISHED


def _as_typed(args: argparse.Namespace) -> str:
    """The command, without where its results go."""
    batches = f" --batch {' '.join(map(str, args.batch))}"
    model = f" --model {args.model}" if args.model else ""
    return f"python -m trainer bench{model}{batches} --runs {args.runs} --device {shlex.quote(args.device)}"
