"""How long a step takes on a device, tried out: a few real steps of a UNet of the job's shape, the planned way."""

from __future__ import annotations

import statistics
import time

import torch

from trainer.model.device import Numbers, device_errors, prepare_device
from trainer.model.lora import attach_lora
from trainer.planning.architecture import Architecture
from trainer.planning.memory import Load
from trainer.planning.stand_in import random_base, random_set
from trainer.planning.way import Ways
from trainer.training.learner import Learner

STEPS = 3
"""Steps that are timed, after one in which kernels are chosen."""
LIMIT = 60.0
"""Seconds after which no further step is begun: a CPU may take minutes for one."""


def try_step(base: Architecture, load: Load, numbers: Numbers, device: torch.device, ways: Ways) -> float:
    """Seconds of an optimizer step. Text encoders that are trained are left out. Raises OutOfMemory."""
    config = load.config.with_overrides({"text_encoder_1": False, "text_encoder_2": False})
    prepare_device(device)
    with torch.random.fork_rng(devices=[]), device_errors(load.pictures):
        torch.manual_seed(0)
        model = random_base(base, numbers, device)
        data = random_set(base, config, load.pictures, load.chunks, numbers, device)
        learner = Learner(model, attach_lora(model, config, 0, dtype=numbers.lora), data, config, numbers, ways=ways)
        batches = [tuple(range(load.pictures))] * config.gradient_accumulation
        begun, seconds = time.perf_counter(), []
        for step in range(1, STEPS + 2):
            before = time.perf_counter()
            learner.step(batches, step, 1.0)
            bool(learner.tally.sound)  # waits for the device
            seconds.append(time.perf_counter() - before)
            if time.perf_counter() - begun > LIMIT:
                break
    return statistics.median(seconds[1:] or seconds)
