"""Everything random in a run, each from the seed and its own place: nothing depends on what was drawn before.

So a resumed run needs no random states, and a picture's noise does not change when its batch is split.
"""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *place: int | str) -> int:
    """A 63-bit number for a place in the run, e.g. `derive(seed, "noise", step, 2)`; equal places, equal numbers."""
    text = "/".join(map(str, (seed, *place)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *place: int | str) -> torch.Generator:
    """A generator for a place in the run; always the CPU's, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(derive(seed, *place))
