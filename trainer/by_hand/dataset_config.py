"""kohya's dataset TOML: which folders hold pictures, how often each counts, and the settings that stand with them.

Read as sd-scripts does (48d368f, library/config_util.py): an option of a subset stands before the same one of its data
set, that before the one under [general]. What sd-scripts may set anew for each folder and Lorelei has once for the run
(keep_tokens, say) must be the same in all of them. Folders are resolved against the TOML's own folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainer.by_hand.gather import Found, files
from trainer.contract.errors import InvalidConfig
from trainer.contract.kohya.keys import reason
from trainer.contract.kohya.pictures import longest_side, side
from trainer.contract.kohya.read import read_file, shown, toml_table
from trainer.contract.kohya.reading import Reading
from trainer.contract.kohya.report import Report, Taken

MAX_REPEATS = 1000
_MOST_SUBSETS = 1000
_SDXL_RESOLUTION, _SDXL_STEP = 1024, 64
"""Of a file that does not name them: every preset's."""

_NUMBERS: Mapping[str, str] = MappingProxyType(
    {
        "caption_dropout_rate": "caption_dropout",
        "caption_tag_dropout_rate": "tag_dropout",
        "prior_loss_weight": "prior_weight",
        "validation_split": "validation_share",
    }
)
_WHOLE: Mapping[str, str] = MappingProxyType(
    {
        "batch_size": "batch_size",
        "bucket_reso_steps": "bucket_step",
        "keep_tokens": "keep_tokens",
        "max_bucket_reso": "bucket_max",
        "min_bucket_reso": "bucket_min",
    }
)
_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "alpha_mask": "masked_loss",
        "bucket_no_upscale": "bucket_no_upscale",
        "flip_aug": "flip",
        "shuffle_caption": "shuffle_caption",
    }
)
_OWN = frozenset({"image_dir", "num_repeats", "is_reg", "class_tokens", "caption_extension", "subsets"})
_FOREIGN = ("metadata_file", "conditioning_data_dir")


@dataclass(frozen=True, slots=True)
class Subset:
    """One folder of pictures."""

    folder: Path
    repeats: int
    regularisation: bool
    class_tokens: str
    """The caption of a picture that has no file with one."""
    caption_extension: str
    """Ending of the files with captions, dot included."""

    def found(self) -> list[Found]:
        """The folder's files that may be pictures; raises InvalidConfig for one that cannot be read."""
        try:
            return [Found(path, self.repeats, self.caption_extension, self.class_tokens) for path in files(self.folder)]
        except OSError as error:
            raise InvalidConfig("image_dir", f"cannot be read: {self.folder} ({error.strerror or error})") from error


@dataclass(frozen=True, slots=True)
class DatasetConfig:
    """What a dataset TOML says."""

    subsets: tuple[Subset, ...]
    settings: Mapping[str, Any]
    """Settings of ours that it names; they stand before the preset's."""
    report: Report

    def found(self, *, regularisation: bool) -> list[Found]:
        """Files of the subject's folders, or of those with regularisation pictures; raises InvalidConfig."""
        chosen = [subset for subset in self.subsets if subset.regularisation == regularisation]
        return [one for subset in chosen for one in subset.found()]


def read_dataset_config(path: Path) -> DatasetConfig:
    """The file's folders and settings; raises InvalidConfig in one sentence."""
    table = toml_table(read_file(path))
    merged = list(_merged(table))
    subsets = tuple(_subset(options, path.absolute().parent) for options in merged)
    settings: dict[str, Any] = {}
    taken: dict[tuple[str, str], Taken] = {}
    for options in merged:
        for key, setting, value in _settings(options):
            if settings.setdefault(setting, value) != value:
                raise InvalidConfig(key, "differs between the folders of the file; Lorelei has one for the whole run")
            taken[key, setting] = Taken(key, setting, value)
    if "bucket_max" in settings:
        where = settings.get("resolution", _SDXL_RESOLUTION), settings.get("bucket_step", _SDXL_STEP)
        settings["bucket_max"], why = longest_side(settings["bucket_max"], *where)
        taken["max_bucket_reso", "bucket_max"] = Taken("max_bucket_reso", "bucket_max", settings["bucket_max"], why)
    read = _OWN | {one.key for one in taken.values()}
    ignored = {key: reason(key) for options in merged for key in options if key not in read}
    return DatasetConfig(subsets, settings, Report(tuple(taken.values()), ignored, {}, ()))


def _merged(table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each subset's options, with those of its data set and of [general] behind them."""
    general, datasets = table.get("general", {}), table.get("datasets", [])
    if extra := sorted(table.keys() - {"general", "datasets"}):
        raise InvalidConfig(shown(extra[0]), "is not a part of a dataset TOML, which has [general] and [[datasets]]")
    if not isinstance(general, Mapping) or not _are_tables(datasets) or not datasets:
        raise InvalidConfig("datasets", "must be [[datasets]] with [[datasets.subsets]] below, and [general] a table")
    for dataset in datasets:
        subsets = dataset.get("subsets", [])
        if not _are_tables(subsets) or not 1 <= len(subsets) <= _MOST_SUBSETS:
            raise InvalidConfig("subsets", "must be [[datasets.subsets]], each with an image_dir")
        for subset in subsets:
            yield {**general, **{key: value for key, value in dataset.items() if key != "subsets"}, **subset}


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, Mapping) for one in value)


def _subset(options: Mapping[str, Any], home: Path) -> Subset:
    for key in _FOREIGN:
        if key in options:
            raise InvalidConfig(key, "is not read; give an image_dir with captions beside the pictures")
    keys = Reading(options, gui=False)
    folder = home / Path(keys.word("image_dir")).expanduser()
    if not keys.word("image_dir") or "\0" in str(folder) or not folder.is_dir():
        raise InvalidConfig("image_dir", f"{keys.word('image_dir')!r} is not a folder; paths count from the TOML's own")
    repeats = keys.whole("num_repeats", 1)
    if not 1 <= repeats <= MAX_REPEATS:
        raise InvalidConfig("num_repeats", f"must be 1 to {MAX_REPEATS}")
    extension = keys.word("caption_extension", ".txt")  # sd-scripts' own default, .caption, is what nobody uses
    if not extension.startswith(".") or "/" in extension or "\0" in extension:
        raise InvalidConfig("caption_extension", "must be an ending like .txt")
    return Subset(folder, repeats, keys.flag("is_reg"), keys.word("class_tokens"), extension)


def _settings(options: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Key, setting and value of the options that are settings of ours."""
    keys = Reading(options, gui=False)
    for key, value in options.items():
        if value is None or value == "":
            continue
        if key in _NUMBERS:
            yield key, _NUMBERS[key], keys.number(key, 0.0)
        elif key in _WHOLE:
            yield key, _WHOLE[key], keys.whole(key, 0)
        elif key in _FLAGS:
            yield key, _FLAGS[key], keys.flag(key)
        elif key == "enable_bucket":
            yield key, "square", not keys.flag(key)
        elif key == "resolution":
            yield key, "resolution", side(keys.numbers(key, ","), keys.whole("bucket_reso_steps", 64))
