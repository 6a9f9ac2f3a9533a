"""What a step is predicted to take against what a process took that did it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.trainer.planning.shapes import load_of, shape
from trainer.contract.config import TrainConfig
from trainer.model.device import pick_numbers
from trainer.planning.choose import Chooser, by_price
from trainer.planning.memory import held_of
from trainer.planning.simulate import simulate
from trainer.planning.way import Way

CPU = torch.device("cpu")
SETTINGS = {"rank": 8, "bucket_step": 64, "precision": "fp32", "epochs": 1}
CASES = {
    "one picture": ({"batch_size": 1, "resolution": 512}, 0, 0.0),
    "three pictures": ({"batch_size": 3, "resolution": 384}, 0, 0.0),
    "a third of the blocks recomputed": ({"batch_size": 3, "resolution": 384}, 0, 0.34),
    "all blocks recomputed": ({"batch_size": 4, "resolution": 384}, 0, 1.0),
    "one at a time": ({"batch_size": 3, "resolution": 512}, 1, 0.0),
    "compiled": ({"batch_size": 3, "resolution": 384, "compile": "on"}, 0, 0.0),
    "some shown once more": ({"batch_size": 2, "resolution": 384, "preservation_weight": 1.0}, 0, 0.0),
}


def chooser(unet, config):
    base, load, numbers = shape(**unet), load_of(config), pick_numbers("fp32", CPU)
    simulation = simulate(base, config, numbers)
    return Chooser(simulation, load, held_of(base, simulation, load, numbers, on_gpu=False))


def measured(unet, config, way) -> int:
    asked = {"unet": unet, "config": config.to_mapping(), "most_pictures": way.most_pictures}
    asked["recomputed"] = sorted(way.recomputed)
    # Memory goes back to the system when it is freed, so that the process is as large as its tensors.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainer.planning.measured", json.dumps(asked)],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])["bytes"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's account of a process")
@pytest.mark.parametrize("case", CASES)
def test_a_step_takes_what_was_predicted(case):
    settings, most, share = CASES[case]
    if settings.get("compile") == "on" and shutil.which("g++") is None:
        pytest.skip("torch's compiler needs one of C++")
    config = TrainConfig.from_mapping({**SETTINGS, **settings})
    unet = {"block_out_channels": [96, 192], "norm_num_groups": 32}
    planned = chooser(unet, config)
    order = by_price(planned.simulation.one)
    way = Way(most, frozenset(order[: round(share * len(order))]))
    predicted, took = planned.need(way), measured(unet, config, way)
    assert predicted == pytest.approx(took, rel=0.15)
    # Within 2.2 % on an AMD EPYC and 3.7 % on an Intel Xeon (Sapphire Rapids); compiled, 9 % more was predicted there
    # than taken, whether or not the kernels were on disk (see `simulate`).
