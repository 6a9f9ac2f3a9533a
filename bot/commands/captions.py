"""/dataset captions, and the buttons of a batch's card: page, edit a caption, remove a picture."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import discord
from discord import app_commands

from bot.cards.bulk_forms import PICTURES, jump_form
from bot.cards.captions import CAPTION_FIELD, batch_links, caption_form, conflict_card, remove_card, removed_card
from bot.cards.dataset import note_card
from bot.cards.parts import upload
from bot.cards.picture_tags import picture_tags_card, tag_parts
from bot.cards.report import undone_text
from bot.commands.actions import Action, text_of, values_of
from bot.commands.choose import autocomplete_dataset, chosen_dataset
from bot.commands.respond import bot_of, respond, show
from bot.errors import NotFound, Refused
from bot.rules.bulk.captions import tag_code
from bot.rules.bulk.operations import ImportCaptions
from bot.services.bulk.edits import Offer
from bot.services.dataset.captions import RED_ONLY, UNCAPTIONED, CaptionChanged
from bot.services.posting.messages import Drawing
from bot.store.cards import get_card, mark_dirty, set_page, set_shown
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
    place, shows = (card.page, card.shows) if card else (0, "")
    page = await services.captions.page(batch_id, place, shows)  # as it is shown: pictures may have gone
    page = await services.captions.page(batch_id, page.index + by, shows)
    await services.datasets.allowed(page.dataset.id, interaction.user.id, "see")
    async with services.store.transaction() as tx:
        await set_page(tx, "batch", batch_id, page.index)
    await _redraw(interaction, batch_id)


async def _filter(interaction: Interaction, batch_id: int, shows: str) -> None:
    """Show other pictures of the batch, from the first on."""
    services = bot_of(interaction).services
    page = await services.captions.page(batch_id, 0)
    await services.datasets.allowed(page.dataset.id, interaction.user.id, "see")
    async with services.store.transaction() as tx:
        await set_shown(tx, "batch", batch_id, shows)
    await _redraw(interaction, batch_id)


async def _show_bare(interaction: Interaction, parts: list[str]) -> None:
    await _filter(interaction, int(parts[0]), UNCAPTIONED)


async def _show_red(interaction: Interaction, parts: list[str]) -> None:
    await _filter(interaction, int(parts[0]), RED_ONLY)


async def _show_all(interaction: Interaction, parts: list[str]) -> None:
    await _filter(interaction, int(parts[0]), "")


async def _jump(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    page = await services.captions.page(int(parts[0]), 0)
    await services.datasets.allowed(page.dataset.id, interaction.user.id, "see")
    await interaction.response.send_modal(jump_form(int(parts[0])))


async def _jumped(interaction: Interaction, parts: list[str]) -> None:
    """Turn to a picture of the dataset; one on another card is shown there."""
    services, here = bot_of(interaction).services, int(parts[0])
    wanted = text_of(interaction, PICTURES).strip().lstrip("#")
    if not wanted.isdecimal():
        raise Refused("Write the picture's number, as behind # on its card.")
    batch_id, place = await services.captions.find(here, int(wanted))
    page = await services.captions.page(batch_id, place)
    await services.datasets.allowed(page.dataset.id, interaction.user.id, "see")
    async with services.store.transaction() as tx:
        await set_shown(tx, "batch", batch_id, "")
        await set_page(tx, "batch", batch_id, place)
        places = [each for each in await batch_places(tx, page.dataset.id) if each.batch_id == batch_id]
        if batch_id != here:
            await mark_dirty(tx, "batch", batch_id, urgent=True)
    if batch_id == here:
        await _redraw(interaction, batch_id)
        return
    services.wake_cards()
    await respond(interaction, f"It is on another card:\n{batch_links(page.dataset.guild_id, places)}")


async def _tags(interaction: Interaction, parts: list[str]) -> None:
    """The tags of one picture, to be chosen from."""
    await show(interaction, await _tags_of(interaction, int(parts[0])))


async def _tags_of(interaction: Interaction, picture_id: int) -> Drawing:
    services = bot_of(interaction).services
    picture = await services.captions.get(picture_id)
    return picture_tags_card(await services.bulk.edits.captions(picture.dataset_id, interaction.user.id), picture)


async def _kept_tags(interaction: Interaction, parts: list[str]) -> None:
    """Of a part of the caption's tags only the chosen ones stay."""
    picture = await bot_of(interaction).services.captions.get(int(parts[0]))
    dataset = await bot_of(interaction).services.datasets.allowed(picture.dataset_id, interaction.user.id, "edit")
    if picture.revision != int(parts[1]):
        raise Refused("This caption was changed meanwhile, so nothing was done. Press Tags again.")
    offered = tag_parts(dataset, picture)[int(parts[2])]
    chosen = values_of(interaction)
    await _change_tags(interaction, parts, gone=[tag for tag in offered if tag_code(tag) not in chosen])


async def _more_tags(interaction: Interaction, parts: list[str]) -> None:
    """Tags of other captions are written into this one too."""
    services = bot_of(interaction).services
    picture = await services.captions.get(int(parts[0]))
    now = await services.bulk.edits.captions(picture.dataset_id, interaction.user.id)
    await _change_tags(interaction, parts, new=[now.tag(code).tag for code in values_of(interaction)])


async def _change_tags(
    interaction: Interaction, parts: list[str], gone: Sequence[str] = (), new: Sequence[str] = ()
) -> None:
    services, picture_id, revision = bot_of(interaction).services, int(parts[0]), int(parts[1])
    await services.captions.change_tags(picture_id, interaction.user.id, revision, gone, new)
    services.wake_cards()
    await show(interaction, await _tags_of(interaction, picture_id))


async def _edit(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    picture = await services.captions.get(int(parts[0]))
    await services.datasets.allowed(picture.dataset_id, interaction.user.id, "edit")
    await interaction.response.send_modal(caption_form(picture))


async def _edited(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    picture_id, revision = int(parts[0]), int(parts[1])
    tagged = parts[2] == "1" if len(parts) > 2 else None  # a modal that was opened before an update has two
    words = text_of(interaction, CAPTION_FIELD)
    try:
        picture = await services.captions.edit(picture_id, interaction.user.id, words, revision, tagged=tagged)
    except CaptionChanged as changed:
        await show(interaction, conflict_card(await _mine(interaction, changed)))
        return
    await _redraw(interaction, picture.batch_id)


async def _mine(interaction: Interaction, changed: CaptionChanged) -> Offer:
    """The member's caption as an offer: kept for a day, whatever becomes of this message or the bot."""
    picture = changed.picture
    whole = ImportCaptions(texts={picture.id: changed.caption}, pictures=(picture.id,))
    return await bot_of(interaction).services.bulk.edits.offer(
        picture.dataset_id, interaction.user.id, whole, title=f"Write the caption of {picture.file_name}"
    )


async def _remove(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    picture = await services.captions.get(int(parts[0]))
    await services.datasets.allowed(picture.dataset_id, interaction.user.id, "edit")
    await respond(interaction, view=remove_card(picture))


async def _confirmed_remove(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    picture = await services.checks.quality.drop_one(int(parts[0]), interaction.user.id)
    services.wake_cards()
    await interaction.response.edit_message(view=removed_card(picture))


async def _undo_remove(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    back, again = await services.checks.quality.undo(int(parts[0]), interaction.user.id, picture_id=int(parts[1]))
    services.wake_quality()
    services.wake_cards()
    await interaction.response.edit_message(view=note_card(undone_text(back, again)))


async def _removed_for_good(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    await services.captions.remove(int(parts[0]), interaction.user.id)
    services.wake_cards()
    await interaction.response.edit_message(view=note_card("Removed for good."))


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
        "cap-remove-good": _removed_for_good,
        "cap-undo": _undo_remove,
        "cap-bare": _show_bare,
        "cap-red": _show_red,
        "cap-all": _show_all,
        "cap-jump": _jump,
        "cap-tags": _tags,
        "cap-tags-keep": _kept_tags,
        "cap-tags-more": _more_tags,
    }
)
SUBMITS: MappingProxyType[str, Action] = MappingProxyType({"caption": _edited, "cap-jumped": _jumped})
