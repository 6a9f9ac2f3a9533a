"""Buttons, selects and modals: each is its custom_id, `v1:<action>:<part>[:<part>…]`, and a function of that name.

No view and no modal is kept in memory, so everything a member sees works after a restart of the bot. A command module
lists its functions in `ACTIONS` (components) and `SUBMITS` (modals); `bot.commands` joins the lists.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import discord

from bot.commands.respond import bot_of, guarded, respond

Action = Callable[[discord.Interaction[Any], list[str]], Awaitable[None]]
"""Called with the parts of the custom_id behind the action's name."""

OUTDATED = "This button is from an older version of me and does nothing any more. Ask for the card again."
_CUSTOM_ID = r"v1:(?P<action>[a-z][a-z-]*):(?P<parts>[0-9A-Za-z:_-]*)"


class Pressed(discord.ui.DynamicItem[discord.ui.Item[Any]], template=_CUSTOM_ID):
    """Whatever component a member used, found again by its custom_id alone."""

    def __init__(self, item: discord.ui.Item[Any], action: str, parts: list[str]) -> None:
        super().__init__(item)
        self._action = action
        self._parts = parts

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Pressed:
        """discord.py's constructor for a component it was sent."""
        return cls(item, match["action"], match["parts"].split(":"))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Run the action of that name."""
        action = bot_of(interaction).actions.get(self._action, _outdated)
        await guarded(interaction, _run(action, interaction, self._parts))


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of a File Upload field."""

    name: str
    size: int
    url: str


async def submitted(interaction: discord.Interaction[Any], submits: Mapping[str, Action]) -> None:
    """Run what a sent-in modal asks for; nothing when the interaction is no modal of ours."""
    if interaction.type is not discord.InteractionType.modal_submit:
        return
    data: Mapping[str, Any] = interaction.data or {}
    match = re.fullmatch(_CUSTOM_ID, str(data.get("custom_id", "")))
    if match:
        submit = submits.get(match["action"], _outdated)
        await guarded(interaction, _run(submit, interaction, match["parts"].split(":")))


def text_of(interaction: discord.Interaction[Any], field: str) -> str:
    """What the member wrote into a modal's text field; empty when there is none of that custom_id."""
    return str(_field(interaction, field).get("value") or "")


def chosen_of(interaction: discord.Interaction[Any], field: str) -> list[str]:
    """What the member chose in a modal's select."""
    return [str(value) for value in _field(interaction, field).get("values", [])]


def files_of(interaction: discord.Interaction[Any], field: str) -> list[UploadedFile]:
    """The files of a modal's File Upload field, in the order they were chosen."""
    data: Mapping[str, Any] = interaction.data or {}
    known = data.get("resolved", {}).get("attachments", {})
    chosen = [known[id] for id in _field(interaction, field).get("values", []) if id in known]
    return [UploadedFile(str(item["filename"]), int(item["size"]), str(item["url"])) for item in chosen]


def values_of(interaction: discord.Interaction[Any]) -> list[str]:
    """What was chosen in a select."""
    data: Mapping[str, Any] = interaction.data or {}
    return [str(value) for value in data.get("values", [])]


@dataclass(frozen=True, slots=True)
class ChosenUser:
    """A user of a user select."""

    id: int
    bot: bool


def users_of(interaction: discord.Interaction[Any]) -> list[ChosenUser]:
    """Who was chosen in a user select."""
    data: Mapping[str, Any] = interaction.data or {}
    known = data.get("resolved", {}).get("users", {})
    return [ChosenUser(int(id), bool(known.get(id, {}).get("bot"))) for id in values_of(interaction)]


def _field(interaction: discord.Interaction[Any], field: str) -> Mapping[str, Any]:
    data: Mapping[str, Any] = interaction.data or {}
    for row in data.get("components", []):
        for item in [row["component"]] if "component" in row else row.get("components", []):
            if item.get("custom_id") == field:
                found: Mapping[str, Any] = item
                return found
    return {}


async def _run(action: Action, interaction: discord.Interaction[Any], parts: list[str]) -> None:
    await action(interaction, parts)


async def _outdated(interaction: discord.Interaction[Any], parts: list[str]) -> None:
    await respond(interaction, OUTDATED)
