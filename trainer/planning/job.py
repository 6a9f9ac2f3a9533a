"""The plan of a job, made by whoever is about to train it."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from trainer.contract.config import TrainConfig
from trainer.contract.spec import JobSpec
from trainer.errors import BadBase
from trainer.model.device import pick_numbers
from trainer.planning.architecture import Architecture, read_architecture
from trainer.planning.disk import check_disk
from trainer.planning.memory import Load
from trainer.planning.plan import Plan, make_plan
from trainer.planning.room import room_of


def plan_job(
    spec: JobSpec, config: TrainConfig, device: torch.device, processes: int, folder: Path, *, goes_on: bool
) -> Plan | None:
    """How the job's steps are done on the device, in each of so many processes; `folder` lies where its files will go.

    None where the base's configs cannot be read: loading it says why. Raises DoesNotFit.
    """
    try:
        base = read_architecture(spec.base, spec.vae)
    except BadBase:
        return None
    return plan_on(spec, config, base, device, processes, free_disk=shutil.disk_usage(folder).free, goes_on=goes_on)


def plan_on(
    spec: JobSpec,
    config: TrainConfig,
    base: Architecture,
    device: torch.device,
    processes: int = 1,
    *,
    free_disk: int | None = None,
    goes_on: bool = False,
) -> Plan:
    """The same with the base at hand; the disk is left alone where `free_disk` is None."""
    per_epoch = spec.images_per_epoch
    load = Load.of(spec.pictures, per_epoch, config, processes)
    numbers = pick_numbers(config.precision, device)
    plan = make_plan(base, load, numbers, room_of(device, processes))
    if free_disk is not None:
        check_disk(plan.disk(per_epoch, goes_on=goes_on), free_disk)
    return plan
