"""The link with which a server's manager invites the bot, asking for exactly what it uses."""

from __future__ import annotations

import base64
import binascii

import discord

from bot.errors import ConfigError

PERMISSIONS = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    create_public_threads=True,
    create_private_threads=True,  # datasets of persons
    manage_threads=True,  # delete a dataset's thread with it, unarchive a thread before its card is edited
    attach_files=True,
    read_message_history=True,  # find its own messages again
)
"""What the bot asks for; nothing of a moderator's."""

SCOPES = ("bot", "applications.commands")


def invite_link(token: str) -> str:
    """The invitation link of the bot with this token; raises ConfigError when it is no token."""
    return discord.utils.oauth_url(application_id(token), permissions=PERMISSIONS, scopes=SCOPES)


def application_id(token: str) -> int:
    """The bot's id, which is the first part of its token in base64; raises ConfigError when it is no token."""
    first, *others = token.split(".")
    try:
        text = base64.b64decode(first + "=" * (-len(first) % 4), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = ""
    if len(others) != 2 or not text.isdigit():
        raise ConfigError(
            "the token does not look like a Discord bot token (three parts with dots); copy it anew from "
            "https://discord.com/developers/applications > your application > Bot > Reset Token"
        )
    return int(text)


def permission_names() -> list[str]:
    """The permissions as Discord's settings call them."""
    return [name.replace("_", " ").title() for name, given in PERMISSIONS if given]
