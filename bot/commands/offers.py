"""What follows an offered bulk edit: its pages, Apply, Undo, and the history."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import discord

from bot.cards import bulk as cards
from bot.cards.captions import conflict_card
from bot.cards.dataset import note_card
from bot.commands.actions import Action, values_of
from bot.commands.respond import bot_of, show, taking_time
from bot.services.bulk.edits import Applied

Interaction = discord.Interaction[Any]


async def _offer_page(interaction: Interaction, parts: list[str]) -> None:
    offer = await bot_of(interaction).services.bulk.edits.look(int(parts[0]), interaction.user.id)
    card = cards.offer_card(offer, int(parts[1])) if offer.edit.applied_at is None else cards.done_card(offer)
    await show(interaction, card)


async def _apply(interaction: Interaction, parts: list[str]) -> None:
    applied = await _applied(interaction, int(parts[0]))
    if applied.done:
        await show(interaction, cards.done_card(applied.offer))
    else:
        said = "⚠️ Captions changed meanwhile, so nothing was done yet. This is what it would do now:"
        await show(interaction, cards.offer_card(applied.offer, said=said))


async def _use_mine(interaction: Interaction, parts: list[str]) -> None:
    """Of two captions of one picture the member's own; somebody may have been faster once more."""
    applied = await _applied(interaction, int(parts[0]))
    await show(interaction, (cards.done_card if applied.done else conflict_card)(applied.offer))


async def _applied(interaction: Interaction, edit_id: int) -> Applied:
    services = bot_of(interaction).services
    await taking_time(interaction)  # a pattern may have to be run anew
    applied = await services.bulk.edits.apply(edit_id, interaction.user.id)
    services.wake_cards()
    return applied


async def _dropped(interaction: Interaction, parts: list[str]) -> None:
    await interaction.response.edit_message(view=note_card("Nothing was changed."))


async def _undo(interaction: Interaction, parts: list[str]) -> None:
    await _take_back(interaction, int(parts[0]))


async def _undo_past(interaction: Interaction, parts: list[str]) -> None:
    await _take_back(interaction, int(values_of(interaction)[0]))


async def _take_back(interaction: Interaction, edit_id: int) -> None:
    services = bot_of(interaction).services
    undone = await services.bulk.edits.undo(edit_id, interaction.user.id)
    services.wake_cards()
    await show(interaction, cards.undone_card(undone))


async def _history_page(interaction: Interaction, parts: list[str]) -> None:
    await show_history(interaction, int(parts[0]), int(parts[1]))


async def show_history(interaction: Interaction, dataset_id: int, page: int) -> None:
    """What was done in bulk, some a page; raises NotFound, NotYours."""
    page = max(0, page)
    past, total = await bot_of(interaction).services.bulk.edits.history(
        dataset_id, interaction.user.id, cards.PAST_SHOWN, page * cards.PAST_SHOWN
    )
    await show(interaction, cards.history_card(dataset_id, past, page, total))


ACTIONS: MappingProxyType[str, Action] = MappingProxyType(
    {
        "edit-page": _offer_page,
        "edit-apply": _apply,
        "edit-mine": _use_mine,
        "edit-drop": _dropped,
        "edit-undo": _undo,
        "history": _history_page,
        "history-undo": _undo_past,
    }
)
