"""/captions options: how the tagger writes a dataset's captions."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import discord
from discord import app_commands

from bot.cards import tag_options as cards
from bot.commands.actions import Action, chosen_of, text_of
from bot.commands.choose import autocomplete_dataset, chosen_dataset
from bot.commands.respond import bot_of, show
from bot.rules.captions.tag_words import parsed_cut, parsed_replacements, parsed_tags
from bot.rules.captions.tagging import CHARACTERS, PROFILES
from bot.services.dataset.tag_options import options_of
from bot.store.rows import Dataset

Interaction = discord.Interaction[Any]


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def options(interaction: Interaction, dataset: str | None = None) -> None:
    """Choose how the tagger writes captions"""
    await show_options(interaction, await chosen_dataset(interaction, dataset, "edit"))


async def show_options(interaction: Interaction, dataset: Dataset) -> None:
    """The card with what holds for the dataset."""
    host = bot_of(interaction).config.tagger
    await show(interaction, cards.options_card(dataset, options_of(dataset, host), host.model))


async def _words(interaction: Interaction, parts: list[str]) -> None:
    dataset = await _editable(interaction, parts)
    now = options_of(dataset, bot_of(interaction).config.tagger)
    await interaction.response.send_modal(cards.words_form(dataset.id, now))


async def _model(interaction: Interaction, parts: list[str]) -> None:
    dataset = await _editable(interaction, parts)
    host = bot_of(interaction).config.tagger
    await interaction.response.send_modal(
        cards.model_form(dataset.id, options_of(dataset, host), host.models, host.model)
    )


async def _words_chosen(interaction: Interaction, parts: list[str]) -> None:
    now = options_of(await _editable(interaction, parts), bot_of(interaction).config.tagger)
    undesired, replaced, first = map(len, cards.shown_words(now))
    await _change(
        interaction,
        parts,
        undesired=parsed_tags(text_of(interaction, cards.UNDESIRED)) + now.undesired[undesired:],
        replacements=parsed_replacements(text_of(interaction, cards.REPLACED)) + now.replacements[replaced:],
        first=parsed_tags(text_of(interaction, cards.FIRST)) + now.first[first:],
    )


async def _model_chosen(interaction: Interaction, parts: list[str]) -> None:
    model = next(iter(chosen_of(interaction, cards.MODEL)), cards.HOST_MODEL)
    profile = next((each for each in PROFILES if [each] == chosen_of(interaction, cards.PROFILE)), "plain")
    names = next((each for each in CHARACTERS if [each] == chosen_of(interaction, cards.NAMES)), "keep")
    extras = chosen_of(interaction, cards.EXTRAS)
    await _change(
        interaction,
        parts,
        model="" if model == cards.HOST_MODEL else model,
        profile=profile,
        characters=names,
        ratings="first" if "first" in extras else "last" if "last" in extras else "no",
        underscores="underscores" in extras,
        **parsed_cut(text_of(interaction, cards.CUT)),
    )


async def _reset(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    await services.bulk.settings.reset(int(parts[0]), interaction.user.id)
    await show_options(interaction, await _editable(interaction, parts))


async def _change(interaction: Interaction, parts: list[str], **values: Any) -> None:
    await bot_of(interaction).services.bulk.settings.change(int(parts[0]), interaction.user.id, **values)
    await show_options(interaction, await _editable(interaction, parts))


async def _editable(interaction: Interaction, parts: list[str]) -> Dataset:
    return await bot_of(interaction).services.datasets.allowed(int(parts[0]), interaction.user.id, "edit")


ACTIONS: MappingProxyType[str, Action] = MappingProxyType(
    {"tagger-words": _words, "tagger-model": _model, "tagger-reset": _reset}
)
SUBMITS: MappingProxyType[str, Action] = MappingProxyType(
    {"tagger-words": _words_chosen, "tagger-model": _model_chosen}
)
