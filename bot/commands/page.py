"""/dataset page and the button *Upload many*: a member's own link to a dataset's web page."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import discord
from discord import app_commands

from bot.cards.manage import page_card
from bot.commands.actions import Action
from bot.commands.choose import autocomplete_dataset, chosen_dataset
from bot.commands.respond import bot_of, respond
from bot.errors import Refused
from bot.store.rows import Dataset

Interaction = discord.Interaction[Any]


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def page(interaction: Interaction, dataset: str | None = None) -> None:
    """Hand over many pictures at once and edit captions on a web page"""
    await _give_link(interaction, await chosen_dataset(interaction, dataset, "add"))


async def _pressed(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    await _give_link(interaction, await services.datasets.allowed(int(parts[0]), interaction.user.id, "add"))


async def _give_link(interaction: Interaction, dataset: Dataset) -> None:
    if dataset.state != "open" or dataset.thread_id is None:
        raise Refused("This dataset is not open yet: /dataset show says what it waits for.")
    link = bot_of(interaction).services.passes.link(dataset.id, interaction.user.id)
    if link is None:
        raise Refused("The web page is down; ask the host of this bot. Add pictures takes up to ten at a time here.")
    await respond(interaction, view=page_card(dataset, link))


ACTIONS: MappingProxyType[str, Action] = MappingProxyType({"page": _pressed})
