"""Lorelei: the bot. Everything is built once, here, by constructor."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any

import discord

from bot.commands import actions, add_commands, dynamic_items, submits
from bot.commands.actions import submitted
from bot.commands.tree import Tree
from bot.config import Config
from bot.errors import LoreleiError
from bot.services.all import Services
from bot.store.facts import read_fact, write_fact

log = logging.getLogger(__name__)

STOP_SECONDS = 20.0
"""How long a bot that stops waits for pictures it is reading."""


class Lorelei(discord.Client):
    """The Discord client; `services` holds everything that is not Discord."""

    def __init__(self, config: Config) -> None:
        intents = discord.Intents(guilds=True)
        if config.intake.message_content:
            intents.guild_messages = True
            intents.message_content = True
        super().__init__(intents=intents, allowed_mentions=discord.AllowedMentions.none())
        self.config = config
        self.tree = Tree(self)
        self.actions = actions()
        self._submits = submits()
        self._services: Services | None = None
        self._tasks: list[asyncio.Task[None]] = []
        add_commands(self.tree, config)

    @property
    def services(self) -> Services:
        """All services; they are there between setup_hook and close."""
        if self._services is None:
            raise RuntimeError("the bot is not running")
        return self._services

    async def setup_hook(self) -> None:
        """Open the database, register what buttons do, start the loops; called before the gateway connects."""
        self._services = await Services.open(self.config, self)
        self.add_dynamic_items(*dynamic_items())
        await self._sync_commands()
        self._tasks = self.services.start()

    async def _sync_commands(self) -> None:
        """Register the commands when they changed: Discord allows 200 creations a day."""
        guilds: Sequence[discord.Object | None] = [discord.Object(id) for id in self.config.discord.guild_ids] or [None]
        for guild in guilds:
            if guild is not None:
                self.tree.copy_global_to(guild=guild)
            payload = [command.to_dict(self.tree) for command in self.tree.get_commands(guild=guild)]
            digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
            name = f"commands:{self.application_id}:{guild.id if guild else 'everywhere'}"
            async with self.services.store.transaction() as tx:
                known = await read_fact(tx, name)
            if known == digest:
                continue
            try:
                await self.tree.sync(guild=guild)
            except discord.Forbidden:
                if guild is None:
                    raise
                log.error("no commands in server %s: the bot is not in it; run `python -m bot invite`", guild.id)
                continue
            async with self.services.store.transaction() as tx:
                await write_fact(tx, name, digest)

    async def on_message(self, message: discord.Message) -> None:
        """Posts in a dataset's thread hand over pictures, where the host has switched that on."""
        if self.config.intake.message_content and message.guild is not None and not message.author.bot:
            await self.services.thread_posts.received(message)

    async def on_disconnect(self) -> None:
        """Posts may be missed until there is a new session, or the old one is taken up."""
        if self._services is not None:
            self._services.thread_posts.lost_touch()

    async def on_ready(self) -> None:
        """A new session with Discord, at the start or later: posts that came before it are read now."""
        if self.config.intake.message_content and self._services is not None:
            self._tasks.append(asyncio.create_task(self._catch_up(), name="catching up"))

    async def _catch_up(self) -> None:
        try:
            await self.services.thread_posts.catch_up()
        except LoreleiError as error:
            log.warning("posts that came meanwhile are read later: %s", error)

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Sent-in modals; discord.py itself finds commands and components."""
        await submitted(interaction, self._submits)

    async def close(self) -> None:
        """Finish what members handed over, stop the loops, close the database. Training goes on without the bot."""
        if self._services is not None and not await self._services.posts.under_way.ended(STOP_SECONDS):
            log.warning("stopping in the midst of reading pictures")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._services is not None:
            await self._services.close()
            self._services = None
        await super().close()
