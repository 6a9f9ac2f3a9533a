"""Training without the bot: a job folder out of a folder of pictures."""

from __future__ import annotations

import dataclasses
import re
import tempfile
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainer.by_hand.dataset_config import DatasetConfig, read_dataset_config
from trainer.by_hand.gather import Found, Gathered, Refused, find, gather
from trainer.by_hand.masks import Masks
from trainer.by_hand.result import free_name
from trainer.contract.config import TrainConfig
from trainer.contract.epoch import held_back, repeats_in_epoch
from trainer.contract.errors import ChannelError, InvalidConfig, InvalidJob
from trainer.contract.folder import JobFolder, sources_from
from trainer.contract.presets import PRESET_OF, find_preset
from trainer.contract.prompts import as_prompt
from trainer.contract.spec import NAME, JobSpec, Kind, PictureSpec
from trainer.formats.base_model import check_base, check_vae
from trainer.training.optim.packages import check_optimizer

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
    """Folder of pictures, or a dataset TOML of kohya's, which names folders and some settings."""
    trigger: str
    class_word: str
    base: str
    out: Path
    name: str | None = None
    """Name of the file; the trigger word where it is None."""
    preset: str | None = None
    """Name or file of the settings; what fits the kind where it is None."""
    kind: Kind = "person"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that replace the preset's."""
    prompts: tuple[str, ...] = ()
    negative: str = ""
    """What the samples should not show."""
    regularisation: Path | None = None
    """Folder of pictures that show what the class word means without the subject."""
    masks: Path | None = None
    """Folder of masks, named as the pictures are; naming one switches masked_loss on."""
    vae: str = ""
    """Another VAE than the base's own."""


def make_job(request: Request, say: Callable[[str], None]) -> JobFolder:
    """A new job folder in `out/jobs`; files that cannot be used are told of through `say`.

    Raises InvalidJob when nothing usable is left, InvalidConfig for a wrong setting, BadBase for a base that is no
    SDXL model, MissingExtra for an optimizer that is not installed, ChannelError for a full disk.
    """
    trigger, class_word = _word(request.trigger, "--trigger"), _word(request.class_word, "--class-word", empty=True)
    dataset = read_dataset_config(request.images) if request.images.suffix.lower() == ".toml" else None
    given = {**(dataset.settings if dataset else {}), **({"masked_loss": True} if request.masks else {})}
    preset = find_preset(request.preset or PRESET_OF[request.kind])
    config = preset.config.with_overrides({**given, **request.settings})
    for line in (
        *(preset.report.summary() if preset.report else ()),
        *(dataset.report.lines() if dataset else ()),
    ):
        say(line)
    check_optimizer(config.optimizer)
    stem = slug(request.name if request.name is not None else trigger)
    base, vae = find_base(request.base), find_vae(request.vae)
    jobs = request.out / "jobs"
    try:
        jobs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pictures-", dir=jobs) as scratch:
            pictures, files = _collect(request, dataset, config, Path(scratch), say)
            name = free_name(request.out, stem)
            spec = JobSpec(
                job_id=name,
                name=name,
                base=base,
                vae=vae,
                trigger=trigger,
                class_word=class_word,
                kind=request.kind,
                pictures=pictures,
                config=config,
                preset=preset.name,
                sample_prompts=request.prompts or sample_prompts(request.kind, trigger, class_word),
                negative_prompt=request.negative,
                created_at=time.time(),
            )
            if config.batch_size > spec.images_per_epoch:
                say(f"batch_size {config.batch_size} is more than an epoch has: a step takes {spec.images_per_epoch}")
                fitting = config.with_overrides({"batch_size": spec.images_per_epoch})
                spec = dataclasses.replace(spec, config=fitting)
            return JobFolder.create(jobs, spec, sources_from(files))
    except OSError as error:
        raise ChannelError(f"cannot write into {request.out}: {error.strerror or error}") from error


def _collect(
    request: Request, dataset: DatasetConfig | None, config: TrainConfig, scratch: Path, say: Callable[[str], None]
) -> tuple[tuple[PictureSpec, ...], dict[str, Path]]:
    """The pictures of a job, and where each file of theirs is."""
    min_side = min(MIN_SIDE, config.resolution)
    trigger, class_word = " ".join(request.trigger.split()), " ".join(request.class_word.split())
    found, beside = _found(request, dataset)
    say(f"Reading {len(found)} files in {request.images}")
    masks = Masks.find(request.masks) if config.masked_loss else None
    subject = usable(gather(found, scratch, min_side, masks), request.images, say)
    others: list[Gathered] = []
    if beside is None and (request.images / "reg").is_dir():
        say(f"The pictures in {request.images / 'reg'} are not used; --regularisation takes that folder")
    if beside is not None:
        folder = request.regularisation or request.images
        say(f"Reading {len(beside)} files of regularisation pictures in {folder}")
        others = usable(gather(beside, scratch, min_side), folder, say)
        if not class_word and not all(one.caption for one in others):
            raise InvalidConfig("--class-word", "is needed to caption the regularisation pictures")
    pictures = [
        *(_picture(one, with_trigger(one.caption, trigger, class_word)) for one in subject),
        *(replace(_picture(one, one.caption or class_word), regularisation=True) for one in others),
    ]
    files = {path.name: path for one in (*subject, *others) for path in (one.path, one.mask) if path}
    return needed(pictures, config, say), files


def _found(request: Request, dataset: DatasetConfig | None) -> tuple[list[Found], list[Found] | None]:
    """Files that may show the subject, and those of regularisation pictures, None where there are to be none."""
    beside = None if request.regularisation is None else find(request.regularisation, "reg")
    if dataset is None:
        return find(request.images), beside
    return dataset.found(regularisation=False), beside or dataset.found(regularisation=True) or None


def needed(pictures: Sequence[PictureSpec], config: TrainConfig, say: Callable[[str], None]) -> tuple[PictureSpec, ...]:
    """The pictures less the regularisation pictures that no epoch would show: there are enough before them."""
    held = held_back(pictures, config.validation_share, config.seed)
    times = repeats_in_epoch(pictures, held)
    kept = tuple(one for number, one in enumerate(pictures) if times[number] or number in held)
    if len(kept) < len(pictures):
        say(f"{len(pictures) - len(kept)} regularisation pictures are more than there is to balance, and not used")
    return kept


def usable(results: list[Gathered | Refused], folder: Path, say: Callable[[str], None]) -> list[Gathered]:
    """The pictures among the results, a sentence for each of the others; raises InvalidJob when none is left."""
    for refused in results:
        if isinstance(refused, Refused):
            say(f"{refused.source.name} {refused.reason}.")
    gathered = [one for one in results if isinstance(one, Gathered)]
    if not gathered:
        raise InvalidJob(f"there is no usable picture in the folder {folder}; put JPEG, PNG or WEBP pictures into it")
    masked = sum(one.mask is not None for one in gathered)
    captioned = sum(bool(one.caption) for one in gathered)
    say(
        f"{len(gathered)} pictures, {captioned} of them with a caption of their own"
        + (f", {masked} with a mask" if masked else "")
    )
    return gathered


def _picture(one: Gathered, caption: str) -> PictureSpec:
    mask = one.mask.name if one.mask else ""
    return PictureSpec(file=one.path.name, caption=caption, repeats=one.repeats, mask=mask)


def with_trigger(caption: str, trigger: str, class_word: str) -> str:
    """The caption with `trigger, class` in front exactly once; one that has the trigger word already stays as it is."""
    if re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", caption, re.IGNORECASE):
        return caption
    tags = [tag.strip() for tag in caption.split(",") if tag.strip()]
    rest = [tag for tag in tags if tag.casefold() != class_word.casefold()]
    return ", ".join([word for word in (trigger, class_word) if word] + rest)


def sample_prompts(kind: Kind, trigger: str, class_word: str) -> tuple[str, ...]:
    """Prompts for the samples of a kind of subject."""
    prefix = as_prompt(", ".join(word for word in (trigger, class_word) if word))
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


def find_base(text: str) -> str:
    """The base model as the job names it: an absolute path, or a hub id as it is.

    Raises InvalidJob for a lost path, BadBase for what is no SDXL model.
    """
    return _find_model(text, check_base, "base model")


def find_vae(text: str) -> str:
    """The VAE as the job names it, as `find_base` does; empty stays empty. Raises InvalidJob and BadBase."""
    return _find_model(text, check_vae, "VAE") if text else ""


def _find_model(text: str, check: Callable[[Path], None], what: str) -> str:
    path = Path(text).expanduser()
    if path.exists():
        check(path)
        return str(path.absolute())
    if text.startswith(("/", ".", "~")) or text.endswith(".safetensors") or text.count("/") != 1:
        raise InvalidJob(f"there is no {what} at {text}; give a diffusers folder, a .safetensors file or a hub id")
    return text
