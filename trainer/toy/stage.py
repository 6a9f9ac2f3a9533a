"""`python -m trainer.toy.stage DIR`: what a demo needs: a base model, a tagger, and pictures of the subject.

The pictures are JPEGs as a phone sends them.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from trainer.toy.assets import base_folder, tagger_folder
from trainer.toy.subject import subject_pictures

SIDE = 1024
"""Pixels; what counts as good for SDXL."""


def set_stage(out: Path) -> None:
    """Write `out/base`, `out/tagger` and `out/pictures/*.jpg`."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.copytree(base_folder(), out / "base", dirs_exist_ok=True)
    shutil.copytree(tagger_folder(), out / "tagger", dirs_exist_ok=True)
    pictures = out / "pictures"
    pictures.mkdir(exist_ok=True)
    for number, (_, picture) in enumerate(subject_pictures(SIDE), 1):
        picture.save(pictures / f"IMG_{2040 + number}.jpg", quality=92)


def main(arguments: Sequence[str] | None = None) -> int:
    """Set the stage in the folder named."""
    parser = argparse.ArgumentParser(prog="python -m trainer.toy.stage", description=__doc__)
    parser.add_argument("out", type=Path, metavar="DIR")
    set_stage(parser.parse_args(arguments).out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
