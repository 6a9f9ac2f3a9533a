"""JobSpec: what a job is, written once at submit as job.json and never changed."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from trainer.contract.config import TrainConfig
from trainer.contract.epoch import check_pictures, held_back, repeats_in_epoch
from trainer.contract.errors import InvalidConfig, InvalidJob, unknown_name

SCHEMA = 2
"""Version of job.json that this code writes and reads."""

JOB_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_UNUSABLE = re.compile("[\\x00\\ud800-\\udfff]")
MASK_FILE = re.compile(r"[0-9a-f]{64}\.png")
PICTURE_FILE = re.compile(r"[0-9a-f]{64}\.(?:jpg|png|webp)")

Kind = Literal["person", "character", "style", "object"]
KINDS: tuple[Kind, ...] = ("person", "character", "style", "object")


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSpec:
    """One training picture."""

    file: str
    """`<sha256 of the file>.<jpg|png|webp>` in the job's dataset folder."""
    caption: str
    """The whole caption, trigger word included."""
    repeats: int = 1
    """How often the picture comes in one epoch."""
    regularisation: bool = False
    """Shows what the class word means without the subject; its loss is weighed by `prior_weight`."""
    focus: tuple[float, float, float, float] | None = None
    """Left, top, right, lower of what a square crop keeps, as shares of the upright picture's sides."""
    mask: str = ""
    """`<sha256>.png` in the dataset folder, as large as the picture: white counts in the loss; empty counts all."""

    def __post_init__(self) -> None:
        """Names are hashes only, so no text of a person ever reaches a path."""
        if not isinstance(self.file, str) or not PICTURE_FILE.fullmatch(self.file):
            raise InvalidJob(f"picture name {self.file!r} is not <sha256>.jpg, .png or .webp")
        if not _is_text(self.caption):
            raise InvalidJob(f"picture {self.file[:12]} has an empty caption; write one, at least the trigger word")
        if type(self.repeats) is not int or not 1 <= self.repeats <= 1000:
            raise InvalidJob(f"picture {self.file[:12]}: repeats must be 1 to 1000, not {self.repeats!r}")
        if type(self.regularisation) is not bool:
            raise InvalidJob(f"picture {self.file[:12]}: regularisation must be true or false")
        if self.focus is not None and not _is_box(self.focus):
            raise InvalidJob(f"picture {self.file[:12]}: focus must be four shares, left < right and top < lower")
        if self.mask and not (isinstance(self.mask, str) and MASK_FILE.fullmatch(self.mask)):
            raise InvalidJob(f"picture {self.file[:12]}: the mask's name is not <sha256>.png")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """Everything an attempt needs to know, and nothing about who asked (no member id reaches a file)."""

    job_id: str
    name: str
    """Output name with version, e.g. `lisaxl_v1`."""
    base: str
    """Base model: a diffusers folder, an original-layout .safetensors, or a hub id; chosen by the host."""
    trigger: str
    class_word: str
    kind: Kind
    pictures: tuple[PictureSpec, ...]
    config: TrainConfig
    preset: str
    sample_prompts: tuple[str, ...]
    """Prompts of the samples; drawn in turn with seeds config.seed + i."""
    created_at: float
    """Unix time, seconds."""
    vae: str = ""
    """Another VAE than the base's own, in the same forms as `base` (SDXL's fp16 fix, say); empty for the base's."""
    negative_prompt: str = ""
    """What the samples should not show."""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Refuse a job that cannot run; raises InvalidJob with the reason."""
        if self.schema != SCHEMA:
            raise _wrong_schema(self.schema)
        for field, pattern in (("job_id", JOB_ID), ("name", NAME)):
            if not isinstance(getattr(self, field), str) or not pattern.fullmatch(getattr(self, field)):
                raise InvalidJob(f"{field} {getattr(self, field)!r} may hold only letters, digits, - and _")
        for field in ("base", "trigger", "preset"):
            if not _is_text(getattr(self, field)):
                raise InvalidJob(f"{field} is missing")
        for field in ("vae", "negative_prompt"):
            if getattr(self, field) != "" and not _is_text(getattr(self, field)):
                raise InvalidJob(f"{field} must be text (it may be empty)")
        if self.class_word != "" and not _is_text(self.class_word):
            raise InvalidJob("class_word must be text (it may be empty)")
        if type(self.created_at) not in (int, float) or not abs(self.created_at) < 1e12:
            raise InvalidJob(f"created_at must be a Unix time, not {self.created_at!r:.40}")
        if self.kind not in KINDS:
            raise InvalidJob(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if not self.pictures:
            raise InvalidJob("the job has no pictures; add some first")
        check_pictures(self.pictures, self.config.validation_share)
        if not all(map(_is_text, self.sample_prompts)):
            raise InvalidJob("a sample prompt is empty")
        if self.config.sample_count and not self.sample_prompts:
            raise InvalidJob("samples are wanted but there is no sample prompt; give one or set sample_count to 0")

    @property
    def images_per_epoch(self) -> int:
        """Pictures of one epoch, repeats and regularisation pictures counted, those held back not."""
        held = held_back(self.pictures, self.config.validation_share, self.config.seed)
        return sum(repeats_in_epoch(self.pictures, held))

    def to_json(self) -> dict[str, Any]:
        """Plain value for job.json."""
        value = dataclasses.asdict(self)
        return {**value, "pictures": list(value["pictures"]), "sample_prompts": list(self.sample_prompts)}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """The spec of a parsed job.json; raises InvalidJob or InvalidConfig with the reason."""
        if not isinstance(value, Mapping):
            raise InvalidJob("job.json does not hold an object")
        if value.get("schema") != SCHEMA:
            raise _wrong_schema(value.get("schema"))
        known = {field.name for field in dataclasses.fields(cls)}
        if missing := known - value.keys():
            raise InvalidJob(f"job.json lacks {', '.join(sorted(missing))}; submit the job again")
        if extra := sorted(value.keys() - known):
            raise InvalidJob(f"job.json: {unknown_name(extra[0], known)}")
        fields = dict(value)
        if not isinstance(fields["pictures"], list) or not isinstance(fields["sample_prompts"], list):
            raise InvalidJob("job.json: pictures and sample_prompts must be lists")
        try:
            fields["pictures"] = tuple(_picture(picture) for picture in fields["pictures"])
            fields["sample_prompts"] = tuple(fields["sample_prompts"])
            fields["config"] = TrainConfig.from_mapping(fields["config"])
            return cls(**fields)
        except InvalidConfig:
            raise
        except (TypeError, AttributeError) as error:
            raise InvalidJob(f"job.json has a field of the wrong kind: {error}") from error


def parse_spec(data: bytes) -> JobSpec:
    """The spec in job.json's bytes; raises InvalidJob or InvalidConfig."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidJob(f"job.json is not JSON: {error}") from error
    return JobSpec.from_json(value)


def _picture(value: Mapping[str, Any]) -> PictureSpec:
    focus = value.get("focus")
    return PictureSpec(**{**value, "focus": tuple(focus) if isinstance(focus, list) else focus})


def _is_box(box: object) -> bool:
    """True for four shares of a picture's sides around some area."""
    if not isinstance(box, tuple) or len(box) != 4 or not all(type(side) in (int, float) for side in box):
        return False
    left, top, right, lower = box
    return bool(0 <= left < right <= 1 and 0 <= top < lower <= 1)


def _is_text(value: object) -> bool:
    """True for text with something in it that a tokenizer and a file can hold (no half surrogate pairs, no NUL)."""
    return isinstance(value, str) and bool(value.strip()) and not _UNUSABLE.search(value)


def _wrong_schema(found: object) -> InvalidJob:
    return InvalidJob(f"job.json has schema {found!r:.40}, this version reads {SCHEMA}; update the older side")
