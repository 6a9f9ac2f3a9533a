"""The host's settings: config.toml, a few environment variables, nothing else; a typed, frozen value.

The token comes from `$CREDENTIALS_DIRECTORY/token` (systemd LoadCredential), `LORELEI_TOKEN`, or `[discord] token`.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.errors import ConfigError
from bot.rules.captions.tagging import RATINGS
from trainer.contract.config import TrainConfig
from trainer.contract.errors import InvalidConfig, unknown_name
from trainer.contract.presets import PRESET_OF, load_preset
from trainer.contract.spec import KINDS, Kind


@dataclass(frozen=True, slots=True)
class DiscordConfig:
    """[discord]"""

    token: str = field(default="", repr=False)
    guild_ids: tuple[int, ...] = ()
    """Servers the commands are registered in at once; empty registers them everywhere."""


@dataclass(frozen=True, slots=True)
class PathsConfig:
    """[paths]"""

    data: Path = Path("data")
    """Database, pictures, jobs, LoRA files."""

    @property
    def database(self) -> Path:
        """SQLite file."""
        return self.data / "lorelei.sqlite3"

    @property
    def pictures(self) -> Path:
        """Content-addressed pictures."""
        return self.data / "pictures"

    @property
    def jobs(self) -> Path:
        """Job folders (shared with the trainer services)."""
        return self.data / "jobs"

    @property
    def inboxes(self) -> Path:
        """One inbox folder per trainer service."""
        return self.data / "inboxes"

    @property
    def cache(self) -> Path:
        """Encoded pictures that trainer services on this machine keep between jobs; forgotten with their jobs."""
        return self.data / "cache"

    @property
    def loras(self) -> Path:
        """Finished LoRA files."""
        return self.data / "loras"

    @property
    def backups(self) -> Path:
        """Nightly copies of the database."""
        return self.data / "backups"


@dataclass(frozen=True, slots=True)
class IntakeConfig:
    """[intake]"""

    message_content: bool = False
    """Take pictures from posts in a dataset's thread and from the message menu (needs the message content intent)."""
    max_pictures: int = 100
    """Pictures a dataset may hold."""
    max_files: int = 10
    """Files taken from one message or command."""
    max_file_bytes: int = 25 * 1024 * 1024
    max_zip_bytes: int = 100 * 1024 * 1024
    """Of an archive of pictures; it is in memory twice while it is read."""
    max_megapixels: float = 40.0
    min_side: int = 512
    """Shorter side in pixels under which a picture is refused."""
    decode_seconds: float = 20.0
    """The largest pictures allowed, with transparency, take a busy small machine about half of it."""
    decode_memory_bytes: int = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TaggerConfig:
    """[tagger]; each dataset may have its own values of what is not about the machine."""

    model: str = "SmilingWolf/wd-vit-tagger-v3"
    """Folder with model.onnx and selected_tags.csv, or a hub id."""
    models: tuple[str, ...] = ()
    """Further models that members may choose for a dataset; no other is ever downloaded or opened."""
    general_threshold: float = 0.35
    character_threshold: float = 0.85
    mcut: bool = False
    """Find the thresholds in each picture's own probabilities."""
    ratings: str = "no"
    """Where the rating stands in captions: no, first or last."""
    underscores: bool = False
    undesired: tuple[str, ...] = ()
    """Tags never written."""
    replacements: Mapping[str, str] = field(default_factory=dict)
    """Tag → what is written for it."""
    first: tuple[str, ...] = ()
    """Tags that stand first, in this order."""
    threads: int = 2
    idle_seconds: float = 300.0
    """The tagger's process ends after this long without work."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """[training]"""

    base: str = "stabilityai/stable-diffusion-xl-base-1.0"
    """Base model: a diffusers folder, an SDXL .safetensors, or a hub id."""
    preset: str = ""
    """Where members start; empty is what fits the kind of the data set."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Training settings of the host that replace the preset's, by their names in TrainConfig."""
    embedded_trainer: bool = False
    """Start and watch a trainer service from the bot (a first try at home); a live host runs it as a unit."""
    device: str = "auto"
    """Device of the embedded trainer."""
    services: tuple[str, ...] = ("gpu0",)
    """Names of the trainer services; each has an inbox of its own."""
    queued_per_member: int = 3
    """Jobs a member may have waiting."""
    max_attempts: int = 3
    """Attempts in a row that may die before their job is given up."""

    def preset_for(self, kind: Kind, chosen: str = "") -> str:
        """The preset a training starts from: the member's choice, the host's, or what fits the kind."""
        return chosen or self.preset or PRESET_OF[kind]

    def config_for(self, preset: str, values: Mapping[str, Any] | None = None) -> TrainConfig:
        """The preset with the host's overrides and then `values`; raises InvalidConfig."""
        return load_preset(preset).config.with_overrides({**self.overrides, **(values or {})})


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """[export]"""

    copy_to: Path | None = None
    """Folder that gets a copy of each finished LoRA (A1111's models/Lora, ComfyUI's models/loras)."""
    keep_days: int = 90
    """Days after which checkpoints, states and samples of ended jobs are removed; the finished LoRA stays."""


@dataclass(frozen=True, slots=True)
class WebConfig:
    """[web]"""

    host: str = "127.0.0.1"
    port: int = 8420
    public_url: str = ""
    """Address under which members reach this server (a reverse proxy's); empty uses http://host:port."""
    link_hours: float = 72.0
    page_hours: float = 12.0
    """How long the link to a dataset's page works; each member who asks gets one of their own."""

    @property
    def base_url(self) -> str:
        """Start of every link, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def reaches_members(self) -> bool:
        """False when links lead to an address that only the bot's own machine knows."""
        return bool(self.public_url) or self.host not in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class ProgressConfig:
    """[progress]"""

    edit_seconds: float = 10.0
    """A card is edited at most this often."""
    poll_seconds: float = 1.0
    """How often the jobs' events are read."""
    stall_seconds: float = 600.0
    """Silence of a running attempt after which it counts as lost."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything; each part is a table of config.toml."""

    discord: DiscordConfig = DiscordConfig()
    paths: PathsConfig = PathsConfig()
    intake: IntakeConfig = IntakeConfig()
    tagger: TaggerConfig = TaggerConfig()
    training: TrainingConfig = TrainingConfig()
    export: ExportConfig = ExportConfig()
    web: WebConfig = WebConfig()
    progress: ProgressConfig = ProgressConfig()
    log_level: str = "INFO"

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Config:
        """Config of parsed TOML; raises ConfigError for an unknown key (with the nearest name) or a wrong value."""
        config: Config = _build(cls, values, "")
        _check(config)
        return config


def load_config(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read config.toml and the environment; raises ConfigError with the cause and the remedy."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; copy config.example.toml to it and fill it in") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    config = Config.from_mapping(values)
    if config.discord.token and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        raise ConfigError(f"{path} holds the token but others may read it; run: chmod 600 {path}")
    token = _token(environment) or config.discord.token
    return dataclasses.replace(config, discord=dataclasses.replace(config.discord, token=token))


def _token(environment: Mapping[str, str]) -> str:
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if folder and (Path(folder) / "token").is_file():
        return (Path(folder) / "token").read_text("utf-8").strip()
    return environment.get("LORELEI_TOKEN", "").strip()


def _build(cls: Any, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise ConfigError(f"[{where}] must be a table")
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in hints:
            place = f" in [{where}]" if where else ""
            raise ConfigError(f"config.toml{place}: {unknown_name(str(key), hints)}")
    parts = {key: _value(hints[key], value, f"{where}.{key}".lstrip(".")) for key, value in values.items()}
    return cls(**parts)


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)
    if hint is Path or (typing.get_origin(hint) in (types.UnionType, typing.Union) and Path in typing.get_args(hint)):
        if isinstance(value, str):
            return Path(value).expanduser() if value or hint is Path else None
    elif typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if isinstance(value, list) and all(type(item) is inner for item in value):
            return tuple(value)
    elif typing.get_origin(hint) is Mapping or hint is Mapping:
        if isinstance(value, Mapping):
            return types.MappingProxyType(dict(value))
    elif hint is float and type(value) is int:
        return float(value)
    elif type(value) is hint:
        return value
    raise ConfigError(f"config.toml: {where} cannot be {value!r}")


def _check(config: Config) -> None:
    """Refuse settings that can never work, before anything starts."""
    try:
        for kind in KINDS:
            config.training.config_for(config.training.preset_for(kind))
    except InvalidConfig as error:
        raise ConfigError(f"config.toml: [training] {error}") from error
    if not config.training.services:
        raise ConfigError("config.toml: training.services needs at least one name")
    for name in config.training.services:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"config.toml: training.services: {name!r} may hold only letters, digits, - and _")
    _check_tagger(config.tagger)
    if not 1 <= config.intake.max_files <= 10:
        raise ConfigError("config.toml: intake.max_files must be 1 to 10 (Discord's own limit)")
    if not 0 <= config.web.port <= 65535:
        raise ConfigError("config.toml: web.port must be 0 to 65535")


def _check_tagger(tagger: TaggerConfig) -> None:
    if tagger.ratings not in RATINGS:
        raise ConfigError(f"config.toml: tagger.ratings must be one of: {', '.join(RATINGS)}")
    for name in ("general_threshold", "character_threshold"):
        if not 0 <= getattr(tagger, name) <= 1:
            raise ConfigError(f"config.toml: tagger.{name} must be 0 to 1")
    for old, new in tagger.replacements.items():
        if not isinstance(new, str):
            raise ConfigError(f"config.toml: tagger.replacements: {old!r} needs a text, not {new!r}")
