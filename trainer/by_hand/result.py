"""What a training by hand leaves: the finished file where it is wanted, under a name that nothing else has."""

from __future__ import annotations

import re
from pathlib import Path

from trainer.contract.durable import copy_durable, sha256_file
from trainer.contract.errors import ChannelError, InvalidJob
from trainer.contract.events import Finished
from trainer.contract.folder import JobFolder


def free_name(out: Path, stem: str) -> str:
    """`<stem>_vN` with the first number above every one that a file or job in `out` has."""
    taken = [path.name.removesuffix(".safetensors") for path in (*out.glob("*.safetensors"), *out.glob("jobs/*"))]
    versions = [int(m[1]) for name in taken if (m := re.fullmatch(rf"{re.escape(stem)}_v([0-9]{{1,6}})", name))]
    return f"{stem}_v{max(versions, default=0) + 1}"


def export(job: JobFolder, attempt: int, out: Path) -> Path:
    """Copy the file of a finished attempt to `out/<name>.safetensors`, or under the next version when that is taken.

    A file that is there already is never overwritten, and not copied a second time. Raises InvalidJob when the attempt
    has no file, ChannelError when the disk refuses.
    """
    finished = last_word(job, attempt)
    if finished is None or not finished.file:
        raise InvalidJob(f"attempt {attempt} of {job.path.name} has no finished file")
    name = job.spec().name
    target = out / f"{name}.safetensors"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if target.exists() and sha256_file(target) != finished.sha256:
            target = out / f"{free_name(out, re.sub('_v[0-9]+$', '', name))}.safetensors"
    except OSError as error:
        raise ChannelError(f"cannot write into {out}: {error.strerror or error}") from error
    if not target.exists():
        copy_durable(job.file(attempt, finished.file), target)
    return target


def last_word(job: JobFolder, attempt: int) -> Finished | None:
    """The finished event of an attempt, if it has one."""
    events = job.all_events(attempt)
    last = events[-1].body if events else None
    return last if isinstance(last, Finished) else None
