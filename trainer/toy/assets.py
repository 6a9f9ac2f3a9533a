"""The committed weights of the toy world: where they are, and proof that they are the ones the report speaks of.

Needs neither torch nor diffusers. Nothing is verified on the way to a path; `changed_files` does that when asked.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent / "assets"
SUMS = "sha256.txt"


def base_folder() -> Path:
    """The toy SDXL: a diffusers folder, fp16 safetensors."""
    return FOLDER / "toy-sdxl"


def tagger_folder() -> Path:
    """The toy tagger: `model.onnx` and `selected_tags.csv`."""
    return FOLDER / "toy-tagger"


def sums(folder: Path = FOLDER) -> dict[str, str]:
    """sha256 of every file under `folder` by its path inside it, the list of sums left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_sums(folder: Path = FOLDER) -> None:
    """Write the list in the form that `sha256sum -c` reads."""
    lines = [f"{digest}  {name}\n" for name, digest in sums(folder).items()]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def changed_files(folder: Path = FOLDER) -> list[str]:
    """Files that are missing, added or different from the list, by path inside `folder`."""
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    found = sums(folder)
    return sorted(name for name in listed.keys() | found.keys() if listed.get(name) != found.get(name))
