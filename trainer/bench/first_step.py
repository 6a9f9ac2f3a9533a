"""First steps with compiling, each in a process of its own as a job's is: with an empty cache of kernels on disk, and
with what that left there.

    python -m trainer.bench.first_step MODEL DEVICE BATCH
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from trainer.bench.costs import Figure
from trainer.bench.kernels import Cache
from trainer.bench.steps import begin
from trainer.bench.subject import MODELS, Subject
from trainer.bench.variants import compiled
from trainer.bench.whole import BenchFailed

_CACHES = ("an empty cache", "a full cache")
"""What the first process finds on disk, and the one after it."""


def compiled_first_steps(subject: Subject, batch: int, work: Path) -> list[Figure]:
    """The first step of ours, compiled, from nothing on the device to its end. Raises BenchFailed."""
    figures = []
    for found in _CACHES:
        seconds, cache = _in_a_process(subject, batch, work / "kernels")
        if not cache:
            raise BenchFailed("the compiler compiled nothing in a first step")
        meaning = f"batch {batch}, a process of its own; by the compiler's counts the cache was {cache}"
        figures.append(Figure(f"first step, compiled, {found}", seconds, "s", meaning))
    return figures


def _in_a_process(subject: Subject, batch: int, cache: Path) -> tuple[float, Cache]:
    """Seconds of the first step, and what the cache was to it."""
    environment = {
        **os.environ,
        "TORCHINDUCTOR_CACHE_DIR": str(cache),
        "TRITON_CACHE_DIR": str(cache / "triton"),
    }
    command = [sys.executable, "-m", "trainer.bench.first_step", subject.name, str(subject.device), str(batch)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no word of it"])[-1]
        raise BenchFailed(f"the process that was to take a first step ended with {done.returncode}: {reason}")
    told = json.loads(done.stdout.splitlines()[-1])
    return told["seconds"], told["cache"]


def main() -> None:
    """The process's own part: prints what it measured as JSON."""
    asked, device, batch = sys.argv[1:]
    [name] = [one for one in MODELS if one == asked]
    ready = begin(compiled(int(batch)), Subject(name, torch.device(device)))
    sys.stdout.write(json.dumps({"seconds": ready.first_step_seconds, "cache": ready.compiler_cache}) + "\n")


if __name__ == "__main__":
    main()
