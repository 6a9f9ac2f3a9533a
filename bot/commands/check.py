"""/dataset check, the buttons of the report, and the cards that show and move squares."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import discord
from discord import app_commands

from bot.cards.crop import cut_card, cuts_card
from bot.cards.dataset import note_card
from bot.cards.parts import upload
from bot.cards.report import dropped_card, marker, undone_text
from bot.commands.actions import Action, values_of
from bot.commands.choose import autocomplete_dataset, chosen_dataset
from bot.commands.respond import bot_of, respond, show, taking_time
from bot.errors import NotFound
from bot.rules.pictures.crop import MOVES
from bot.rules.pictures.squares import NO_ROOM, from_now_on
from bot.services.posting.messages import Drawing
from bot.services.upkeep.retention import UNDO_DAYS

Interaction = discord.Interaction[Any]


@app_commands.describe(dataset="Which one, if you are not in its thread")
@app_commands.autocomplete(dataset=autocomplete_dataset)
async def check(interaction: Interaction, dataset: str | None = None) -> None:
    """See what is wrong with the pictures, and mend it"""
    await _check(interaction, (await chosen_dataset(interaction, dataset, "see")).id)


async def _pressed_check(interaction: Interaction, parts: list[str]) -> None:
    await _check(interaction, int(parts[0]))


async def _check(interaction: Interaction, dataset_id: int) -> None:
    services = bot_of(interaction).services
    found = await services.checks.quality.check(dataset_id, interaction.user.id)
    services.wake_quality()
    services.wake_cards()
    await respond(interaction, f"The report is at the end of <#{found.thread_id}>.")


async def _drop(interaction: Interaction, parts: list[str]) -> None:
    services, dataset_id = bot_of(interaction).services, int(parts[0])
    quality = services.checks.quality
    seen = [each.number for each in (await quality.look(dataset_id)).red]
    drop = await quality.drop_red(dataset_id, interaction.user.id, parts[1])  # these: refused when others are red
    services.wake_cards()
    await respond(interaction, view=dropped_card(dataset_id, seen, drop.number, UNDO_DAYS))


async def _undo(interaction: Interaction, parts: list[str]) -> None:
    """From the report, or from the answer to *Drop red*, whose place the answer takes."""
    services = bot_of(interaction).services
    drop = int(parts[1]) if len(parts) > 1 else None
    back, again = await services.checks.quality.undo(int(parts[0]), interaction.user.id, drop)
    services.wake_quality()
    services.wake_cards()
    await show(interaction, Drawing(note_card(undone_text(back, again)), marker(int(parts[0]))))


async def _page(interaction: Interaction, parts: list[str]) -> None:
    """Show another page; everybody in the thread sees the same one, so only those who work on it turn it."""
    services = bot_of(interaction).services
    dataset_id = int(parts[0])
    await services.checks.quality.turn(dataset_id, interaction.user.id, int(parts[1]))
    await interaction.response.defer()
    drawing = await services.checks.drawer.draw(str(dataset_id))
    if drawing is None:
        raise NotFound("This dataset no longer exists.")
    await _show(interaction, drawing)


async def _open_crops(interaction: Interaction, parts: list[str]) -> None:
    """The squares for who asked alone: the thread stays quiet while they are tried."""
    services = bot_of(interaction).services
    view = await services.checks.crops.all(int(parts[0]), interaction.user.id)
    await interaction.response.defer(ephemeral=True, thinking=True)
    drawing = cuts_card(view, await services.checks.crops.sheet(view))
    await interaction.followup.send(view=drawing.view, files=[upload(file) for file in drawing.files], ephemeral=True)


async def _open_crop(interaction: Interaction, parts: list[str]) -> None:
    """One picture's square, from the card that shows the picture."""
    crops = bot_of(interaction).services.checks.crops
    view = await crops.one(int(parts[0]), interaction.user.id)
    await taking_time(interaction)
    await show(interaction, cut_card(view, await crops.pair(view.cut)))


async def _all(interaction: Interaction, parts: list[str]) -> None:
    await interaction.response.defer()
    await _show_all(interaction, int(parts[0]), int(parts[1]))


async def _use(interaction: Interaction, parts: list[str]) -> None:
    services = bot_of(interaction).services
    dataset_id, square = int(parts[0]), parts[1] == "1"
    await services.checks.crops.use(dataset_id, interaction.user.id, square=square)
    services.wake_cards()
    await interaction.response.defer()
    await _show_all(interaction, dataset_id, 0, from_now_on(square=square))


async def _picked(interaction: Interaction, parts: list[str]) -> None:
    await interaction.response.defer()
    await _show_one(interaction, int(values_of(interaction)[0]))


async def _one(interaction: Interaction, parts: list[str]) -> None:
    await interaction.response.defer()
    await _show_one(interaction, int(parts[0]))


async def _move(interaction: Interaction, parts: list[str]) -> None:
    picture_id = int(parts[0])
    move = next(each for each in MOVES if each == parts[1])
    await interaction.response.defer()
    moved = await bot_of(interaction).services.checks.crops.move(picture_id, interaction.user.id, move)
    await _show_one(interaction, picture_id, "" if moved else NO_ROOM)


async def _reset(interaction: Interaction, parts: list[str]) -> None:
    await interaction.response.defer()
    await bot_of(interaction).services.checks.crops.reset(int(parts[0]), interaction.user.id)
    await _show_one(interaction, int(parts[0]))


async def _show_all(interaction: Interaction, dataset_id: int, page: int, said: str = "") -> None:
    crops = bot_of(interaction).services.checks.crops
    view = await crops.all(dataset_id, interaction.user.id, page)
    await _show(interaction, cuts_card(view, await crops.sheet(view), said))


async def _show_one(interaction: Interaction, picture_id: int, said: str = "") -> None:
    crops = bot_of(interaction).services.checks.crops
    view = await crops.one(picture_id, interaction.user.id)
    await _show(interaction, cut_card(view, await crops.pair(view.cut), said))


async def _show(interaction: Interaction, drawing: Drawing) -> None:
    """Draw the card anew that the button is on; drawing takes a moment, so Discord was answered before."""
    await interaction.edit_original_response(view=drawing.view, attachments=[upload(file) for file in drawing.files])


ACTIONS: MappingProxyType[str, Action] = MappingProxyType(
    {
        "check": _pressed_check,
        "report-drop": _drop,
        "report-undo": _undo,
        "report-page": _page,
        "report-crop": _open_crops,
        "crop-open": _open_crop,
        "crop-all": _all,
        "crop-use": _use,
        "crop-pick": _picked,
        "crop-one": _one,
        "crop-move": _move,
        "crop-reset": _reset,
    }
)
