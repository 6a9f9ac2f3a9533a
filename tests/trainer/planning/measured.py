"""A process of its own that trains two steps and prints how much memory that took: JSON in, bytes out."""

import ctypes
import gc
import json
import sys
from pathlib import Path

import torch

from tests.trainer.planning.shapes import load_of, shape
from trainer.contract.config import TrainConfig
from trainer.model.device import pick_numbers
from trainer.planning import trial
from trainer.planning.way import Way, Ways


def resident(field="VmRSS"):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))


def main():
    asked = json.loads(sys.argv[1])
    config = TrainConfig.from_mapping(asked["config"])
    device = torch.device("cpu")
    numbers = pick_numbers("fp32", device)
    ways = Ways(Way(asked["most_pictures"], frozenset(asked["recomputed"])), None, True)
    # What torch and the libraries take once, at their first work, is none of the job's.
    trial.RUNS = 1
    if config.compile == "on":
        # Nor is what the compiler takes, which is done with these shapes afterwards.
        trial.try_step(shape(**asked["unet"]), load_of(config), numbers, device, ways)
        # Its garbage goes back to the system, or the step would be made of that and the process hardly grow: by how
        # much depends on whether the kernels were on disk already.
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
    else:
        small = config.with_overrides({"resolution": 64, "batch_size": 1})
        trial.try_step(shape(), load_of(small), numbers, device, Ways())
    before = resident()
    Path("/proc/self/clear_refs").write_text("5")
    trial.try_step(shape(**asked["unet"]), load_of(config), numbers, device, ways)
    sys.stdout.write(json.dumps({"bytes": resident("VmHWM") - before}))


if __name__ == "__main__":
    main()
