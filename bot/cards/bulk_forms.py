"""The modals of bulk editing."""

from __future__ import annotations

from collections.abc import Sequence

import discord

from bot.cards.parts import Form
from bot.rules.bulk.captions import TagCount
from bot.rules.bulk.operations import HOWS, MODES, PLACES

TAGS, NEW, PLACE, PICTURES, FIND, BY, HOW, MODE, FILE = (
    *("tags", "new", "place", "pictures", "find", "by", "how", "mode", "file"),
)
"""custom_ids of the fields."""
MOST = 400
"""Characters of a field."""
MOST_NUMBERS = 4000
"""Of one with numbers, Discord's limit: every other picture of a thousand still fits."""


def add_form(dataset_id: int, pictures: str = "") -> Form:
    """Tags to add, where, and to which pictures; `pictures` are numbers to begin with."""
    form = Form("Add tags", "bulk-add", dataset_id)
    form.add_item(_line("Tags", TAGS, "With commas. Captions that have one already keep it."))
    form.add_item(_choice("Where", PLACE, PLACES))
    return form.add_item(_pictures(pictures))


def replace_form(dataset_id: int, pictures: str = "") -> Form:
    """What to find, what to put there, how to look, and in which pictures."""
    form = Form("Find and replace", "bulk-replace", dataset_id)
    form.add_item(_line("Find", FIND, "As it is written, capitals too."))
    form.add_item(_line("Put in its place", BY, "Empty takes it out.", required=False))
    form.add_item(_choice("What it is", HOW, HOWS))
    return form.add_item(_pictures(pictures))


def rename_form(dataset_id: int, tag: TagCount) -> Form:
    """A tag's new name."""
    form = Form(f"Rename {tag.tag}", "tag-renamed", dataset_id, tag.code)
    return form.add_item(_line("New name", NEW, "Several with commas; empty removes it.", tag.tag, required=False))


def recaption_form(dataset_id: int, pictures: str = "") -> Form:
    """Which pictures the tagger looks at again, and what becomes of their captions."""
    form = Form("Re-caption", "bulk-recaption", dataset_id)
    form.add_item(_choice("What to do", MODE, MODES))
    return form.add_item(_pictures(pictures))


def import_form(dataset_id: int) -> Form:
    """A file of captions."""
    form = Form("Import captions", "bulk-import", dataset_id)
    field = discord.ui.FileUpload[Form](custom_id=FILE, min_values=1, max_values=1)
    return form.add_item(
        discord.ui.Label(text="File", description="Text or zip of Export; or .txt named as pictures.", component=field)
    )


def jump_form(batch_id: int) -> Form:
    """The number of a picture to go to."""
    form = Form("Go to a picture", "cap-jumped", batch_id)
    return form.add_item(_line("Number", PICTURES, "Of the picture in the dataset, as behind # on its card."))


def _pictures(numbers: str) -> discord.ui.Label[Form]:
    return _line("Pictures", PICTURES, "For example 1-5, 8. Empty: all.", numbers, required=False, most=MOST_NUMBERS)


def _line(
    label: str, field: str, about: str, default: str = "", *, required: bool = True, most: int = MOST
) -> discord.ui.Label[Form]:
    entry = discord.ui.TextInput[Form](
        custom_id=field, default=default[:most] or None, max_length=most, required=required
    )
    return discord.ui.Label(text=label, description=about, component=entry)


def _choice(label: str, field: str, options: Sequence[tuple[str, str]]) -> discord.ui.Label[Form]:
    """The first option is the one that holds unless another is chosen."""
    select = discord.ui.Select[Form](
        custom_id=field,
        options=[
            discord.SelectOption(label=words, value=value, default=place == 0)
            for place, (value, words) in enumerate(options)
        ],
    )
    return discord.ui.Label(text=label, component=select)
