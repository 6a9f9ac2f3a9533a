"""/dataset captions, and the buttons of a batch's card: page, edit a caption, remove a picture."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import discord
from discord import app_commands

from bot.cards.captions import CAPTION_FIELD, batch_links, caption_form, remove_card
from bot.cards.dataset import note_card
from bot.cards.parts import upload
from bot.commands.actions import Action, text_of
from bot.commands.choose import autocomplete_dataset, chosen_dataset
from bot.commands.respond import bot_of, respond
from bot.errors import NotFound
from bot.store.cards import get_card, mark_dirty, set_page
from bot.store.pictures import batch_places

Interaction = discord.Interaction[Any]

LINKS = 10
"""Most batches listed at once; older ones are further up in the thread."""


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def captions(interaction: Interaction, dataset: str | None = None) -> None:
    """Find the cards with your pictures and captions again"""
    services = bot_of(interaction).services
    found = await chosen_dataset(interaction, dataset, "see")
    async with services.store.transaction() as tx:
        places = (await batch_places(tx, found.id))[:LINKS]
        for place in places:  # drawn again, or posted again if somebody deleted it
            await mark_dirty(tx, "batch", place.batch_id)
    services.wake_cards()
    await respond(interaction, batch_links(found.guild_id, places))


async def _next(interaction: Interaction, parts: list[str]) -> None:
    await _turn(interaction, int(parts[0]), 1)


async def _previous(interaction: Interaction, parts: list[str]) -> None:
    await _turn(interaction, int(parts[0]), -1)


async def _turn(interaction: Interaction, batch_id: int, by: int) -> None:
    """Show another page; everybody in the thread sees the same one, so only those who work on it turn it."""
    services = bot_of(interaction).services
    async with services.store.transaction() as tx:
        card = await get_card(tx, "batch", batch_id)
    page = await services.captions.page(batch_id, (card.page if card else 0) + by)
    await services.datasets.allowed(page.dataset.id, interaction.user.id, "see")
    async with services.store.transaction() as tx:
        await set_page(tx, "batch", batch_id, page.index)
    await _redraw(interaction, batch_id)


async def _edit(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    picture = await services.captions.get(int(parts[0]))
    await services.datasets.allowed(picture.dataset_id, interaction.user.id, "edit")
    await interaction.response.send_modal(caption_form(picture))


async def _edited(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    picture_id, revision = int(parts[0]), int(parts[1])
    picture = await services.captions.edit(
        picture_id, interaction.user.id, text_of(interaction, CAPTION_FIELD), revision
    )
    await _redraw(interaction, picture.batch_id)


async def _remove(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    picture = await services.captions.get(int(parts[0]))
    await services.datasets.allowed(picture.dataset_id, interaction.user.id, "edit")
    await respond(interaction, view=remove_card(picture))


async def _confirmed_remove(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    removed = await services.captions.remove(int(parts[0]), interaction.user.id)
    async with services.store.transaction() as tx:
        await mark_dirty(tx, "batch", removed.picture.batch_id, urgent=True)
        await mark_dirty(tx, "dataset", removed.picture.dataset_id, urgent=True)
    services.wake_cards()
    await interaction.response.edit_message(view=note_card("Removed."))


async def _redraw(interaction: Interaction, batch_id: int) -> None:
    """Answer by drawing the card the button is on, at once and not at the card editor's pace."""
    services = bot_of(interaction).services
    async with services.store.transaction() as tx:
        card = await get_card(tx, "batch", batch_id)
        if card is not None and card.dirty:  # the editor may be drawing an older state that arrives after ours
            await mark_dirty(tx, "batch", batch_id, urgent=True)
    drawing = await services.drawer.batch(str(batch_id))
    if drawing is None:
        raise NotFound("This batch no longer exists.")
    try:
        await interaction.response.edit_message(view=drawing.view, attachments=[upload(file) for file in drawing.files])
    except discord.HTTPException:  # too late, or Discord failed: what changed must still be seen
        async with services.store.transaction() as tx:
            await mark_dirty(tx, "batch", batch_id, urgent=True)
        services.wake_cards()
        raise


ACTIONS: MappingProxyType[str, Action] = MappingProxyType(
    {
        "cap-next": _next,
        "cap-prev": _previous,
        "cap-edit": _edit,
        "cap-remove": _remove,
        "cap-remove-yes": _confirmed_remove,
    }
)
SUBMITS: MappingProxyType[str, Action] = MappingProxyType({"caption": _edited})
