"""What `python -m trainer sample` does: pictures with a base and LoRA files, and sheets of checkpoints by weights."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from trainer.cli.sampling.place import Place
from trainer.contract.config import TrainConfig
from trainer.errors import BadSample
from trainer.model.base import BaseModel, load_base
from trainer.model.device import device_errors, pick_device, pick_numbers, prepare_device
from trainer.sampling.conditioning import TOGETHER
from trainer.sampling.draw import STEP, Begin, Drawing, draw
from trainer.sampling.grid import save_webp
from trainer.sampling.infotext import parameters, save_png
from trainer.sampling.networks import Library, Network, acting, attached
from trainer.sampling.prompt import LoraTag, lora_tags
from trainer.sampling.samplers import sampler_named
from trainer.sampling.xy_grid import Axes, draw_sheets
from trainer.training.objective.diffusion import as_configured

GRID_WEIGHTS = (0.5, 0.8, 1.0)
SHEET_BYTES = 8_000_000
"""Upper limit of a sheet as WebP: what Discord lets everybody send, with some room."""


def run(args: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Draw what the arguments ask for; everything about them is checked before the base is loaded."""
    task = _task(args)
    place = Place(args.out, sheets=args.grid, pictures=len(task.prompts) * len(task.seeds))
    device = pick_device(args.device)
    prepare_device(device)
    numbers = pick_numbers(args.precision, device)
    say(f"Loading {Path(args.base).name} …")
    settings = TrainConfig(prediction=args.prediction, zero_terminal_snr=args.zero_terminal_snr)
    base = as_configured(load_base(args.base, device=device, dtype=numbers.base), settings)
    with device_errors():
        for path in (_sheets if args.grid else _pictures)(base, task, place):
            with tqdm.external_write_mode():
                say(f"Saved {path}")


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be drawn."""

    prompts: tuple[str, ...]
    seeds: range
    drawing: Drawing
    library: Library
    networks: tuple[Network, ...]
    """Of --lora's files."""
    weights: tuple[float, ...]


def _task(args: argparse.Namespace) -> Task:
    """The checked task; raises BadSample and LoraFileError. Files are read here, so that a bad one is told at once."""
    drawing = Drawing(
        size=args.size,
        steps=args.steps,
        guidance=args.cfg,
        sampler=sampler_named(args.sampler),
        negative=args.negative,
    )
    files = [file for path in args.lora for file in lora_files(path)]
    if args.lora_dir is not None and not args.lora_dir.is_dir():
        raise BadSample(f"--lora-dir: {args.lora_dir.name!r} is not a folder.")
    library = Library([*files, *(sorted(args.lora_dir.rglob("*.safetensors")) if args.lora_dir else ())])
    weights = tuple(args.weights) or (GRID_WEIGHTS if args.grid else (1.0,))
    seed = random.SystemRandom().randrange(2**32 - args.count) if args.seed is None else args.seed
    networks = tuple(map(library.at, dict.fromkeys(files)))
    task = Task(tuple(args.prompt), range(seed, seed + args.count), drawing, library, networks, weights)
    _check(task, grid=args.grid)
    return task


def _check(task: Task, *, grid: bool) -> None:
    """Raise BadSample or LoraFileError for what could not be drawn later."""
    tags = [tag for prompt in task.prompts for tag in lora_tags(prompt)]
    for text in (*task.prompts, task.drawing.negative):
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise BadSample("A prompt holds bytes that are no text; write it in UTF-8.")
    if grid and not task.networks:
        raise BadSample("A grid compares LoRA files; name them with --lora.")
    if grid and tags:
        raise BadSample("A grid takes its files from --lora; leave <lora:…> out of the prompt.")
    names = [network.name for network in task.networks]
    if not grid and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadSample(f"Two of --lora's files are called {twice:.80}; a prompt could not tell them apart.")
    acting(task.library, tags)


def lora_files(path: Path) -> list[Path]:
    """The file itself, or those of a folder: its own, those in its `lora`, or those of a job's newest attempt that has
    any. Raises BadSample where there are none.
    """
    if not path.is_dir():
        return [path]
    attempts = sorted((path / "attempts").glob("[0-9]*"), key=lambda attempt: (len(attempt.name), attempt.name))
    for folder in (path, path / "lora", *(attempt / "lora" for attempt in reversed(attempts))):
        if files := sorted(folder.glob("*.safetensors")):
            return files
    raise BadSample(f"There is no LoRA file in {path.name!r}.")


# --- drawing --------------------------------------------------------------------------------------------------------
def _pictures(base: BaseModel, task: Task, place: Place) -> Iterator[Path]:
    """Draw and save every prompt with every seed; a file of --lora that the prompt does not name acts too."""
    groups = [task.seeds[first : first + TOGETHER] for first in range(0, len(task.seeds), TOGETHER)]
    with _bar(len(task.prompts) * len(groups) * task.drawing.steps) as begin:
        for prompt in task.prompts:
            tags = list(lora_tags(prompt))
            named = {one.network.name for one in acting(task.library, tags)}
            unnamed = [network.name for network in task.networks if network.name not in named]
            tags += [LoraTag(name, task.weights[0], task.weights[0]) for name in unnamed]
            whole = " ".join([prompt, *(f"<lora:{name}:{task.weights[0]:g}>" for name in unnamed)])
            networks = acting(task.library, tags)
            with attached(base, networks):
                for seeds in groups:
                    images = draw(base, [prompt] * len(seeds), seeds, task.drawing, begin)
                    for seed, image in zip(seeds, images, strict=True):
                        path = place.free(seed)
                        save_png(path, image, parameters(whole, seed, task.drawing, base, networks))
                        yield path


def _sheets(base: BaseModel, task: Task, place: Place) -> Iterator[Path]:
    """Draw and save a sheet for every prompt and seed."""
    axes = Axes(task.networks, task.weights)
    draws = 1 + len(axes.networks) * len(axes.weights)
    groups = -(-len(task.seeds) // TOGETHER)
    with _bar(len(task.prompts) * draws * groups * task.drawing.steps) as begin:
        for prompt in task.prompts:
            sheets = draw_sheets(base, axes, prompt, task.seeds, task.drawing, begin)
            for seed, sheet in zip(task.seeds, sheets, strict=True):
                path = place.free(seed)
                _save_sheet(path, sheet, prompt)
                yield path


def _save_sheet(path: Path, sheet: Image.Image, prompt: str) -> None:
    if path.suffix.lower() == ".png":
        save_png(path, sheet, prompt)
    else:
        save_webp(path, sheet, SHEET_BYTES)


@contextmanager
def _bar(steps: int) -> Iterator[Begin]:
    """A progress bar on the terminal, if there is one, that moves with each denoising step."""
    with tqdm(total=steps, unit="step", disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:

        def begin(work: str) -> None:
            bar.update(work == STEP)

        yield begin
