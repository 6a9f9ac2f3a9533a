"""The loopback Discord itself: what it must refuse, keep and sign for the other tests to mean something."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.bot.conftest import make_picture
from tests.wire.actors import Actor
from tests.wire.discord_server import API
from tests.wire.openapi import SPEC_FILE

needs_spec = pytest.mark.skipif(not SPEC_FILE.is_file(), reason="Discord's OpenAPI file is not beside this checkout")
QUIET = {"allowed_mentions": {"parse": []}}


@pytest.fixture
async def client(server) -> AsyncIterator[aiohttp.ClientSession]:
    """Requests with the bot's token."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bot {server.world.token}"}) as session:
        yield session


@pytest.fixture
def messages_url(server) -> str:
    return f"{server.base_url}{API}/channels/{server.world.channel.id}/messages"


async def test_a_nonce_is_accepted_once_while_it_is_fresh(server, client, messages_url):
    body = {"content": "hello", "nonce": "7", "enforce_nonce": True, **QUIET}

    async def send() -> str:
        async with client.post(messages_url, json=body) as answer:
            return (await answer.json())["id"]

    first = await send()
    assert await send() == first
    server.world.nonce_seconds = 0
    assert await send() != first
    assert len(server.world.everywhere("hello")) == 2
    async with client.get(messages_url) as answer:
        assert all("nonce" not in message for message in await answer.json())


async def test_a_file_over_the_limit_is_refused(server, client, messages_url):
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("payload_json", '{"attachments": [{"id": 0, "filename": "a.bin"}]}')
    form.add_field("files[0]", io.BytesIO(bytes(10 * 1024 * 1024 + 1)), filename="a.bin")
    async with client.post(messages_url, data=form) as answer:
        assert answer.status == 413
        assert (await answer.json())["code"] == 40005
    assert "40005" in server.world.violations.pop()


async def test_links_of_files_are_signed(server, client, messages_url):
    await Actor(server, "alice").post(server.world.channel, "", [("a.png", make_picture(format="PNG"), "image/png")])
    async with client.get(messages_url) as answer:
        (attachment,) = (await answer.json())[0]["attachments"]
    assert (attachment["width"], attachment["height"]) == (96, 96)
    async with client.get(attachment["url"]) as answer:
        assert await answer.read() == make_picture(format="PNG")
    async with client.get(attachment["url"].replace("hm=", "hm=0")) as answer:
        assert answer.status == 404


async def test_a_wrong_token_is_refused(server, messages_url):
    wrong = {"Authorization": "Bot somebody.else"}
    async with aiohttp.ClientSession(headers=wrong) as session, session.get(messages_url) as answer:
        assert answer.status == 401
    assert "Unauthorized" in server.world.violations.pop()


@needs_spec
@pytest.mark.parametrize(
    ("method", "path", "body", "complaint"),
    [
        ("POST", "/channels/{c}/messages", {"content": 5, **QUIET}, "content"),
        ("POST", "/channels/{c}/messages", {"content": "x" * 2001, **QUIET}, "2001"),
        ("POST", "/channels/{c}/messages", {"content": "hi"}, "allowed_mentions"),
        ("POST", "/channels/{c}/messages", {"embeds": [{"title": "x" * 257}]}, "embeds/0/title"),
        ("POST", "/channels/{c}/messages", {"nonce": "x" * 26}, "nonce"),
        ("POST", "/channels/{c}/messages", {"attachments": [{"id": 5}], **QUIET}, "neither uploaded nor kept"),
        (
            "POST",
            "/channels/{c}/messages",
            {"flags": 1 << 15, "components": [{"type": 12, "items": [{"media": {"url": "attachment://a.png"}}]}]},
            "attachment://a.png",
        ),
        ("POST", "/channels/abc/messages", {"sticker_ids": ["1"]}, "channel_id"),
        ("GET", "/channels/{c}/messages?limit=101", None, "limit"),
        ("GET", "/channels/{c}/messages?count=1", None, "count"),
        ("GET", "/nowhere", None, "no such route"),
        ("PUT", "/applications/1/commands", [{"name": "Bad Name", "description": "x"}], "command name"),
    ],
)
async def test_an_invalid_request_is_refused_and_remembered(server, client, method, path, body, complaint):
    url = server.base_url + API + path.format(c=server.world.channel.id)
    async with client.request(method, url, json=body) as answer:
        assert answer.status in (400, 404)
    assert any(complaint in problem for problem in server.world.violations), server.world.violations
    server.world.violations.clear()


async def test_a_separate_process_is_redirected_and_other_modules_are_left_alone(server):
    code = "import sys; early = 'discord' in sys.modules; import discord; print(early, discord.http.Route.BASE)"
    environment = os.environ | server.environment
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=environment, stdout=PIPE)
    output, _ = await process.communicate()
    assert output.decode().split() == ["False", server.base_url + API]
