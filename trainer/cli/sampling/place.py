"""Where pictures go."""

from __future__ import annotations

import re
from pathlib import Path

from trainer.contract.errors import ChannelError
from trainer.errors import BadSample

_PICTURES = (".png", ".webp", ".jpg", ".jpeg", ".gif", ".bmp", ".avif")


class Place:
    """A folder or a file; nothing is ever overwritten."""

    def __init__(self, out: Path, *, sheets: bool, pictures: int) -> None:
        """Raises BadSample for a file that is there, cannot hold so many, or ends in something else."""
        ends = (".png", ".webp") if sheets else (".png",)
        self._file = out if out.suffix.lower() in _PICTURES and not out.is_dir() else None
        self._folder = out
        self._form = "grid-{number:05d}-{seed}.webp" if sheets else "{number:05d}-{seed}.png"
        if self._file is None:
            return
        if out.suffix.lower() not in ends:
            raise BadSample(f"{out.name} must end in {' or '.join(ends)}.")
        if out.exists():
            raise BadSample(f"{out.name} is there already; choose another name.")
        if pictures > 1:
            raise BadSample(f"{pictures} pictures do not go into one file; give a folder as --out.")

    def free(self, seed: int) -> Path:
        """The next free path; its folder is there. Raises ChannelError when it cannot be made."""
        folder = self._folder if self._file is None else self._file.absolute().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self._file is not None:
                return self._file
            taken = [
                int(match[1]) for path in folder.iterdir() if (match := re.match(r"(?:grid-)?(\d{5})-", path.name))
            ]
        except OSError as error:
            raise ChannelError(f"cannot use the folder {folder.name}: {error.strerror or error}") from error
        return folder / self._form.format(number=max(taken, default=0) + 1, seed=seed)
