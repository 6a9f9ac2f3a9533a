"""State of the loopback Discord: guild, members, channels, messages, files, interactions.

It lives in the test's process and outlives every bot process that connects to it, as Discord does.
"""

from __future__ import annotations

import asyncio
import base64
import io
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from PIL import Image

DISCORD_EPOCH_MS = 1_420_070_400_000
FILE_LIMIT = 10 * 1024 * 1024
TEXT, DM, PUBLIC_THREAD, PRIVATE_THREAD = 0, 1, 11, 12
EPHEMERAL, LOADING, SILENT, COMPONENTS_V2 = 1 << 6, 1 << 7, 1 << 12, 1 << 15
ADMINISTRATOR = 1 << 3
MEMBER_PERMISSIONS = (1 << 10) | (1 << 11) | (1 << 15) | (1 << 16) | (1 << 31) | (1 << 38)
"""View, send, attach files, read history, use commands, send in threads."""
BOT_PERMISSIONS = MEMBER_PERMISSIONS | (1 << 13) | (1 << 14) | (1 << 34) | (1 << 35) | (1 << 36)
"""A member's, and manage messages, embed links, manage threads, create public and private threads."""

T = TypeVar("T")
Render = Callable[[int], dict[str, Any]]
"""Renders an event for a session of the given intents."""


class ApiError(Exception):
    """What Discord refuses, as its JSON error: HTTP status, error code, message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message = status, code, message


@dataclass(eq=False, repr=False)
class User:
    id: int
    name: str
    bot: bool = False
    permissions: int = MEMBER_PERMISSIONS


@dataclass(eq=False, repr=False)
class StoredFile:
    """A file on the CDN; `kind` is the first folder of its path."""

    id: int
    name: str
    data: bytes
    content_type: str
    channel_id: int
    kind: str = "attachments"
    description: str | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of a picture, as Discord finds them for the formats it knows."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(io.BytesIO(self.data)) as picture:
                    return picture.size
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None


@dataclass(eq=False, repr=False)
class Channel:
    id: int
    type: int
    name: str
    parent: Channel | None = None
    owner: User | None = None
    members: dict[int, User] = field(default_factory=dict)
    archived: bool = False
    locked: bool = False
    auto_archive: int = 1440
    messages: dict[int, Message] = field(default_factory=dict)
    """What the channel's history shows, oldest first."""

    @property
    def is_thread(self) -> bool:
        return self.type in (PUBLIC_THREAD, PRIVATE_THREAD)

    def sees(self, user: User) -> bool:
        return self.type not in (DM, PRIVATE_THREAD) or user.id in self.members


@dataclass(eq=False, repr=False)
class Message:
    id: int
    channel: Channel
    author: User
    content: str = ""
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    files: list[StoredFile] = field(default_factory=list)
    flags: int = 0
    type: int = 0
    nonce: str | None = None
    mentions: list[User] = field(default_factory=list)
    reference: Message | None = None
    edited_at: float | None = None
    edits: int = 0
    ephemeral_to: User | None = None
    interaction: Interaction | None = None

    @property
    def silent(self) -> bool:
        return bool(self.flags & SILENT)

    @property
    def text(self) -> str:
        """Every text a reader sees, in order, one a line."""
        embeds = [part for e in self.embeds for part in (e.get("title"), e.get("description")) if part]
        fields = [f"{f['name']} {f['value']}" for e in self.embeds for f in e.get("fields", ())]
        displays = [c["content"] for c in self.walk() if c["type"] == 10]
        return "\n".join(part for part in (self.content, *embeds, *fields, *displays) if part)

    def walk(self) -> Iterator[dict[str, Any]]:
        """Every component, nested ones too."""
        yield from walk_components(self.components)

    def control(self, name: str) -> dict[str, Any]:
        """The button or menu whose custom_id or label is `name`, or whose custom_id begins with it."""
        controls = [c for c in self.walk() if "custom_id" in c or "url" in c]
        for test in (
            lambda c: c.get("custom_id") == name or c.get("label") == name,
            lambda c: str(c.get("custom_id", "")).startswith(name),
        ):
            if found := [c for c in controls if test(c)]:
                return found[0]
        known = [(c.get("label"), c.get("custom_id")) for c in controls]
        raise AssertionError(f"no control {name!r} on this message; it has {known}\n{self.text}")


@dataclass(eq=False, repr=False)
class Interaction:
    """Something a member did, and what the bot answered so far."""

    id: int
    token: str
    kind: int
    user: User
    channel: Channel
    data: dict[str, Any]
    message: Message | None = None
    created: float = field(default_factory=time.monotonic)
    expired: bool = False
    answered_with: int | None = None
    modal: dict[str, Any] | None = None
    choices: list[dict[str, Any]] | None = None
    original: Message | None = None
    followups: list[Message] = field(default_factory=list)

    @property
    def waiting(self) -> bool:
        """True while the member sees "thinking …"."""
        return self.original is not None and bool(self.original.flags & LOADING)

    @property
    def texts(self) -> str:
        """All text this interaction was answered with."""
        return "\n".join(m.text for m in (self.original, *self.followups) if m is not None)


def walk_components(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The components and all that is nested in them, depth first."""
    for component in components:
        yield component
        yield from walk_components(component.get("components", []))
        for key in ("accessory", "component"):
            if key in component:
                yield from walk_components([component[key]])


class World:
    """One guild with a bot in it. Listeners hear every event: name, a function that renders it, its channel."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.nonce_seconds = 300.0
        self.ack_seconds = 3.0
        self.file_limit = FILE_LIMIT
        self.cdn_seconds = 24 * 3600.0
        self.violations: list[str] = []
        self.users: dict[int, User] = {}
        self.channels: dict[int, Channel] = {}
        self.messages: dict[int, Message] = {}
        self.files: dict[int, StoredFile] = {}
        self.interactions: dict[int, Interaction] = {}
        self.commands: list[dict[str, Any]] = []
        self.command_syncs = 0
        self.nonces: dict[tuple[int, str], tuple[float, Message]] = {}
        self.listeners: list[Callable[[str, Render, Channel | None], None]] = []
        self._last_id = 0
        self._changes: set[asyncio.Event] = set()
        self.guild_id = self.new_id()
        self.application_id = self.new_id()
        # A bot's token begins with its application's id, and people's tools read it from there.
        self.token = base64.urlsafe_b64encode(str(self.application_id).encode()).decode().rstrip("=") + ".loop.back"
        self.bot = self.add_user("lorelei", bot=True, permissions=BOT_PERMISSIONS, user_id=self.application_id)
        self.host = self.add_user("host", permissions=ADMINISTRATOR | MEMBER_PERMISSIONS)
        self.channel = self.add_channel("workshop")

    def new_id(self) -> int:
        """A snowflake of now, always above the last one."""
        stamp = (int(time.time() * 1000) - DISCORD_EPOCH_MS) << 22
        self._last_id = max(stamp, self._last_id + 1)
        return self._last_id

    def add_user(
        self, name: str, *, bot: bool = False, permissions: int = MEMBER_PERMISSIONS, user_id: int | None = None
    ) -> User:
        user = User(user_id or self.new_id(), name, bot, permissions)
        self.users[user.id] = user
        return user

    def add_channel(self, name: str, kind: int = TEXT, **details: Any) -> Channel:
        channel = Channel(self.new_id(), kind, name, **details)
        self.channels[channel.id] = channel
        return channel

    def direct_channel(self, user: User) -> Channel:
        """The DM channel between the bot and a member, made at the first call."""
        for channel in self.channels.values():
            if channel.type == DM and user.id in channel.members:
                return channel
        return self.add_channel(user.name, DM, members={user.id: user, self.bot.id: self.bot})

    def add_file(self, name: str, data: bytes, content_type: str, channel: Channel, **details: Any) -> StoredFile:
        file = StoredFile(self.new_id(), name, data, content_type, channel.id, **details)
        self.files[file.id] = file
        return file

    @property
    def threads(self) -> list[Channel]:
        return [channel for channel in self.channels.values() if channel.is_thread]

    def everywhere(self, text: str) -> list[Message]:
        """Messages in any channel's history that contain the text."""
        return [m for c in self.channels.values() for m in c.messages.values() if text in m.text]

    def violation(self, problem: str) -> None:
        """Note something Discord would refuse or a member would suffer; the test fails at its end."""
        self.violations.append(problem)

    def emit(self, event: str, render: Render, channel: Channel | None = None) -> None:
        """Tell every listener, and whoever waits."""
        for listener in self.listeners:
            listener(event, render, channel)
        self.touch()

    def touch(self) -> None:
        """Something changed: look again."""
        for change in self._changes:
            change.set()

    async def wait_for(self, found: Callable[[], T], timeout: float = 30.0, what: str = "") -> T:
        """The first true value of `found`; looked at after every change here, and now and then for changes elsewhere.

        Raises AssertionError with the conversation when it never comes.
        """
        change, deadline = asyncio.Event(), time.monotonic() + timeout
        self._changes.add(change)
        try:
            while not (value := found()):
                if time.monotonic() > deadline:
                    raise AssertionError(f"waited {timeout:.0f} s for {what or found}\n{self.transcript()}")
                change.clear()
                try:
                    await asyncio.wait_for(change.wait(), 0.05)
                except TimeoutError:
                    continue
            return value
        finally:
            self._changes.discard(change)

    def transcript(self) -> str:
        """The conversation as text, for failure reports."""
        lines = []
        for channel in self.channels.values():
            lines.append(f"--- {channel.name} (type {channel.type}{', archived' if channel.archived else ''})")
            lines += [
                f"{m.author.name}: {m.text!r} files={[f.name for f in m.files]} edits={m.edits}"
                for m in channel.messages.values()
            ]
        lines += [f"violation: {problem}" for problem in self.violations]
        return "\n".join(lines)
