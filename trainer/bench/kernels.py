"""Whether the compiler found its kernels on disk: a first step takes far longer where it did not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from torch._dynamo.utils import counters

Cache = Literal["", "cold", "warm", "partly warm"]
"""What inductor's cache on disk was to what was compiled; empty where nothing was compiled, or where this process had
its kernels already."""
_FOUND = (("inductor", "fxgraph_cache_hit"), ("aot_autograd", "autograd_cache_hit"))
_MADE = (("inductor", "fxgraph_cache_miss"), ("inductor", "fxgraph_cache_bypass"))
"""torch's own counts, by the part that counts (torch/_inductor/codecache.py and its autograd_cache.py)."""


@dataclass(slots=True)
class Watched:
    """What was seen, once the watching is over."""

    cache: Cache = ""


@contextmanager
def watching_cache() -> Iterator[Watched]:
    """Inside, what is compiled is watched."""
    watched, (found, made) = Watched(), _counts()
    yield watched
    found, made = (now - before for now, before in zip(_counts(), (found, made), strict=True))
    if found and made:
        watched.cache = "partly warm"
    elif found or made:
        watched.cache = "warm" if found else "cold"


def _counts() -> tuple[int, int]:
    """Kernels found and made, in all."""
    found, made = (sum(counters[part][name] for part, name in names) for names in (_FOUND, _MADE))
    return found, made
