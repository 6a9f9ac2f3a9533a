"""`python -m bot` as the host starts it, where Discord says no."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE

import pytest

from tests.wire.discord_server import DiscordServer

WRONG_SETUP = 2


@pytest.fixture
def host(server: DiscordServer, tmp_path, tiny_tagger):
    """Runs a command of the bot's and returns its exit code and everything it said."""
    (tmp_path / "config.toml").write_text(
        f'[intake]\nmessage_content = true\n[tagger]\nmodel = "{tiny_tagger}"\n[web]\nport = 0\n', "utf-8"
    )

    async def run(*arguments: str, token: str = server.world.token) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", *arguments),
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "LORELEI_TOKEN": token} | server.environment,
            stdout=PIPE,
            stderr=PIPE,
        )
        said, errors = await process.communicate()
        return process.returncode, (said + errors).decode()

    return run


async def test_a_refused_token_is_said_in_words(server, host):
    code, said = await host("run", token="not.the.token")
    assert (code, "Discord refuses the token" in said, "Traceback" in said) == (WRONG_SETUP, True, False), said
    assert "Unauthorized" in server.world.violations.pop()


async def test_a_refused_intent_is_said_in_words(server, host):
    server.gateway.refuse_intents = True
    code, said = await host("run")
    assert (code, "message content intent is off" in said) == (WRONG_SETUP, True), said
    assert server.world.token not in said


async def test_check_asks_discord(server, host):
    _, said = await host("check")
    assert "✓ Token of lorelei" in said
    assert "✓ Message content intent" in said
    assert server.world.token not in said
    assert "Traceback" not in said
