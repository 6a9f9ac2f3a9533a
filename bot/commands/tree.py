"""The command tree: errors of every slash command and menu end in one place."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from bot.commands.respond import report


class Tree(app_commands.CommandTree[Any]):
    """discord.py's tree with Lorelei's error sentences."""

    async def on_error(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /) -> None:
        """Tell the member what went wrong; log what nobody expected."""
        await report(interaction, error)
