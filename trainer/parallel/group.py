"""Where the processes of a team meet: a store for short words, and torch's process group to sum over."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import check_cuda_p2p_ib_support
from torch import Tensor, distributed
from torch.distributed import FileStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import Store

from trainer.model.device import prepare_device

PATIENCE = 600.0
"""Seconds that one process waits for the others within a step, before it calls them hung."""


def open_store(folder: Path, size: int) -> FileStore:
    """The store of a team of that size: a file, so that no port is open and nobody else can write to it."""
    return FileStore(str(folder / "store"), size)


class Group:
    """The process group of a team on one machine: gloo between CPUs, NCCL between GPUs."""

    def __init__(self, rank: int, size: int, store: Store, device: torch.device) -> None:
        """Waits until all have come. Raises RuntimeError when they do not."""
        on_gpu = device.type == "cuda"
        with _environment(_place(rank, size, device)), warnings.catch_warnings():
            # It divides the cores among the processes, and says so.
            warnings.filterwarnings("ignore", message="OMP_NUM_THREADS")
            # A PartialState remembers the first one of its process; one that a library made knows of no group.
            PartialState._reset_state()
            self._state = PartialState(
                cpu=not on_gpu,
                backend="nccl" if on_gpu else "gloo",
                store=store,
                rank=rank,
                world_size=size,
                timeout=timedelta(seconds=PATIENCE),
            )
            # What the host has to know goes from host to host; over NCCL it would wait for the device.
            self._host = distributed.new_group(backend="gloo") if on_gpu else None
        prepare_device(device)

    def sum(self, values: Tensor) -> None:
        """Add the values of all processes up, in place. Raises RuntimeError when another process is gone."""
        distributed.all_reduce(values)

    def anywhere(self, flags: Sequence[bool]) -> list[bool]:
        """Which flags are set in any process. Raises RuntimeError when another process is gone."""
        values = torch.tensor(flags, dtype=torch.uint8)
        distributed.all_reduce(values, distributed.ReduceOp.MAX, group=self._host)
        return [bool(value) for value in values.tolist()]

    def leave(self) -> None:
        """Close the connections; whoever waits for this process hears of it."""
        self._state.destroy_process_group()
        PartialState._reset_state()


def _place(rank: int, size: int, device: torch.device) -> dict[str, str]:
    """What accelerate and the two backends read from the environment."""
    # Accelerate makes the GPU of the local rank its own: any other than this process's would get a context of it.
    local = device.index if device.type == "cuda" else rank
    values = {"RANK": rank, "LOCAL_RANK": local, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    # A collective that fails raises in the thread that waits for it, rather than aborting the process: only so can it
    # tell of a process that was lost. The price is that the host waits for the sum, once a step.
    values["TORCH_NCCL_BLOCKING_WAIT"] = 1
    place = {name: str(value) for name, value in values.items()}
    if "lo" in (name for _, name in socket.if_nameindex()):
        place |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}  # one machine: nobody else is to connect
    if not check_cuda_p2p_ib_support():
        place |= {"NCCL_P2P_DISABLE": "1", "NCCL_IB_DISABLE": "1"}  # as `accelerate launch` does for these cards
    return place


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Have these environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
