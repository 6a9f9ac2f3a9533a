"""Tensors as they are at one moment, copied while the training goes on.

The training lends the tensors it wants kept, and a thread of their own copies them. Passes forward and backward only
read them, so these go on meanwhile; before anything changes them, the training asks for the copies. Whoever asks first
makes them, whoever asks meanwhile waits for that. So the training waits at most for a copy that is being made: when the
thread has not come to it on a busy machine, the training makes it there and then.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress

import torch
from torch import Tensor


class Snapshot:
    """Copies of tensors, or the tensors themselves as long as nobody has copied them; any thread may ask."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Lent as they are now: whoever changes one in place calls `take` before."""
        self._lent = dict(tensors)
        self._copies: dict[str, Tensor] = {}
        self._taking = threading.Lock()
        self._device = next((tensor.device for tensor in self._lent.values() if tensor.is_cuda), None)
        self._written = torch.cuda.current_stream(self._device).record_event() if self._device else None
        """What the card still has to do before the tensors are what they are."""

    def start(self) -> None:
        """Have the copies made from now on.

        The thread does not stand back, as the one that writes does: on a busy machine the training would wait for it.
        """
        threading.Thread(target=self._copy_beside, name="copier", daemon=True).start()

    def take(self) -> dict[str, Tensor]:
        """The copies: on the CPU, contiguous. Nothing of the originals is needed or held on to afterwards.

        Raises what copying raises (no memory, a card that failed); who asks next tries again.
        """
        with self._taking:
            if self._lent:
                self._copies = self._copied()
                self._lent = {}
            return self._copies

    def _copy_beside(self) -> None:
        # Whoever needs the copies tries again, and meets the error himself.
        with suppress(Exception):
            self.take()

    def _copied(self) -> dict[str, Tensor]:
        if self._device is None or self._written is None:
            return copied(self._lent)
        # The training's stream goes on with the next step; this one begins where the tensors are complete.
        beside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        beside.wait_event(self._written)
        with torch.cuda.stream(beside):
            copies = copied(self._lent)
        beside.synchronize()
        return copies


@torch.no_grad()
def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, contiguous (at least one tensor); the interpreter is free for other threads meanwhile."""
    copies = {
        name: torch.empty_like(tensor, device="cpu", memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    torch._foreach_copy_([*copies.values()], [*tensors.values()])
    return copies
