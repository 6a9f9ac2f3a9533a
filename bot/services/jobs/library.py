"""The library: finished LoRA files under their own names, never overwritten, and the host's copy of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from bot.errors import DamagedFile, StorageError
from bot.store.rows import Job
from trainer.contract.durable import copy_durable, sha256_file
from trainer.contract.errors import ChannelError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """A file in the library."""

    file: str
    sha256: str
    bytes: int


class Library:
    """Files of `loras`, one `<name>.safetensors` each; plain blocking calls, for a thread."""

    def __init__(self, loras: Path, copy_to: Path | None) -> None:
        self._loras = loras
        self._copy_to = copy_to

    def keep(self, name: str, job_id: str, source: Path, sha256: str) -> Kept:
        """Take a finished file in, durably; doing it again gives the same.

        Raises DamagedFile when the bytes are not those of `sha256`, StorageError when the disk refuses.
        """
        try:
            if sha256_file(source) != sha256:
                raise DamagedFile(f"the LoRA file of {name} is damaged on the trainer's disk")
            self._loras.mkdir(parents=True, exist_ok=True)
            target = _place(self._loras, name, job_id, sha256)
            if not target.exists():
                copy_durable(source, target)
            if sha256_file(target) != sha256:
                raise DamagedFile(f"the copy of {target.name} is damaged; the disk may be failing")
            size = target.stat().st_size
        except (OSError, ChannelError) as error:
            raise StorageError(f"the LoRA file of {name} cannot be kept: {error}; free some disk space") from error
        self._export(target, job_id, sha256)
        return Kept(target.name, sha256, size)

    def _export(self, source: Path, job_id: str, sha256: str) -> None:
        """The host's copy; its folder may be away (a network share): the job is finished all the same."""
        if self._copy_to is None:
            return
        try:
            self._copy_to.mkdir(parents=True, exist_ok=True)
            target = _place(self._copy_to, source.stem, job_id, sha256)
            if not target.exists():
                copy_durable(source, target)
        except (OSError, ChannelError) as error:
            log.warning("%s was not copied to export.copy_to %s: %s", source.name, self._copy_to, error)

    def path(self, job: Job) -> Path | None:
        """Path of a job's finished file, or None when there is none (any more)."""
        if not job.lora_file:
            return None
        path = self._loras / Path(job.lora_file).name
        return path if path.is_file() else None

    def remove(self, job: Job) -> None:
        """Delete the job's file and the host's copy; another's file of the same name stays. Raises OSError."""
        if not job.lora_file:
            return
        name = Path(job.lora_file).name
        (self._loras / name).unlink(missing_ok=True)
        if self._copy_to is None:
            return
        if not self._copy_to.is_dir():
            log.warning("export.copy_to %s is not there; delete %s in it by hand", self._copy_to, name)
        for copy in (self._copy_to / name, self._copy_to / f"{Path(name).stem}-{job.id}.safetensors"):
            if copy.is_file() and sha256_file(copy) == job.lora_sha256:
                copy.unlink()

    def taken(self, name: str) -> bool:
        """True when a file of this name is there: the name must not be given again."""
        return (self._loras / f"{name}.safetensors").exists()


def _place(folder: Path, name: str, job_id: str, sha256: str) -> Path:
    """Where the file goes: its name, or one with the job's id where the name holds another file already."""
    target = folder / f"{name}.safetensors"
    if target.exists() and sha256_file(target) != sha256:
        return folder / f"{name}-{job_id}.safetensors"
    return target
