"""/dataset helpers: who may work on a dataset beside its owner."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import Any

import discord
from discord import app_commands

from bot.cards.dataset import note_card
from bot.cards.manage import helper_view_card, helpers_card, helping_card, sharing_card
from bot.cards.text import escaped
from bot.commands.actions import Action, users_of
from bot.commands.choose import autocomplete_dataset, chosen_dataset
from bot.commands.respond import bot_of, respond
from bot.errors import PostError, Refused
from bot.rules.consent import SHARING, needs_consent
from bot.store.rows import Dataset

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def helpers(interaction: Interaction, dataset: str | None = None) -> None:
    """Choose who may add pictures and edit captions with you"""
    await _show(interaction, (await chosen_dataset(interaction, dataset, "see")).id)


async def _pressed(interaction: Interaction, parts: list[str]) -> None:
    await _show(interaction, int(parts[0]))


async def _show(interaction: Interaction, dataset_id: int) -> None:
    services = bot_of(interaction).services
    dataset = await services.datasets.allowed(dataset_id, interaction.user.id, "see")
    circle = await services.sharing.circle(dataset_id)
    card = helpers_card if dataset.owner_id == interaction.user.id else helper_view_card
    await respond(interaction, view=card(circle))


async def _chosen(interaction: Interaction, parts: list[str]) -> None:
    """The select holds whom the owner wants from now on: the others go, the new ones come."""
    services, dataset_id = bot_of(interaction).services, int(parts[0])
    dataset = await services.datasets.owned(dataset_id, interaction.user.id)
    wanted = users_of(interaction)
    if any(user.bot for user in wanted):
        raise Refused("A bot cannot help with a dataset. Choose members.")
    known = {each.user_id for each in (await services.sharing.circle(dataset_id)).helpers}
    new = [user.id for user in wanted if user.id not in known and user.id != interaction.user.id]
    if needs_consent(dataset.kind) and len(new) > 1:
        raise Refused("Add one helper at a time: for each you confirm that the person in the pictures agreed.")
    await interaction.response.defer()
    said = [await _take_out(interaction, dataset, each) for each in known - {user.id for user in wanted}]
    if new and needs_consent(dataset.kind):
        await interaction.edit_original_response(view=sharing_card(dataset, new[0]))
        return
    for each in new:
        await services.sharing.invite(dataset_id, interaction.user.id, each)
        said.append(f"<@{each}> helps from now on.")
    if new:
        await services.threads.ensure(dataset_id)
    await interaction.edit_original_response(view=note_card("\n".join(said) or "Nothing was changed."))


async def _confirmed(interaction: Interaction, parts: list[str]) -> None:
    """The owner of a person's dataset confirmed; now it is the helper's turn to agree."""
    services, dataset_id, user_id = bot_of(interaction).services, int(parts[0]), int(parts[1])
    dataset = await services.datasets.owned(dataset_id, interaction.user.id)
    helper = await services.sharing.invite(dataset_id, interaction.user.id, user_id, SHARING)
    said = f"<@{user_id}> helps already."
    if helper.state == "asked":
        said = (
            f"I ask <@{user_id}> in <#{dataset.channel_id}>, without the dataset's name: they agree first and see"
            f" nothing before. Should they miss it: /dataset show, **{escaped(dataset.name)}**."
        )
    await interaction.response.edit_message(view=note_card(said))


async def _asked(interaction: Interaction, parts: list[str]) -> None:
    """Only who is asked sees what for."""
    dataset = await bot_of(interaction).services.sharing.asked(int(parts[0]), interaction.user.id)
    await respond(interaction, view=helping_card(dataset))


async def _agreed(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    dataset = await services.sharing.agree(int(parts[0]), interaction.user.id)
    await interaction.response.edit_message(view=note_card("Thank you. Letting you in …"))
    dataset = await services.threads.ensure(dataset.id)
    said = f"You help with **{escaped(dataset.name)}** now: <#{dataset.thread_id}>"
    await interaction.edit_original_response(view=note_card(said))


async def _declined(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    dataset = await services.datasets.get(int(parts[0]))
    await interaction.response.defer()
    await _take_out(interaction, dataset, interaction.user.id)
    await interaction.edit_original_response(view=note_card("You do not help with this dataset any more."))


async def _take_out(interaction: Interaction, dataset: Dataset, user_id: int) -> str:
    """Out of the database first, which ends what the member may do; then out of the thread."""
    services = bot_of(interaction).services
    await services.sharing.remove(dataset.id, interaction.user.id, user_id)
    try:
        out = await services.threads.let_out(dataset, user_id)
    except PostError as error:
        log.warning("a former helper is still in the thread: %s", error, extra={"dataset": dataset.id})
        out = False
    if out:
        return f"<@{user_id}> does not help any more."
    return f"<@{user_id}> does not help any more, but I could not take them out of the thread: please do it yourself."


ACTIONS: MappingProxyType[str, Action] = MappingProxyType(
    {
        "helpers": _pressed,
        "helpers-set": _chosen,
        "helpers-yes": _confirmed,
        "help-open": _asked,
        "help-yes": _agreed,
        "help-no": _declined,
    }
)
