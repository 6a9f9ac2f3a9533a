"""`python -m bot check`: what is missing before the bot can work, in plain words; works without a network."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
import discord
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from bot.config import Config
from bot.errors import ConfigError
from bot.invite import application_id, invite_link, permission_names
from bot.lock import is_running
from trainer.contract.inbox import Inbox

Mark = Literal["ok", "missing", "note"]
SIGNS: Mapping[Mark, str] = {"ok": "✓", "missing": "✗", "note": "·"}

MESSAGE_CONTENT = 1 << 18 | 1 << 19
"""Application flags of the message content intent: granted, or switched on by a bot in few servers (Discord's docs)."""
NEEDED_BYTES = 5 * 2**30
"""Free disk space a training wants: states (optimizer, LoRA) and checkpoints of one SDXL job, with room to spare."""
BEAT_SECONDS = 60.0
"""A trainer service that has said nothing for longer does not work."""
REST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    mark: Mark
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        """`✗ what: remedy`, as the host reads it."""
        return f"{SIGNS[self.mark]} {self.text}" + (f"\n    {self.remedy}" if self.remedy else "")


async def check(config: Config) -> list[Finding]:
    """Every finding, in the order a host would set things up."""
    local = [*check_data(config), *check_models(config), *check_trainers(config), check_port(config)]
    return [*await check_discord(config), *local]


async def check_discord(config: Config) -> list[Finding]:
    """Token, intent, and the invitation with the permissions that are needed."""
    token = config.discord.token
    if not token:
        remedy = "Put it in LORELEI_TOKEN, in systemd's credential `token`, or under [discord] token in config.toml."
        return [Finding("missing", "No token", remedy)]
    try:
        application_id(token)
    except ConfigError as error:
        return [Finding("missing", "The token cannot be one", str(error))]
    permissions = Finding("note", f"Permissions needed: {', '.join(permission_names())}", invite_link(token))
    try:
        user, application = await _ask_discord(token)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        said = f"Could not reach Discord ({type(error).__name__}), so token and intents are not checked"
        return [Finding("note", said, "Check again when this machine is online."), permissions]
    if user is None:
        remedy = "Reset it at https://discord.com/developers/applications > Bot > Reset Token and store the new one."
        return [Finding("missing", "Discord refuses the token", remedy)]
    return [
        Finding("ok", f"Token of {user.get('username', 'the bot')}"),
        *_check_intent(config, int(application.get("flags", 0))),
        permissions,
    ]


def _check_intent(config: Config, flags: int) -> Iterator[Finding]:
    if not config.intake.message_content:
        yield Finding("note", "Posts and the message menu are off (intake.message_content); commands and forms work")
    elif flags & MESSAGE_CONTENT:
        yield Finding("ok", "Message content intent")
    else:
        remedy = (
            "Switch it on at https://discord.com/developers/applications > Bot > Message Content Intent, "
            "or set intake.message_content = false."
        )
        yield Finding("missing", "The message content intent is off, so the bot cannot start", remedy)


def check_data(config: Config) -> Iterator[Finding]:
    """The data folder: rights and room."""
    data = config.paths.data
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data):
            pass
    except OSError as error:
        yield Finding(
            "missing", f"Cannot write to the data folder {data}: {error.strerror}", "Fix its owner or rights."
        )
        return
    yield Finding("ok", f"Data folder {data}")
    free = shutil.disk_usage(data).free
    size = f"{free / 2**30:.1f} GB free on its disk"
    if free < NEEDED_BYTES:
        yield Finding("missing", f"Only {size}", f"A training wants {NEEDED_BYTES / 2**30:.0f} GB; make room.")
    else:
        yield Finding("ok", size)


def check_models(config: Config) -> Iterator[Finding]:
    """Base model and tagger: a path that exists, or a hub id that is or can be downloaded."""
    yield _check_model("Base model", config.training.base, ("model_index.json",), "training.base")
    for model, key in ((config.tagger.model, "model"), *((each, "models") for each in config.tagger.models)):
        yield _check_model("Tagger", model, ("model.onnx", "selected_tags.csv"), f"tagger.{key}")


def _check_model(what: str, model: str, files: tuple[str, ...], key: str) -> Finding:
    path = Path(model).expanduser()
    if path.is_file():
        return Finding("ok", f"{what} {model}")
    if path.is_dir():
        lacking = [name for name in files if not (path / name).is_file()]
        if lacking:
            return Finding("missing", f"{what} {model} lacks {', '.join(lacking)}", f"Complete it, or change {key}.")
        return Finding("ok", f"{what} {model}")
    try:
        cached = all(isinstance(try_to_load_from_cache(model, name), str) for name in files)
    except HFValidationError:
        return Finding("missing", f"{what} {model} does not exist", f"Correct {key} in config.toml.")
    if cached:
        return Finding("ok", f"{what} {model} (downloaded)")
    return Finding("note", f"{what} {model} is not on this machine", "It is downloaded at its first use.")


def check_trainers(config: Config) -> Iterator[Finding]:
    """Who trains: the trainer services and their devices."""
    for name in config.training.services:
        inbox = Inbox(config.paths.inboxes / name)
        info = inbox.service()
        if info is not None and inbox.is_served() and time.time() - info.beat_at < BEAT_SECONDS:
            device = info.device_name or info.device or "device not known yet"
            yield Finding("ok", f"Trainer {name}: {device}, {info.memory_bytes / 2**30:.0f} GB")
        elif config.training.embedded_trainer:
            yield Finding("note", f"Trainer {name} starts with the bot (training.embedded_trainer)")
        else:
            remedy = f"Start it: python -m trainer serve {inbox.path}   (deploy/ has a systemd unit)"
            yield Finding("missing", f"Trainer {name} is not running, so nothing is trained", remedy)


def check_port(config: Config) -> Finding:
    """The web server's address."""
    host, port = config.web.host, config.web.port
    if is_running(config.paths.data):
        return Finding("note", "The bot is running on this data folder")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            said = f"Downloads cannot be served on {host}:{port}: {error.strerror or error}"
            return Finding("missing", said, "Change [web] port, or end the program that uses it.")
    if not config.web.reaches_members:
        remedy = "Datasets' pages and large LoRA files need it: put a reverse proxy before it and set [web] public_url."
        return Finding("note", f"Downloads on {config.web.base_url}, which only this machine can reach", remedy)
    return Finding("ok", f"Downloads on {config.web.base_url}")


async def _ask_discord(token: str) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The bot's user (None when the token is refused) and its application."""
    headers = {"Authorization": f"Bot {token}", "User-Agent": "DiscordBot (https://github.com/lorelei, 0.1)"}
    timeout = aiohttp.ClientTimeout(total=REST_SECONDS)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, raise_for_status=_raise_unless_401) as session:
        answers: list[dict[str, Any]] = []
        for path in ("/users/@me", "/applications/@me"):
            async with session.get(discord.http.Route.BASE + path) as response:
                if response.status == 401:
                    return None, {}
                answers.append(await response.json())
    return answers[0], answers[1]


async def _raise_unless_401(response: aiohttp.ClientResponse) -> None:
    if response.status != 401:
        response.raise_for_status()
