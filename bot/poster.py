"""The Poster on discord.py: by ids and the bot's own token, never by an interaction's, which ends after 15 minutes.

discord.py waits out 429 and tries 5xx again itself, with the same nonce: Discord drops the second of two messages with
one nonce within a few minutes. What remains is mapped here, once, to what the services can act on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import aiohttp
import discord

from bot.cards.parts import Buttons, Card, upload
from bot.errors import MessageGone, PostRefused, PostUnclear
from bot.services.posting.messages import Drawing, FileToSend, Outgoing

UNKNOWN_MESSAGE, ARCHIVED_THREAD, TOO_MANY_EDITS = 10008, 50083, 30046
"""Discord's codes; 30046: messages older than an hour may be edited only so often."""
DEFAULT_UPLOAD_LIMIT = 10 * 1024 * 1024
"""Bytes a bot may upload per file in a server without boosts."""
SEARCHED_MESSAGES = 500


class DiscordPoster:
    """Sends, edits and finds the bot's messages."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    async def send(self, channel_id: int, message: Outgoing) -> int:
        """Post a message; only the one user of `mention` may be notified."""
        below: dict[str, Any] = {} if message.button is None else {"view": Buttons(*message.button)}
        users = [discord.Object(message.mention)] if message.mention is not None else False
        with mapped():
            sent = await self._channel(channel_id).send(
                message.content,
                nonce=message.nonce,
                silent=message.silent,
                allowed_mentions=discord.AllowedMentions(everyone=False, roles=False, replied_user=False, users=users),
                files=_uploads((message.file,) if message.file else ()),
                **below,
            )
        return sent.id

    async def show(self, channel_id: int, drawing: Drawing, nonce: str) -> int:
        """Post a card; it notifies nobody."""
        with mapped():
            sent = await self._channel(channel_id).send(
                view=_card(drawing),
                nonce=nonce,
                silent=True,
                allowed_mentions=discord.AllowedMentions.none(),
                files=_uploads(drawing.files),
            )
        return sent.id

    async def edit(self, channel_id: int, message_id: int, drawing: Drawing) -> None:
        """Draw a card anew; waiting can outlast the thread's auto-archive, so the thread is opened where it must."""
        try:
            await self._edit(channel_id, message_id, drawing)
        except discord.HTTPException as error:
            if error.code != ARCHIVED_THREAD:
                with mapped():
                    raise
            with mapped():
                await self._unarchive(channel_id)
                await self._edit(channel_id, message_id, drawing)
        except (aiohttp.ClientError, TimeoutError, OSError):
            with mapped():
                raise

    async def delete(self, channel_id: int, message_id: int) -> None:
        """Delete one of the bot's messages."""
        with mapped():
            try:
                await self._channel(channel_id).get_partial_message(message_id).delete()
            except discord.NotFound:
                return

    async def find(self, channel_id: int, marker: str, after: float) -> int | None:
        """Look through the bot's own messages since then, newest first."""
        since = dt.datetime.fromtimestamp(after, dt.UTC)
        me = self._client.user
        with mapped():
            history = self._channel(channel_id).history(limit=SEARCHED_MESSAGES, after=since, oldest_first=False)
            async for message in history:
                if me is not None and message.author.id == me.id and _bears(message, marker):
                    return message.id
        return None

    async def upload_limit(self, guild_id: int) -> int:
        """The server's limit; boosts raise it."""
        guild = self._client.get_guild(guild_id)
        return guild.filesize_limit if guild is not None else DEFAULT_UPLOAD_LIMIT

    async def _edit(self, channel_id: int, message_id: int, drawing: Drawing) -> None:
        await (
            self._channel(channel_id)
            .get_partial_message(message_id)
            .edit(
                view=_card(drawing),
                attachments=_uploads(drawing.files),
                allowed_mentions=discord.AllowedMentions.none(),
            )
        )

    async def _unarchive(self, channel_id: int) -> None:
        channel = await self._client.fetch_channel(channel_id)
        if isinstance(channel, discord.Thread):
            await channel.edit(archived=False)

    def _channel(self, channel_id: int) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(channel_id)


def _card(drawing: Drawing) -> Card:
    if not isinstance(drawing.view, Card):
        raise TypeError(f"a card's view is a Card, not {type(drawing.view).__name__}")
    return drawing.view


def _uploads(files: Sequence[FileToSend]) -> list[discord.File]:
    """Fresh uploads: discord.py reads each File once."""
    return [upload(file) for file in files]


def _bears(message: discord.Message, marker: str) -> bool:
    """Whether it is the message with this marker: a part of its words or of a file's name, or a whole custom_id.

    Part of a custom_id would not do: `v1:cap-next:1` is part of `v1:cap-next:12`.
    """
    words = [message.content, *(attachment.filename for attachment in message.attachments)]
    return any(marker in each for each in words) or marker in _custom_ids(message.components)


def _custom_ids(components: Any) -> Iterator[str]:
    for component in components:
        if custom_id := getattr(component, "custom_id", None):
            yield custom_id
        yield from _custom_ids(getattr(component, "children", ()))


@contextmanager
def mapped() -> Iterator[None]:
    """discord.py's and aiohttp's errors as ours; the most special first."""
    try:
        yield
    except discord.NotFound as error:
        kind = MessageGone if error.code == UNKNOWN_MESSAGE else PostRefused
        raise kind(f"Discord does not find it ({error.code} {error.text})") from error
    except discord.HTTPException as error:
        said = f"Discord answered {error.status} ({error.code} {error.text})"
        if error.status == 429 or error.status >= 500 or error.code == TOO_MANY_EDITS:
            raise PostUnclear(said) from error
        raise PostRefused(said) from error
    except discord.RateLimited as error:
        raise PostUnclear(f"Discord asks to wait {error.retry_after:.0f} s") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise PostUnclear(f"no answer from Discord ({type(error).__name__})") from error
