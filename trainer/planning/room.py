"""How much memory there is to plan with."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from trainer.contract.config import Precision
from trainer.contract.errors import InvalidConfig
from trainer.model.device import Numbers, pick_devices, pick_numbers

GIB = 1 << 30

RESERVE = 512 << 20
"""Bytes of a device left unplanned: cuBLAS's and cuDNN's workspaces, and what others take meanwhile …"""
RESERVE_SHARE = 0.04
"""… and this share of what is free: holes between tensors, which grow with them."""
CONTEXT = 600 << 20
"""Bytes that CUDA takes of a card before anything is on it; `mem_get_info` has left them out already."""
SOLD = 0.98
"""Share of the size a card is sold by that programs see: of an RTX 3060's 12 GB 11.76 GiB, of a 4090's 24 GB 23.65, as
torch's messages of a full card have it ("has a total capacity of …")."""

_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(?:gb?|gib)?", re.IGNORECASE)
_NO_LIMIT = 1 << 60
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Room:
    """Memory of a device, in bytes."""

    device: str
    """`cuda` or `cpu`."""
    free: int
    """What nothing else uses now."""

    @property
    def reserve(self) -> int:
        """What is left unplanned of it."""
        return RESERVE + int(RESERVE_SHARE * self.free)

    @property
    def usable(self) -> int:
        """What a plan may use."""
        return max(0, self.free - self.reserve)


def gigabytes(size: float) -> str:
    """A size for people, in the unit cards are sold by."""
    return f"{size / GIB:.1f} GB" if size >= GIB / 10 else f"{max(1, round(size / (1 << 20)))} MB"


def room_of(device: torch.device, processes: int = 1) -> Room:
    """The room on a device now, for each of so many processes: they share a CPU's, and have a GPU each.

    These are numbered on from this one; the fullest of them decides. Raises NoDevice.

    To be asked costs a card a context of this process; that of the process to come there is taken off.
    """
    if device.type == "cuda":
        first, *others = (torch.cuda.mem_get_info(one)[0] for one in pick_devices(str(device), processes))
        return Room("cuda", min(first, *(max(0, free - CONTEXT) for free in others)) if others else first)
    return Room("cpu", min(_available(), _left_by_cgroup()) // processes)


def room_of_card(text: str) -> Room:
    """The room on an empty card of a size as it is sold, such as `12GB`. Raises InvalidConfig."""
    found = _MEMORY.fullmatch(text.strip())
    if found is None or float(found[1]) > 4096:
        raise InvalidConfig("--memory", f"must be a size like 12GB, not {text!r:.40}")
    return Room("cuda", max(0, int(float(found[1]) * GIB * SOLD) - CONTEXT))


def numbers_of_card(precision: Precision) -> Numbers:
    """The number formats on a card that is not at hand: it is taken to have bf16, as all have since 2020."""
    return pick_numbers("bf16" if precision == "auto" else precision, torch.device("cuda"))


def _available() -> int:
    """MemAvailable of Linux; elsewhere half of what is built in."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _left_by_cgroup() -> int:
    """What a container may still take (version 2 of cgroups, else 1); its file caches do not count as taken."""
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file "),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file "),
    ):
        try:
            most, now = (int((_CGROUP / name).read_text("ascii")) for name in (limit, used))
            lines = (_CGROUP / limit).with_name("memory.stat").read_text("ascii").splitlines()
        except (OSError, ValueError):  # another version, or `max`: no limit
            continue
        cached = next((int(line.split()[1]) for line in lines if line.startswith(cache)), 0)
        return max(0, most - now + cached)
    return _NO_LIMIT
