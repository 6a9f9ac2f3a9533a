"""Training without the bot: a job folder out of a folder of pictures, and the finished file where it is wanted."""

from __future__ import annotations

import re
import tempfile
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainer.contract.durable import copy_durable, sha256_file
from trainer.contract.errors import ChannelError, InvalidConfig, InvalidJob
from trainer.contract.events import Finished
from trainer.contract.folder import JobFolder, sources_from
from trainer.contract.presets import load_preset
from trainer.contract.spec import NAME, JobSpec, Kind, PictureSpec
from trainer.formats.base_model import check_base
from trainer.gather import Gathered, Refused, find, gather

MIN_SIDE = 512
"""Shorter side a picture needs, in pixels; less where the training's own resolution is less."""

_SCENES: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        "person": ("portrait, looking at viewer", "upper body, outdoors", "full body, standing", "close-up, smile"),
        "character": ("portrait, looking at viewer", "upper body, outdoors", "full body, standing", "sitting, indoors"),
        "style": ("a portrait of a woman", "a landscape with mountains", "a city street", "a still life"),
        "object": ("on a table", "outdoors, grass", "close-up", "white background"),
    }
)
"""What the sample pictures show besides the subject, so that a checkpoint that only copies its pictures is noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person asks for on the command line."""

    images: Path
    trigger: str
    class_word: str
    base: str
    out: Path
    name: str | None = None
    """Name of the file; the trigger word where it is None."""
    preset: str = "face"
    kind: Kind = "person"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that replace the preset's."""
    prompts: tuple[str, ...] = ()


def make_job(request: Request, say: Callable[[str], None]) -> JobFolder:
    """A new job folder in `out/jobs`; files that cannot be used are told of through `say`.

    Raises InvalidJob when nothing usable is left, InvalidConfig for a wrong setting, BadBase for a base that is no
    SDXL model, ChannelError for a full disk.
    """
    trigger, class_word = _word(request.trigger, "--trigger"), _word(request.class_word, "--class-word", empty=True)
    config = load_preset(request.preset).config.with_overrides(request.settings)
    stem = slug(request.name if request.name is not None else trigger)
    base = find_base(request.base)
    found = find(request.images)
    say(f"Reading {len(found)} files in {request.images}")
    jobs = request.out / "jobs"
    try:
        jobs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pictures-", dir=jobs) as scratch:
            gathered = usable(gather(found, Path(scratch), min(MIN_SIDE, config.resolution)), say)
            name = free_name(request.out, stem)
            prompts = request.prompts or sample_prompts(request.kind, trigger, class_word)
            spec = JobSpec(
                job_id=name,
                name=name,
                base=base,
                trigger=trigger,
                class_word=class_word,
                kind=request.kind,
                pictures=tuple(_picture(one, trigger, class_word) for one in gathered),
                config=config,
                preset=request.preset,
                sample_prompts=prompts,
                created_at=time.time(),
            )
            return JobFolder.create(jobs, spec, sources_from({one.path.name: one.path for one in gathered}))
    except OSError as error:
        raise ChannelError(f"cannot write into {request.out}: {error.strerror or error}") from error


def usable(results: list[Gathered | Refused], say: Callable[[str], None]) -> list[Gathered]:
    """The pictures among the results, a sentence for each of the others; raises InvalidJob when none is left."""
    for refused in results:
        if isinstance(refused, Refused):
            say(f"{refused.source.name} {refused.reason}.")
    gathered = [one for one in results if isinstance(one, Gathered)]
    if not gathered:
        raise InvalidJob("there is no usable picture in the folder; put JPEG, PNG or WEBP pictures into it")
    say(f"{len(gathered)} pictures, {sum(bool(one.caption) for one in gathered)} of them with a caption of their own")
    return gathered


def _picture(one: Gathered, trigger: str, class_word: str) -> PictureSpec:
    return PictureSpec(file=one.path.name, caption=with_trigger(one.caption, trigger, class_word), repeats=one.repeats)


def with_trigger(caption: str, trigger: str, class_word: str) -> str:
    """The caption with `trigger, class` in front exactly once; one that has the trigger word already stays as it is."""
    if re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", caption, re.IGNORECASE):
        return caption
    tags = [tag.strip() for tag in caption.split(",") if tag.strip()]
    rest = [tag for tag in tags if tag.casefold() != class_word.casefold()]
    return ", ".join([word for word in (trigger, class_word) if word] + rest)


def sample_prompts(kind: Kind, trigger: str, class_word: str) -> tuple[str, ...]:
    """Prompts for the samples of a kind of subject."""
    prefix = ", ".join(word for word in (trigger, class_word) if word)
    return tuple(f"{prefix}, {scene}" for scene in _SCENES[kind])


def _word(text: str, option: str, *, empty: bool = False) -> str:
    word = " ".join(text.split())
    if (not word and not empty) or "," in word or not word.isprintable():
        raise InvalidConfig(option, f"must be one word or a few, without commas, not {text!r}")
    return word


def slug(text: str) -> str:
    """A name for files out of any text; raises InvalidConfig when nothing usable is in it."""
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()  # é as e, not as -
    name = re.sub(r"[^a-z0-9_-]+", "-", plain).strip("-_")[:48]
    if not NAME.fullmatch(name):
        raise InvalidConfig("--name", f"{text!r} has no letter a to z and no digit in it; give another name")
    return name


def free_name(out: Path, stem: str) -> str:
    """`<stem>_vN` with the first number above every one that a file or job in `out` has."""
    taken = [path.name.removesuffix(".safetensors") for path in (*out.glob("*.safetensors"), *out.glob("jobs/*"))]
    versions = [int(m[1]) for name in taken if (m := re.fullmatch(rf"{re.escape(stem)}_v([0-9]{{1,6}})", name))]
    return f"{stem}_v{max(versions, default=0) + 1}"


def find_base(text: str) -> str:
    """The base model as the job names it: an absolute path, or a hub id as it is.

    Raises InvalidJob for a lost path, BadBase for what is no SDXL model.
    """
    path = Path(text).expanduser()
    if path.exists():
        check_base(path)
        return str(path.absolute())
    if text.startswith(("/", ".", "~")) or text.endswith(".safetensors") or text.count("/") != 1:
        raise InvalidJob(f"there is no base model at {text}; give a diffusers folder, a .safetensors file or a hub id")
    return text


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
