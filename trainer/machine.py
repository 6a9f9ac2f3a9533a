"""What this machine has to train on, learnt without torch, and which process holds a lock."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

DEVICE = re.compile(r"auto|cpu|cuda(?::\d{1,2})?")
_ASK_GPU = ("--query-gpu=name,memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True, slots=True)
class Machine:
    """The device a service trains on."""

    device: str
    """`cuda` or `cpu`."""
    name: str
    memory_bytes: int


def describe(device: str) -> Machine:
    """The machine behind a `--device` name; `auto` is the first GPU where there is one."""
    if device != "cpu":
        gpu = _gpu(_on_the_bus(int(device.partition(":")[2] or "0")))
        if gpu or device != "auto":
            return gpu or Machine("cuda", "a GPU that nvidia-smi does not know", 0)
    return Machine("cpu", _processor(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _on_the_bus(number: int) -> str:
    """What nvidia-smi calls CUDA's device of that number: CUDA counts only those that CUDA_VISIBLE_DEVICES names, by
    their numbers or by what their UUIDs begin with. Empty where it names too few.

    Without CUDA_DEVICE_ORDER=PCI_BUS_ID, which deploy's unit sets, cards of different kinds are counted otherwise.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return str(number)
    cards = [card.strip() for card in named.split(",")]
    return cards[number] if number < len(cards) else ""


def _gpu(card: str) -> Machine | None:
    program = shutil.which("nvidia-smi")
    if program is None or not card:
        return None
    try:
        asked = subprocess.run([program, "-i", card, *_ASK_GPU], capture_output=True, text=True, timeout=20, check=True)
        name, mebibytes = asked.stdout.strip().rsplit(",", 1)
        return Machine("cuda", name.strip(), int(mebibytes) << 20)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return "CPU"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "CPU")


def version() -> str:
    """Lorelei's version, as installed."""
    try:
        return metadata.version("lorelei")
    except metadata.PackageNotFoundError:
        return "unknown"


def lock_holder(lock: Path, mark: str) -> int | None:
    """Process that holds an flock on the file and names `mark` on its command line; None when none is found.

    From /proc/locks, so Linux only; the mark guards against a file of the same number on another disk.
    """
    try:
        inode = lock.stat().st_ino
        lines = Path("/proc/locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    for fields in (line.split() for line in lines):
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
            try:
                if mark.encode() in Path(f"/proc/{fields[4]}/cmdline").read_bytes():
                    return int(fields[4])
            except OSError:
                continue
    return None
