"""The demo's page: simcord's preview, kept live, with what it lacks: posting files, the message menu, other channels.

Everything here touches private parts of simcord, which is why its version is pinned. The bot knows nothing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import BodyPartReader, web
from simcord.actors import MemberActor
from simcord.backend.access import can_access_channel
from simcord.backend.errors import BackendError, SetupError
from simcord.builders import ChannelHandle
from simcord.env import Env
from simcord.preview import Preview
from simcord.preview import _server as stock
from simcord.results import ResponseMessage

from bot.demo.harness import free

STATIC = Path(__file__).with_name("static")
ACTION_HEADER = "X-Lorelei-Demo"
REFRESH_SECONDS = 1.0
MAX_FILES = 10
MAX_BYTES = 25 * 1024 * 1024


class DemoServer(stock.PreviewServer):  # type: ignore[misc] # simcord is not typed for mypy
    """The preview's server with three more actions: post files, use the message menu, go to another channel."""

    _STATIC_CONTENT_TYPES: ClassVar[dict[str, str]] = dict(stock.PreviewServer._STATIC_CONTENT_TYPES)

    def __init__(self, preview: Preview, port: int, folder: Path) -> None:
        super().__init__(preview, port)
        index = folder / "index.html"
        index.write_text(_index(), "utf-8")
        css, script = STATIC / "demo.css", STATIC / "demo.js"
        self._STATIC_FILES = {
            **stock.PreviewServer._STATIC_FILES,
            "/": str(index),
            "/demo.css": str(css),
            "/demo.js": str(script),
        }
        self._STATIC_CONTENT_TYPES[str(index)] = "text/html"
        self._STATIC_CONTENT_TYPES[str(css)] = "text/css"

    async def _action(self, request: web.Request) -> web.StreamResponse:
        if ACTION_HEADER not in request.headers:
            answer: web.StreamResponse = await super()._action(request)
            return answer
        context = request.headers.get("X-Simcord-Context")
        if not self._authorized(request, context=context):
            raise web.HTTPUnauthorized
        try:
            page = self.preview._get_page(context)
            fields, files = await _form(request)
            result = await Controls(self.preview, page).act(fields, files)
        except (SetupError, BackendError) as error:
            result = {"error": str(error)}
        return web.json_response(result, headers=self._SECURITY_HEADERS)


class Controls:
    """What the extra bar does for one open page."""

    def __init__(self, preview: Preview, page: Any) -> None:
        self._preview = preview
        self._page = page
        self._env: Env = preview.env
        self._member: MemberActor = page.viewer

    async def act(self, fields: Mapping[str, str], files: list[tuple[str, bytes]]) -> dict[str, Any]:
        """Carry out one action; the answer always lists the channels, so that new threads appear."""
        kind = fields.get("kind")
        await free(self._env)
        if kind == "post":
            await self._member.send(self._preview.channel, fields.get("text", ""), attachments=files)
        elif kind == "menu":
            await self._menu(fields.get("name", ""))
        elif kind == "go":
            show(self._preview, channel_by_id(self._env, self._member, fields.get("channel", "")))
        if kind != "channels":
            for page in tuple(self._preview._pages.values()):
                self._preview._publish(page, reason="action")
        return {
            "channels": [
                {"id": str(channel.id), "name": channel.name, "here": channel.id == self._preview.channel.id}
                for channel in channels(self._env, self._member)
            ],
        }

    async def _menu(self, name: str) -> None:
        """The message menu on the member's newest post with files in this channel."""
        own = [
            message
            for message in self._preview.channel.history(viewer=self._member)
            if message.author.id == self._member.id and message.attachments
        ]
        if not own:
            raise SetupError("Post a picture here first, then use the message menu on it.")
        stored = self._env.backend.get_message(self._preview.channel.id, own[-1].id)
        result = await self._member.context_menu(self._preview.channel, name, ResponseMessage(self._env, stored))
        if result.modal is not None:
            self._page.modal, self._page.modal_handle = result, f"m_demo{own[-1].id}"


def channels(env: Env, member: MemberActor) -> list[ChannelHandle]:
    """Channels and threads the member can read, parents before their threads."""
    handles = [ChannelHandle(env, member.guild, channel) for channel in env.backend.channels.values()]
    visible = [handle for handle in handles if can_access_channel(env, handle.id, member, history=True)]
    return sorted(visible, key=lambda handle: (handle._channel.parent_id or handle.id, handle.is_thread, handle.id))


def channel_by_id(env: Env, member: MemberActor, channel_id: str) -> ChannelHandle:
    """One of `channels`; raises SetupError for any other id."""
    for channel in channels(env, member):
        if str(channel.id) == channel_id:
            return channel
    raise SetupError("That channel is not open to you.")


def show(preview: Preview, channel: ChannelHandle) -> None:
    """Turn every open page to another channel."""
    preview.channel = channel
    for page in tuple(preview._pages.values()):
        page.channel_id = channel.id
        page.generation += 1
        page.window_end_id = None
        page.target_id = preview._initial_target(page.viewer, channel.id)
        preview._publish(page, reason="navigation")


@asynccontextmanager
async def open_page(env: Env, channel: ChannelHandle, member: MemberActor, port: int) -> AsyncIterator[Preview]:
    """Serve the page on 127.0.0.1 while inside; it follows the bot about once a second."""
    with tempfile.TemporaryDirectory(prefix="lorelei-demo-") as folder:
        preview = env.preview(channel, viewers=[member], layout="channel", width=390, height=844, port=port)
        preview._server = DemoServer(preview, port, Path(folder))
        async with preview:
            follower = asyncio.create_task(_follow(env, preview))
            try:
                yield preview
            finally:
                follower.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await follower


async def _follow(env: Env, preview: Preview) -> None:
    """Publish what changed; the stock page only shows what is published."""
    changed = asyncio.Event()
    env.backend.subscribers.append(lambda *_: changed.set())
    while True:
        await changed.wait()
        await asyncio.sleep(REFRESH_SECONDS)
        await free(env)
        changed.clear()
        try:
            await preview.refresh()
        except SetupError:  # an action of the page or the scene began meanwhile
            changed.set()


async def _form(request: web.Request) -> tuple[dict[str, str], list[tuple[str, bytes]]]:
    """Text fields and files of a multipart request; raises HTTPRequestEntityTooLarge."""
    fields: dict[str, str] = {}
    files: list[tuple[str, bytes]] = []
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        data = bytearray()
        while chunk := await part.read_chunk():
            data += chunk
            if len(data) > MAX_BYTES:
                raise web.HTTPRequestEntityTooLarge(max_size=MAX_BYTES, actual_size=len(data))
        if part.filename is None:
            fields[part.name] = data.decode("utf-8", "replace")
        elif len(files) < MAX_FILES:
            files.append((part.filename, bytes(data)))
    return fields, files


def _index() -> str:
    """The stock page with our style and script in its head, read at run time so that it fits the installed version."""
    text = (Path(stock.__file__).with_name("static") / "index.html").read_text("utf-8")
    extra = '<link rel="stylesheet" href="/demo.css"><script src="/demo.js"></script>'
    return text.replace("</head>", f"{extra}</head>").replace("SimCord Preview", "Lorelei: demo")
