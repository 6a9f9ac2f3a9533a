"""`python -m trainer plan`: what a training takes, before it is started."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

from trainer.by_hand.gather import caption_beside, find
from trainer.cli.run import hush_libraries
from trainer.cli.train import settings_of
from trainer.contract.config import TrainConfig
from trainer.contract.epoch import held_back, repeats_in_epoch
from trainer.contract.errors import InvalidJob
from trainer.contract.estimates import estimate
from trainer.contract.exits import Exit
from trainer.contract.folder import JobFolder
from trainer.contract.presets import PRESET_OF, find_preset
from trainer.contract.spec import PictureSpec

if TYPE_CHECKING:
    from trainer.planning.plan import Plan
    from trainer.planning.times import Times

_CAPTION = "x" * 200
"""Stands for the captions where there are none yet: one of 200 letters."""
_NAMES = "x" * 30
"""Stands for the trigger word and the class word, which a job puts in front of each caption."""


def command(args: argparse.Namespace, say: Callable[[str], None]) -> Exit:
    """Plan, and say the plan; what a trial writes is deleted again. Raises DoesNotFit, and what a wrong job or base
    raises.
    """
    if not args.verbose:
        hush_libraries()
    from trainer.planning.report import facts, lines  # imports torch

    asked = _asked(args)
    plan, times = _planned(args, asked)
    found = facts(plan, asked.per_epoch, times)
    say(json.dumps(found, indent=2) if args.json else "\n".join(lines(found)))
    return Exit.FINISHED


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be planned."""

    base: str
    vae: str
    config: TrainConfig
    pictures: tuple[PictureSpec, ...]
    per_epoch: int
    """Pictures of an epoch."""
    folder: Path
    """On the disk that will be written to."""


def _asked(args: argparse.Namespace) -> _Asked:
    """A job that is there, or what `train` would make of the arguments. Raises InvalidJob, InvalidConfig."""
    if args.job is not None:
        job = JobFolder(args.job.absolute())
        spec = job.spec()
        return _Asked(spec.base, spec.vae, spec.config, spec.pictures, spec.images_per_epoch, job.path)
    if args.base is None or (args.pictures is None) == (args.images is None):
        raise InvalidJob("give a JOB_FOLDER, or --base with either --images DIR or --pictures N")
    shown = _shown_in(args.images) if args.images else [(_CAPTION, 1)] * args.pictures
    config = find_preset(args.preset or PRESET_OF[args.kind]).config.with_overrides(settings_of(args))
    pictures = tuple(
        PictureSpec(file=f"{number:064x}.png", caption=caption, repeats=repeats)
        for number, (caption, repeats) in enumerate(shown)
    )
    held = held_back(pictures, config.validation_share, config.seed)
    return _Asked(args.base, args.vae, config, pictures, sum(repeats_in_epoch(pictures, held)), Path.cwd())


def _shown_in(folder: Path) -> list[tuple[str, int]]:
    """Caption and repeats of each picture in a folder: texts as long as its longest caption are what the UNet reads.

    Raises InvalidJob.
    """
    found = find(folder)
    if not found:
        raise InvalidJob(f"there is no picture in the folder {folder}; put JPEG, PNG or WEBP pictures into it")
    try:
        captions = [caption_beside(one.path, one.caption_extension) or one.caption for one in found]
    except OSError as error:
        raise InvalidJob(f"cannot read a caption in the folder {folder}: {error.strerror or error}") from error
    return [(f"{_NAMES}, {caption}", one.repeats) for caption, one in zip(captions, found, strict=True)]


def _planned(args: argparse.Namespace, asked: _Asked) -> tuple[Plan, Times | None]:
    """The plan, and what its parts take where they are tried out. Raises DoesNotFit."""
    from trainer.model.device import pick_devices, pick_numbers
    from trainer.planning.architecture import read_architecture
    from trainer.planning.disk import check_disk
    from trainer.planning.memory import Load
    from trainer.planning.plan import make_plan
    from trainer.planning.room import numbers_of_card, room_of, room_of_card
    from trainer.planning.trial import try_out

    base, config, processes = read_architecture(asked.base, asked.vae), asked.config, args.processes
    load = Load.of(asked.pictures, asked.per_epoch, config, processes)
    if args.memory:
        return make_plan(base, load, numbers_of_card(config.precision), room_of_card(args.memory)), None
    device = pick_devices(args.device, processes)[0]
    numbers = pick_numbers(config.precision, device)
    plan = make_plan(base, load, numbers, room_of(device, processes))
    check_disk(plan.disk(asked.per_epoch), shutil.disk_usage(asked.folder).free)
    if not args.trial:
        return plan, None
    # Where this user may not write, the system's own folder for such files stands in for the job's.
    folder = asked.folder if os.access(asked.folder, os.W_OK) else Path(gettempdir())
    steps = estimate(asked.per_epoch, config).steps
    return plan, try_out(base, load, numbers, device, plan.ways, steps=steps, folder=folder)
