"""A loopback Discord for each test; what Discord would have refused fails the test at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import discord.gateway
import discord.http
import pytest
import yarl

from bot.app import Lorelei
from bot.config import Config
from tests.wire.actors import Actor
from tests.wire.discord_server import API, DiscordServer, running_server
from tests.wire.lorelei import Workshop, running_bot, wire_config
from tests.wire.scripted_trainer import ScriptedTrainer, serving


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    """The server, with discord.py in this process pointed at it. Tests that provoke violations clear the list."""
    async with running_server() as server:
        # Discord gives three; but here tests share two cores and a disk that is waited for.
        server.world.ack_seconds = 10.0
        monkeypatch.setattr(discord.http.Route, "BASE", server.base_url + API)
        gateway = yarl.URL(server.base_url.replace("http", "ws", 1) + "/gateway")
        monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", gateway)
        yield server
        assert server.world.violations == []


@pytest.fixture(scope="session")
def tiny_tagger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the tiny WD14-contract tagger."""
    from trainer.toy.tiny_tagger import build_tiny_tagger

    return build_tiny_tagger(tmp_path_factory.mktemp("tiny-tagger"))


@pytest.fixture
def config(tmp_path: Path, tiny_tagger: Path) -> Config:
    """The host's settings."""
    return wire_config(tmp_path / "data", tiny_tagger)


@pytest.fixture
async def bot(server: DiscordServer, config: Config) -> AsyncIterator[Lorelei]:
    """The real bot, connected."""
    async with running_bot(server, config) as bot:
        yield bot


@pytest.fixture
async def trainer(config: Config) -> AsyncIterator[ScriptedTrainer]:
    """A trainer service that does what the test says."""
    async with serving(config.paths.inboxes / "gpu0") as trainer:
        yield trainer


@pytest.fixture
def alice(server: DiscordServer) -> Actor:
    """A member."""
    return Actor(server, "alice")


@pytest.fixture
def workshop(server: DiscordServer) -> Workshop:
    """What members do again and again."""
    return Workshop(server)
