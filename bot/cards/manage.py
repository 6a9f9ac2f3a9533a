"""What is around a dataset's material: its web page, who helps, its name, copies, merging, putting it away."""

from __future__ import annotations

import discord

from bot.cards.parts import BLUE, Card, button, row, text
from bot.cards.text import escaped
from bot.store.rows import Dataset
from bot.web.passes import PageLink


def more_row(dataset: Dataset) -> discord.ui.ActionRow[Card]:
    """The second row of a dataset's card."""
    return row(
        button("Upload many", "page", dataset.id),
        button("Helpers", "helpers", dataset.id),
        button("More", "more", dataset.id),
    )


def page_card(dataset: Dataset, link: PageLink) -> Card:
    """The member's own link to the dataset's page."""
    words = (
        f"## {escaped(dataset.name)} on a page\nChoose up to 100 pictures at once, see them all, edit the captions. "
        f"If the connection breaks, it goes on; if you close the page, choose the same pictures again.\n"
        f"-# This link is yours alone and ends <t:{link.expires}:R>: who has it can do there what you can."
    )
    if not link.public:
        words += "\n-# It opens only on the computer I run on: the host has not given me a public address."
    opens = row(discord.ui.Button[Card](label="Open the page", url=link.url))
    return Card(discord.ui.Container(text(words), opens, accent_color=BLUE))
