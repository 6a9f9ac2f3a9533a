"""/dataset: create, show, list, delete; and the buttons of the dataset's card and of its questions."""

from __future__ import annotations

import contextlib
import logging
from types import MappingProxyType
from typing import Any

import discord
from discord import app_commands

from bot.cards.dataset import consent_card, dataset_lines, delete_card, note_card
from bot.cards.manage import helping_card
from bot.cards.text import escaped
from bot.commands.actions import Action
from bot.commands.choose import autocomplete_class_word, autocomplete_dataset, chosen_dataset, meant_dataset
from bot.commands.respond import bot_of, respond
from bot.errors import PostError, Refused
from bot.rules.consent import ATTESTATION
from bot.rules.names import kind_of
from bot.store.datasets import NewDataset
from bot.store.rows import Dataset
from bot.threads import missing_permission
from trainer.contract.spec import KINDS

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]


@app_commands.describe(
    name="What you call it, for example: Lisa",
    trigger="A new word that will stand for it in prompts, for example: lisaxl",
    class_word="What it is, in one word: woman, man, dog, car …",
    kind="What is in the pictures",
)
@app_commands.choices(kind=[app_commands.Choice(name=kind, value=kind) for kind in KINDS])
@app_commands.autocomplete(class_word=autocomplete_class_word)
async def create(interaction: Interaction, name: str, trigger: str, class_word: str, kind: str) -> None:
    """Start a dataset in a thread of its own"""
    channel = interaction.channel
    if interaction.guild_id is None or not isinstance(channel, discord.TextChannel) or channel.is_news():
        raise Refused(
            "A dataset begins in an ordinary text channel of a server, not in a thread, an announcement channel or a"
            " direct message. Use the command there."
        )
    if lack := missing_permission(interaction.app_permissions, private=kind == "person"):
        raise Refused(lack)
    services = bot_of(interaction).services
    dataset = await services.datasets.create(
        NewDataset(
            guild_id=interaction.guild_id,
            channel_id=channel.id,
            owner_id=interaction.user.id,
            name=name,
            trigger=trigger,
            class_word=class_word,
            kind=kind_of(kind),
        )
    )
    if dataset.state == "awaiting-consent":
        await respond(interaction, view=consent_card(dataset, ATTESTATION))
        return
    await interaction.response.defer(ephemeral=True, thinking=True)
    dataset = await services.threads.ensure(dataset.id)
    await respond(interaction, _open_sentence(dataset))


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def show(interaction: Interaction, dataset: str | None = None) -> None:
    """Bring back a dataset's card"""
    found = await meant_dataset(interaction, dataset)
    datasets = bot_of(interaction).services.datasets
    if await datasets.role(found.id, interaction.user.id) == "asked":
        await respond(interaction, view=helping_card(found))
        return
    found = await datasets.allowed(found.id, interaction.user.id, "see")
    if found.state == "awaiting-consent":
        await respond(interaction, view=consent_card(found, ATTESTATION))
        return
    await interaction.response.defer(ephemeral=True, thinking=True)
    found = await bot_of(interaction).services.threads.ensure(found.id)
    await respond(interaction, _open_sentence(found))


async def show_all(interaction: Interaction) -> None:
    """Your datasets in this server, and those you help with"""
    datasets = bot_of(interaction).services.datasets
    mine = await datasets.of_member(_guild(interaction), interaction.user.id)
    helped = await datasets.helped_by(_guild(interaction), interaction.user.id)
    states = [await datasets.overview(each.id) for each in (*mine, *helped)]
    await respond(interaction, dataset_lines(states, interaction.user.id))


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def delete(interaction: Interaction, dataset: str | None = None) -> None:
    """Delete a dataset with everything of it"""
    await _ask_delete(interaction, (await chosen_dataset(interaction, dataset)).id)


async def _pressed_delete(interaction: Interaction, parts: list[str]) -> None:
    await _ask_delete(interaction, int(parts[0]))


async def _ask_delete(interaction: Interaction, dataset_id: int) -> None:
    plan = await bot_of(interaction).services.datasets.plan_delete(dataset_id, interaction.user.id)
    await respond(interaction, view=delete_card(plan))


async def _confirmed_delete(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    dataset = await services.datasets.owned(int(parts[0]), interaction.user.id)
    await interaction.response.edit_message(view=note_card(f"Deleting {escaped(dataset.name)} …"))
    try:
        deleted = await services.datasets.delete(dataset.id, interaction.user.id, services.threads.remove)
        end = "is deleted." if deleted.complete else "is deleted as soon as its training has stopped."
        if not deleted.thread_gone:
            end += " I may not delete its thread (Manage Threads), so I removed my messages in it."
    except PostError as error:
        log.warning("a thread is not deleted yet: %s", error, extra={"dataset": dataset.id})
        end = "is being deleted. Discord had a problem just now, so I try again by myself."
    log.info("dataset deleted by its owner", extra={"dataset": dataset.id})
    with contextlib.suppress(discord.HTTPException):  # the question may have been in the deleted thread
        await interaction.edit_original_response(view=note_card(f"{escaped(dataset.name)} {end}"))


async def _confirmed_consent(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    dataset = await services.datasets.give_consent(int(parts[0]), interaction.user.id)
    await interaction.response.edit_message(view=note_card("Thank you. Opening a private thread …"))
    dataset = await services.threads.ensure(dataset.id)
    await interaction.edit_original_response(view=note_card(_open_sentence(dataset)))


async def _cancelled_consent(interaction: Interaction, parts: list[str]) -> None:
    datasets = bot_of(interaction).services.datasets
    dataset = await datasets.owned(int(parts[0]), interaction.user.id)
    if dataset.state != "awaiting-consent":
        raise Refused("You have confirmed already. To take it back, delete the dataset: /dataset delete")
    await datasets.delete(dataset.id, interaction.user.id)
    await interaction.response.edit_message(view=note_card("Cancelled. Nothing was kept."))


async def _dismissed(interaction: Interaction, parts: list[str]) -> None:
    await interaction.response.edit_message(view=note_card("Nothing was changed."))


def _open_sentence(dataset: Dataset) -> str:
    return f"**{escaped(dataset.name)}** is gathered here: <#{dataset.thread_id}>"


def _guild(interaction: Interaction) -> int:
    if interaction.guild_id is None:
        raise Refused("Datasets belong to a server; use this command in one.")
    return interaction.guild_id


ACTIONS: MappingProxyType[str, Action] = MappingProxyType(
    {
        "consent": _confirmed_consent,
        "consent-cancel": _cancelled_consent,
        "delete": _pressed_delete,
        "delete-yes": _confirmed_delete,
        "dismiss": _dismissed,
    }
)
