"""What all cards are made of. A card is pure: state in, a `Drawing` (bot.services.posting.messages) out;
nothing in it remembers anything."""

from __future__ import annotations

import io
from typing import Any

import discord

from bot.services.posting.messages import FileToSend

GREY, BLUE, GREEN, AMBER, RED = 0x80848E, 0x5865F2, 0x23A55A, 0xF0B232, 0xF23F43
"""Discord's own greys and signal colours, for a container's edge."""


class Card(discord.ui.LayoutView):
    """A layout that discord.py does not keep: its buttons are found again by custom_id (bot/commands/actions.py).

    Kept views would grow without end, and discord.py forgets a dynamic item's template when a kept view times out.
    """

    def __init__(self, *items: discord.ui.Item[Any]) -> None:
        super().__init__(timeout=None)
        for item in items:
            self.add_item(item)

    def is_finished(self) -> bool:
        """True from the start: what is finished is not kept."""
        return True


class Buttons(discord.ui.View):
    """A button under a plain message, which a card cannot be part of; not kept either."""

    def __init__(self, label: str, custom_id: str) -> None:
        super().__init__(timeout=None)
        self.add_item(discord.ui.Button(label=label, custom_id=custom_id, style=discord.ButtonStyle.primary))

    def is_finished(self) -> bool:
        """True from the start: what is finished is not kept."""
        return True


class Form(discord.ui.Modal):
    """A modal that discord.py does not keep; what is sent in is found again by its custom_id, like a button."""

    def __init__(self, title: str, action: str, *parts: object) -> None:
        super().__init__(title=title[:45], custom_id=custom_id(action, *parts), timeout=None)

    def is_finished(self) -> bool:
        """True from the start: what is finished is not kept."""
        return True


def upload(file: FileToSend) -> discord.File:
    """A fresh upload: discord.py reads each File once."""
    source = io.BytesIO(file.path) if isinstance(file.path, bytes) else file.path
    return discord.File(source, filename=file.name, description=file.description or None)


def custom_id(action: str, *parts: object) -> str:
    """What finds `action` again, with `parts`, when Discord sends it back."""
    return ":".join(["v1", action, *map(str, parts)])


def button(
    label: str, action: str, *parts: object, style: discord.ButtonStyle = discord.ButtonStyle.secondary, **more: Any
) -> discord.ui.Button[Any]:
    """A button that runs the action of that name (bot/commands/actions.py) with `parts`."""
    return discord.ui.Button(label=label, custom_id=custom_id(action, *parts), style=style, **more)


def row(*buttons: discord.ui.Item[Any]) -> discord.ui.ActionRow[Any]:
    """At most three short buttons side by side: what a phone shows whole."""
    return discord.ui.ActionRow(*buttons)


def text(content: str) -> discord.ui.TextDisplay[Any]:
    """A piece of markdown; people's words in it must have gone through bot.cards.text.escaped."""
    return discord.ui.TextDisplay(content)
