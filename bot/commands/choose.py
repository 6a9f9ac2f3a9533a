"""Which dataset a command means: the one named, the thread's, or the only one; and what autocomplete offers."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from bot.commands.respond import bot_of
from bot.errors import Refused
from bot.rules.access import Deed
from bot.store.rows import Dataset

Interaction = discord.Interaction[Any]

CHOICES = 25
"""Discord's limit of autocomplete choices and of a select's options."""

CLASS_WORDS = (
    *("woman", "man", "girl", "boy", "person", "character", "style"),
    *("dog", "cat", "horse", "bird", "car", "toy", "bag", "shoe", "building", "dish"),
)


async def autocomplete_class_word(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """Usual class words; any other may be typed."""
    wanted = current.strip().lower()
    found = [word for word in CLASS_WORDS if word.startswith(wanted)] if wanted else list(CLASS_WORDS)
    return [app_commands.Choice(name=word, value=word) for word in found[:CHOICES]]


async def autocomplete_dataset(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    """The member's own datasets in this server, then those the member helps with."""
    if interaction.guild_id is None:
        return []
    datasets = bot_of(interaction).services.datasets
    who = interaction.guild_id, interaction.user.id
    found = [*await datasets.of_member(*who, current), *await datasets.helped_by(*who, current)]
    return [app_commands.Choice(name=each.name, value=str(each.id)) for each in found[:CHOICES]]


async def chosen_dataset(interaction: Interaction, given: str | None, deed: Deed = "manage") -> Dataset:
    """The dataset that a command is about, if the member may do that with it (bot.rules.access).

    Raises Refused (what to do instead), NotFound, NotYours.
    """
    found = await meant_dataset(interaction, given)
    return await bot_of(interaction).services.datasets.allowed(found.id, interaction.user.id, deed)


async def meant_dataset(interaction: Interaction, given: str | None) -> Dataset:
    """The dataset that a command is about, whatever the member may do with it; raises Refused (what to do instead)."""
    if interaction.guild_id is None:
        raise Refused("Datasets belong to a server; use this command in one.")
    datasets = bot_of(interaction).services.datasets
    mine = await datasets.of_member(interaction.guild_id, interaction.user.id)
    helped = await datasets.helped_by(interaction.guild_id, interaction.user.id)
    if given:
        named = [each for each in (*mine, *helped) if given == str(each.id) or given.casefold() == each.name.casefold()]
        if not named:
            raise Refused("You have no dataset of that name here. /dataset list shows yours.")
        return named[0]
    here = await datasets.for_thread(interaction.channel_id) if interaction.channel_id else None
    if here is not None:
        return here
    in_use = [each for each in mine or helped if each.archived_at is None]
    if len(in_use) == 1:
        return in_use[0]
    if not mine and not helped:
        raise Refused("You have no dataset here yet. Start one with /dataset create")
    raise Refused("Use this in the dataset's thread, or say which dataset you mean.")
