"""What a worker may take of the machine, said by the worker itself before it sees a hostile byte."""

from __future__ import annotations

import resource


def limit_resources(memory_bytes: int, seconds: int | None = None) -> None:
    """Bound this process before it sees a byte: memory, CPU time (None: not), no core file, no file writes at all."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    if seconds is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds * 2 + 1, seconds * 2 + 1))  # of all threads together
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
