"""What goes to Discord, and the Poster that takes it there: the border that keeps services free of Discord."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bot.store.rows import Post


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file of a message."""

    path: Path | bytes
    """Where it lies, or what is in it."""
    name: str
    """As Discord shows it; no text of a person."""
    description: str = ""
    """Alt text."""


@dataclass(frozen=True, slots=True)
class DownloadLink:
    """Where a finished file can be fetched."""

    url: str
    hours: float
    """How long it works."""
    public: bool
    """False when only the bot's own machine can follow it."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A plain message that is posted once."""

    content: str
    nonce: str
    mention: int | None = None
    """The one user this message may notify."""
    silent: bool = False
    file: FileToSend | None = None
    button: tuple[str, str] | None = None
    """Label and custom_id of a button under it."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a card shows; the poster alone knows the kind of `view` (a discord.ui.LayoutView)."""

    view: Any
    marker: str
    """Text in the view (a custom_id) that no other message of the bot has."""
    files: tuple[FileToSend, ...] = ()


Drawer = Callable[[str], Awaitable[Drawing | None]]
"""Draws the card of a dataset, batch or job by its id as it is now; None when the thing is gone."""


class Poster(Protocol):
    """Discord, as the services need it. Every method raises PostUnclear or PostRefused."""

    async def send(self, channel_id: int, message: Outgoing) -> int:
        """Post a message; returns its id."""

    async def show(self, channel_id: int, drawing: Drawing, nonce: str) -> int:
        """Post a card silently; returns its id."""

    async def edit(self, channel_id: int, message_id: int, drawing: Drawing) -> None:
        """Draw a card anew; raises MessageGone when it was deleted."""

    async def delete(self, channel_id: int, message_id: int) -> None:
        """Delete one of the bot's messages; one that is gone already is fine."""

    async def find(self, channel_id: int, marker: str, after: float) -> int | None:
        """The bot's own message with the marker, posted after the Unix time; None when there is none."""

    async def upload_limit(self, guild_id: int) -> int:
        """Largest file, in bytes, that a message of the bot may carry in this server."""


def marker_of(post: Post) -> str:
    """What identifies a post in a channel's history, e.g. `12-3fa9c1`; another database's post 12 has another one."""
    short = hashlib.sha256(f"{post.id}:{post.channel_id}:{post.created_at!r}".encode()).hexdigest()[:6]
    return f"{post.id}-{short}"
