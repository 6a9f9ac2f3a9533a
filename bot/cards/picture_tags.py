"""The tags of one caption as select menus: what stays, and what of the other captions' tags is wanted too."""

from __future__ import annotations

import discord

from bot.cards.parts import BLUE, Card, custom_id, row, text
from bot.cards.text import escaped
from bot.rules.bulk.captions import Subject, tag_code
from bot.rules.captions.tagging import tag_key
from bot.services.bulk.edits import CaptionSet
from bot.services.posting.messages import Drawing
from bot.store.rows import Dataset, Picture

OPTIONS = 25
"""Discord's limit of a select's options."""
PARTS = 3
"""Selects for the caption's own tags: 75 of them, more than 1,000 characters usually hold."""
_LABEL = 100


def tag_parts(dataset: Dataset, picture: Picture) -> list[list[str]]:
    """The caption's tags, each once, in groups that a select can take."""
    tags = Subject(dataset.trigger, dataset.class_word).tags(picture.caption)
    once = list({tag_key(tag): tag for tag in reversed(tags)}.values())[::-1]
    return [once[start : start + OPTIONS] for start in range(0, len(once), OPTIONS)][:PARTS]


def picture_tags_card(now: CaptionSet, picture: Picture) -> Drawing:
    """Which tags stay, which come; the caption's revision goes with it, so that nobody's edit is overwritten."""
    number = [each.id for each in now.pictures].index(picture.id) + 1
    parts = tag_parts(now.dataset, picture)
    own = {tag_key(tag) for tag in now.subject.items(picture.caption)}
    others = [each for each in now.counts if tag_key(each.tag) not in own][:OPTIONS]
    said = f"**#{number}** {escaped(picture.file_name, 60)}\n> {escaped(picture.caption, 700)}"
    items: list[discord.ui.Item[Card]] = [text(said)]
    for place, part in enumerate(parts):
        options = [discord.SelectOption(label=tag[:_LABEL], value=tag_code(tag), default=True) for tag in part]
        keep = discord.ui.Select[Card](
            custom_id=custom_id("cap-tags-keep", picture.id, picture.revision, place),
            placeholder="Tags: none stays",
            options=options,
            min_values=0,
            max_values=len(options),
        )
        items.append(row(keep))
    if others:
        options = [
            discord.SelectOption(label=each.tag[:_LABEL], value=each.code, description=f"in {each.pictures} others")
            for each in others
        ]
        more = discord.ui.Select[Card](
            custom_id=custom_id("cap-tags-more", picture.id, picture.revision),
            placeholder="Add tags …",
            options=options,
            max_values=len(options),
        )
        items.append(row(more))
    hints = ["Untick a tag to take it out."] if parts else []
    if others:
        hints.append(f"Only the {OPTIONS} commonest others are listed: *Edit* adds any tag.")
    items.append(text(f"-# {' '.join(hints) or '*Edit* adds any tag.'}"))
    view = Card(discord.ui.Container(*items, accent_color=BLUE))
    return Drawing(view, custom_id("cap-tags-more", picture.id, picture.revision))
