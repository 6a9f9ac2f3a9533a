"""/dataset rename, copy, merge, archive; and the buttons behind *More* on a dataset's card."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import Any

import discord
from discord import app_commands

from bot.cards.dataset import note_card
from bot.cards.manage import (
    NAME_FIELD,
    copy_card,
    merge_card,
    merge_pick_card,
    merged_text,
    more_card,
    rename_form,
)
from bot.cards.text import escaped
from bot.commands.actions import Action, text_of, values_of
from bot.commands.choose import autocomplete_dataset, chosen_dataset
from bot.commands.respond import bot_of, respond
from bot.errors import PostError, Refused
from bot.rules.names import MAX_NAME
from bot.store.rows import Dataset

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]

WHICH = "Which one, if you are not in its thread"


@app_commands.describe(name="The new name", dataset=WHICH)
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def rename(
    interaction: Interaction, name: app_commands.Range[str, 1, MAX_NAME], dataset: str | None = None
) -> None:
    """Give a dataset another name"""
    await _rename(interaction, (await chosen_dataset(interaction, dataset)).id, name)


@app_commands.describe(dataset=WHICH)
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def copy(interaction: Interaction, dataset: str | None = None) -> None:
    """Make a second dataset with the same pictures and captions"""
    await _ask_copy(interaction, (await chosen_dataset(interaction, dataset)).id)


@app_commands.describe(source="Whose pictures move", dataset="Where they move to, if you are not in its thread")
@app_commands.autocomplete(source=autocomplete_dataset, dataset=autocomplete_dataset)
async def merge(interaction: Interaction, source: str, dataset: str | None = None) -> None:
    """Move the pictures of one dataset into another"""
    target = await chosen_dataset(interaction, dataset)
    await _ask_merge(interaction, target.id, (await chosen_dataset(interaction, source)).id)


@app_commands.describe(dataset=WHICH)
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def archive(interaction: Interaction, dataset: str | None = None) -> None:
    """Put a dataset away, or bring it back"""
    await _archive(interaction, await chosen_dataset(interaction, dataset))


async def _more(interaction: Interaction, parts: list[str]) -> None:
    await respond(interaction, view=more_card(await _own(interaction, parts[0])))


async def _pressed_rename(interaction: Interaction, parts: list[str]) -> None:
    await interaction.response.send_modal(rename_form(await _own(interaction, parts[0])))


async def _renamed(interaction: Interaction, parts: list[str]) -> None:
    await _rename(interaction, int(parts[0]), text_of(interaction, NAME_FIELD))


async def _rename(interaction: Interaction, dataset_id: int, name: str) -> None:
    services = bot_of(interaction).services
    dataset = await services.arrange.rename(dataset_id, interaction.user.id, name)
    await interaction.response.defer(ephemeral=True, thinking=True)
    await respond(interaction, f"It is called **{escaped(dataset.name)}** now.{await _follow(interaction, dataset)}")


async def _pressed_copy(interaction: Interaction, parts: list[str]) -> None:
    await _ask_copy(interaction, int(parts[0]))


async def _ask_copy(interaction: Interaction, dataset_id: int) -> None:
    plan = await bot_of(interaction).services.arrange.plan_copy(dataset_id, interaction.user.id)
    await respond(interaction, view=copy_card(plan))


async def _confirmed_copy(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    plan = await services.arrange.plan_copy(int(parts[0]), interaction.user.id)
    await interaction.response.edit_message(view=note_card("Copying …"))
    made = await services.arrange.copy(plan.dataset.id, interaction.user.id, plan.attestation)
    made = await services.threads.ensure(made.id)
    said = f"**{escaped(made.name)}** is gathered here: <#{made.thread_id}>"
    await interaction.edit_original_response(view=note_card(said))


async def _pressed_merge(interaction: Interaction, parts: list[str]) -> None:
    target = await _own(interaction, parts[0])
    mine = await bot_of(interaction).services.datasets.of_member(target.guild_id, interaction.user.id)
    others = [each for each in mine if each.id != target.id and each.archived_at is None and each.state == "open"]
    if not others:
        raise Refused("You have no other dataset in this server whose pictures could move here.")
    await respond(interaction, view=merge_pick_card(target, others))


async def _chosen_merge(interaction: Interaction, parts: list[str]) -> None:
    await _ask_merge(interaction, int(parts[0]), int(values_of(interaction)[0]))


async def _ask_merge(interaction: Interaction, target_id: int, source_id: int) -> None:
    plan = await bot_of(interaction).services.arrange.plan_merge(target_id, source_id, interaction.user.id)
    await respond(interaction, view=merge_card(plan))


async def _confirmed_merge(interaction: Interaction, parts: list[str]) -> None:
    services, (target_id, source_id) = bot_of(interaction).services, map(int, parts)
    plan = await services.arrange.plan_merge(target_id, source_id, interaction.user.id)
    done = await services.arrange.merge(target_id, source_id, interaction.user.id, plan.attestation)
    await interaction.response.edit_message(view=note_card(merged_text(done)))


async def _pressed_archive(interaction: Interaction, parts: list[str]) -> None:
    await _archive(interaction, await _own(interaction, parts[0]))


async def _archive(interaction: Interaction, dataset: Dataset) -> None:
    services = bot_of(interaction).services
    away = dataset.archived_at is None
    await interaction.response.defer(ephemeral=True, thinking=True)
    dataset = await services.arrange.put_away(dataset.id, interaction.user.id, away=away)
    name = escaped(dataset.name)
    said = f"**{name}** is put away. /dataset archive brings it back." if away else f"**{name}** is back."
    await respond(interaction, said + await _follow(interaction, dataset))


async def _follow(interaction: Interaction, dataset: Dataset) -> str:
    """Have the thread follow; what to add to the answer when it did not."""
    try:
        await bot_of(interaction).services.threads.follow(dataset)
    except PostError as error:
        log.warning("a thread does not follow its dataset: %s", error, extra={"dataset": dataset.id})
        return " Its thread could not be changed just now."
    return ""


async def _own(interaction: Interaction, dataset_id: str) -> Dataset:
    return await bot_of(interaction).services.datasets.owned(int(dataset_id), interaction.user.id)


ACTIONS: MappingProxyType[str, Action] = MappingProxyType(
    {
        "more": _more,
        "rename": _pressed_rename,
        "copy": _pressed_copy,
        "copy-yes": _confirmed_copy,
        "merge": _pressed_merge,
        "merge-from": _chosen_merge,
        "merge-yes": _confirmed_merge,
        "archive": _pressed_archive,
    }
)
SUBMITS: MappingProxyType[str, Action] = MappingProxyType({"rename": _renamed})
