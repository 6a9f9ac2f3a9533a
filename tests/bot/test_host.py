"""What the host uses: the example settings, the log, the invitation, check, backup, exit codes."""

import asyncio
import dataclasses
import json
import logging
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
from io import StringIO
from pathlib import Path

import discord
import pytest
from aiohttp import web

from bot.__main__ import main
from bot.check import check, check_data, check_models, check_port, check_trainers
from bot.config import Config, DiscordConfig, PathsConfig, TaggerConfig, TrainingConfig, WebConfig
from bot.errors import ConfigError
from bot.invite import PERMISSIONS, application_id, invite_link
from bot.lock import is_running, only_bot
from bot.log import start_logging
from bot.store.database import Store
from trainer.contract.inbox import Inbox, ServiceInfo

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcdE.not-a-real-token-0123456789"


def uncommented() -> dict:
    """The example with every `# key = value` line switched on."""
    lines = EXAMPLE.read_text("utf-8").splitlines()
    on = [line[2:] if line.startswith("# ") and " = " in line and line[2].islower() else line for line in lines]
    return tomllib.loads("\n".join(line.replace("# [training.overrides]", "[training.overrides]") for line in on))


# --- the example -----------------------------------------------------------------------------------------------------
def test_the_example_changes_nothing():
    assert Config.from_mapping(tomllib.loads(EXAMPLE.read_text("utf-8"))) == Config()


def test_the_example_shows_every_key_with_its_default():
    shown = uncommented()
    for table in dataclasses.fields(Config):
        default = getattr(Config(), table.name)
        if not dataclasses.is_dataclass(default):
            assert shown[table.name] == default
            continue
        for key in dataclasses.fields(default):
            assert key.name in shown[table.name], f"[{table.name}] {key.name} is missing from the example"
    read = Config.from_mapping(shown)
    assert read.discord.guild_ids, "shown by an example, as is [training.overrides]"
    plain = dataclasses.replace(read.training, overrides=Config().training.overrides)
    assert dataclasses.replace(read, discord=Config().discord, training=plain) == Config()


# --- the log ---------------------------------------------------------------------------------------------------------
def test_logs_are_json_lines_without_secrets():
    out = StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        start_logging("INFO", [TOKEN], out)
        try:
            raise ValueError(f"Bot {TOKEN} at /interactions/123/aW50ZXJhY3Rpb246dG9rZW4/callback?x=1")
        except ValueError:
            logging.getLogger("bot.test").exception("failed with %s", TOKEN, extra={"dataset": 7})
    finally:
        logging.basicConfig(handlers=before[0], level=before[1], force=True)
    entry = json.loads(out.getvalue())
    assert TOKEN not in out.getvalue()
    assert "aW50ZXJhY3Rpb246dG9rZW4" not in out.getvalue()
    assert entry["level"] == "error"
    assert entry["dataset"] == 7
    assert "Traceback" in entry["exception"]
    assert out.getvalue().count("\n") == 1


# --- the invitation --------------------------------------------------------------------------------------------------
def test_the_invitation_asks_for_what_is_used_and_no_more():
    link = invite_link(TOKEN)
    assert "client_id=123456789012345678" in link
    assert "scope=bot+applications.commands" in link
    assert f"permissions={PERMISSIONS.value}" in link
    assert not PERMISSIONS.administrator
    assert not PERMISSIONS.manage_messages


@pytest.mark.parametrize("token", ["", "hello", "a.b", "a.b.c", "!!!.x.y", "aGVsbG8.x.y"])
def test_what_is_no_token_is_said(token):
    with pytest.raises(ConfigError, match="token"):
        application_id(token)


# --- check -----------------------------------------------------------------------------------------------------------
@pytest.fixture
async def discord_api(monkeypatch):
    """A REST server that knows one token; its application flags can be set."""
    application = {"flags": 0}

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bot {TOKEN}":
            return web.json_response({"message": "401: Unauthorized"}, status=401)
        return web.json_response({"username": "lorelei"} if "users" in request.path else application)

    app = web.Application()
    app.router.add_get("/users/@me", answer)
    app.router.add_get("/applications/@me", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    monkeypatch.setattr(discord.http.Route, "BASE", f"http://127.0.0.1:{port}")
    yield application
    await runner.cleanup()


def with_token(config: Config, token: str = TOKEN) -> Config:
    return dataclasses.replace(config, discord=DiscordConfig(token=token))


def lines(findings) -> str:
    return "\n".join(map(str, findings))


async def test_check_says_what_discord_lacks(config, discord_api):
    assert "✗ No token" in lines(await check(config))
    assert "✗ The token cannot be one" in lines(await check(with_token(config, "nonsense")))
    assert "✗ Discord refuses the token" in lines(await check(with_token(config, TOKEN[:-1] + "x")))
    off = lines(await check(with_token(config)))
    assert "✓ Token of lorelei" in off
    assert "✗ The message content intent is off" in off
    discord_api["flags"] = 1 << 19
    assert "✓ Message content intent" in lines(await check(with_token(config)))


async def test_check_works_without_a_network(config, monkeypatch):
    monkeypatch.setattr(discord.http.Route, "BASE", f"http://127.0.0.1:{free_port()}")
    said = lines(await check(with_token(config)))
    assert "· Could not reach Discord" in said
    assert "✓ Data folder" in said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_check_finds_models_or_says_which_is_missing(config, tmp_path):
    (tmp_path / "base").mkdir()
    half = dataclasses.replace(config, training=TrainingConfig(base=str(tmp_path / "base")))
    assert "✗ Base model" in lines(check_models(half))
    assert "lacks model_index.json" in lines(check_models(half))
    (tmp_path / "base" / "model_index.json").write_text("{}")
    assert "✗" not in lines(check_models(half)), "the tagger of the fixture is complete"
    gone = dataclasses.replace(config, tagger=TaggerConfig(model=str(tmp_path / "nowhere")))
    assert "does not exist" in lines(check_models(gone))
    hub = dataclasses.replace(config, tagger=TaggerConfig(model="somebody/never-downloaded-this"))
    assert "downloaded at its first use" in lines(check_models(hub))


def test_check_knows_whether_a_trainer_works(config):
    assert "✗ Trainer gpu0 is not running" in lines(check_trainers(config))
    inbox = Inbox(config.paths.inboxes / "gpu0")
    with inbox.serve():
        inbox.announce(ServiceInfo(1, "cuda", "NVIDIA H200", 150 * 2**30, "0.1", time.time(), ""))
        assert "✓ Trainer gpu0: NVIDIA H200, 150 GB" in lines(check_trainers(config))
        inbox.announce(ServiceInfo(1, "cuda", "NVIDIA H200", 150 * 2**30, "0.1", time.time() - 600, ""))
        assert "✗ Trainer gpu0" in lines(check_trainers(config)), "a heartbeat of ten minutes ago"
    embedded = dataclasses.replace(config, training=TrainingConfig(embedded_trainer=True))
    assert "starts with the bot" in lines(check_trainers(embedded))


def test_check_sees_a_taken_port_and_a_folder_it_cannot_use(config, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = dataclasses.replace(config, web=WebConfig(port=taken.getsockname()[1]))
        assert "✗ Downloads cannot be served" in str(check_port(busy))
    (tmp_path / "file").write_text("")
    blocked = dataclasses.replace(config, paths=PathsConfig(data=tmp_path / "file" / "data"))
    assert "✗ Cannot write to the data folder" in lines(check_data(blocked))


# --- one bot a folder ------------------------------------------------------------------------------------------------
def test_two_bots_cannot_share_a_data_folder(tmp_path):
    assert not is_running(tmp_path)
    with only_bot(tmp_path):
        assert is_running(tmp_path)
        with pytest.raises(ConfigError, match="already runs"), only_bot(tmp_path):
            pass
    assert not is_running(tmp_path)


# --- the commands ----------------------------------------------------------------------------------------------------
@pytest.fixture
def settings(tmp_path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(f'[paths]\ndata = "{tmp_path / "data"}"\n[web]\nport = 0\n')
    return path


def test_each_mistake_of_the_host_is_one_sentence_and_exit_2(settings, capsys, monkeypatch):
    monkeypatch.delenv("LORELEI_TOKEN", raising=False)
    for command in ("run", "invite"):
        assert main([command, "--config", str(settings)]) == 2
        assert "no token" in capsys.readouterr().err
    assert main(["check", "--config", str(settings.with_name("other.toml"))]) == 2
    assert "does not exist" in capsys.readouterr().err
    settings.write_text("[intake]\nmessage_contents = true\n")
    assert main(["check", "--config", str(settings)]) == 2
    assert "message_content" in capsys.readouterr().err
    assert main(["backup", "--config", str(settings), "x"]) == 2


def test_check_ends_with_1_while_something_is_missing(settings, capsys, monkeypatch):
    monkeypatch.delenv("LORELEI_TOKEN", raising=False)
    assert main(["check", "--config", str(settings)]) == 1
    out = capsys.readouterr().out
    assert "✗ No token" in out
    assert "2 to put right." in out


async def test_backup_copies_the_database_of_a_running_bot(settings, tmp_path, capsys):
    store = await Store.open(tmp_path / "data" / "lorelei.sqlite3")
    try:
        async with store.transaction() as tx:
            await tx.execute("INSERT INTO fact (name, value) VALUES ('who', 'me')")
        copy = tmp_path / "copy.sqlite3"
        assert await asyncio.to_thread(main, ["backup", "--config", str(settings), str(copy)]) == 0
        with sqlite3.connect(copy) as opened:
            assert opened.execute("SELECT value FROM fact WHERE name = 'who'").fetchall() == [("me",)]
        opened.close()
    finally:
        await store.close()
    assert "Pictures" in capsys.readouterr().out


def test_the_bot_starts_without_torch():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'diffusers', 'transformers', 'peft')));"
        "import bot.__main__, bot.app; print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "fine", done.stderr
