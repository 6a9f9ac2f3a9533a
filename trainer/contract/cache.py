"""The cache of latents as far as its host deals with it: where it is, how large it may grow, and how it forgets.

A latent shows the picture it comes from. So all of a picture's entries lie in one folder named by its sha256, and a
job's pictures are deleted by `forget_job`, which removes these folders too, also under a trainer that still encodes.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainer.contract.errors import InvalidConfig

FOLDER, BYTES = "LORELEI_CACHE", "LORELEI_CACHE_BYTES"
"""Environment variables for hosts; the command line's options beat them."""
DEFAULT_BYTES = 2_000_000_000
"""About 3,800 pictures at 1024 x 1024."""
_FORGOTTEN = ".forgotten-"
_LEAVING = "dataset.leaving"


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Where latents are kept between jobs."""

    folder: Path
    limit: int = DEFAULT_BYTES
    """Bytes; what was not used for longest goes first."""


def cache_options(folder: Path | None, limit: int | None, environment: Mapping[str, str]) -> CacheOptions | None:
    """The cache that the command line or else the environment names; None without one. Raises InvalidConfig."""
    if folder is None and environment.get(FOLDER):
        folder = Path(environment[FOLDER])
    if folder is None:
        return None
    text = environment.get(BYTES) or str(DEFAULT_BYTES)
    if limit is None and not (text.isascii() and text.isdecimal()):
        raise InvalidConfig(BYTES, f"must be a whole number of bytes, not {text!r:.40}")
    return CacheOptions(folder.absolute(), int(text) if limit is None else limit)


def group(cache: Path, sha256: str) -> Path:
    """Folder of a picture's entries."""
    return cache / "latents" / sha256[:2] / sha256


def forget(cache: Path, pictures: Iterable[str]) -> None:
    """Remove every entry of the pictures (their sha256), and what an interrupted call left; OSError passes.

    Twice is the same as once.
    """
    root = cache / "latents"
    for sha256 in pictures:
        with suppress(FileNotFoundError):
            # Renamed first: what another process writes meanwhile cannot keep the folder alive.
            os.rename(group(cache, sha256), root / f"{_FORGOTTEN}{uuid.uuid4().hex}")
    for left in root.glob(f"{_FORGOTTEN}*"):
        with suppress(FileNotFoundError):
            shutil.rmtree(left)


def forget_job(cache: Path, job: Path) -> None:
    """Remove the pictures of a job folder and every entry of them; a call cut short is made good by another.

    The pictures go first. A trainer that still runs looks behind each entry it has written whether its picture is there
    (`LatentEncoder`), and takes the entry back if not: so it sees that the picture is gone, or its entry is found here.
    Only a kill -9 between its two acts would leave an entry, until the cache evicts it. Latents only ever come from job
    folders: who calls this for each one that is removed leaves nothing behind. OSError passes.
    """
    leaving = job / _LEAVING
    with suppress(FileNotFoundError):
        os.rename(job / "dataset", leaving)  # not just removed: its names say what there is to forget
    if leaving.is_dir():
        forget(cache, [path.stem for path in leaving.iterdir()])
        shutil.rmtree(leaving)
