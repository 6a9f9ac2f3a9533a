"""Tagger options of a dataset: what holds now, and two short forms to change it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import discord

from bot.cards.parts import BLUE, Card, Form, button, custom_id, row, text
from bot.cards.text import escaped
from bot.rules.captions.tag_words import FIRST as WRITE_FIRST
from bot.rules.captions.tag_words import (
    NAMES_CHOICES,
    NEVER,
    OTHERWISE,
    PROFILE_NAMES,
    RATING_CHOICES,
    THRESHOLDS,
    UNDERSCORES,
    Replacements,
    Words,
    short_model,
    written_cut,
    written_replacement,
)
from bot.rules.captions.tagging import TagOptions
from bot.services.posting.messages import Drawing
from bot.store.rows import Dataset

UNDESIRED, REPLACED, FIRST = "undesired", "replaced", "first"
MODEL, PROFILE, CUT, NAMES, EXTRAS = "model", "profile", "cut", "names", "extras"
"""custom_ids of the fields."""
HOST_MODEL = "-"
"""Value of the host's own model in a select, whose values must not be empty."""
MOST = 4000
"""Characters a field of a form holds; Discord takes no more."""
EXTRAS_CHOICES = (*RATING_CHOICES, ("underscores", UNDERSCORES))


def options_card(dataset: Dataset, options: TagOptions, host_model: str) -> Drawing:
    """What holds for the dataset."""
    sure = "found in each picture (MCut)" if options.mcut else f"tags {options.general:g}, names {options.character:g}"
    replaced = ", ".join(f"{old} → {new or 'nothing'}" for old, new in options.replacements)
    lines = [
        f"## Tagger of {escaped(dataset.name)}",
        f"**Model** {escaped(short_model(options.model or host_model), 60)}",
        f"**Thresholds** {sure}",
        f"**Profile** {dict(PROFILE_NAMES)[options.profile]}",
        f"**Known characters** {dict(NAMES_CHOICES)[options.characters].lower()}",
        f"**Rating** {options.ratings} · **Underscores** {'yes' if options.underscores else 'no'}",
        f"**Never** {_shown(', '.join(options.undesired))}",
        f"**Replaced** {_shown(replaced)}",
        f"**First** {_shown(', '.join(options.first))}",
        "-# For pictures to come; *Re-caption* has those that are here done anew.",
    ]
    view = Card(
        discord.ui.Container(
            text("\n".join(lines)),
            row(
                button("Words", "tagger-words", dataset.id, style=discord.ButtonStyle.primary),
                button("Model", "tagger-model", dataset.id, style=discord.ButtonStyle.primary),
                button("Defaults", "tagger-reset", dataset.id),
            ),
            row(button("Re-caption", "tagger-again", dataset.id), button("Back", "tags-page", dataset.id, 0)),
            accent_color=BLUE,
        )
    )
    return Drawing(view, custom_id("tagger-words", dataset.id))


def words_form(dataset_id: int, options: TagOptions) -> Form:
    """Which tags are not written, written otherwise, or written first."""
    form = Form("Tagger: words", "tagger-words", dataset_id)
    undesired, replaced, first = shown_words(options)
    form.add_item(_text(NEVER, UNDESIRED, ", ".join(undesired)))
    form.add_item(_text(OTHERWISE, REPLACED, "\n".join(map(written_replacement, replaced))))
    return form.add_item(_text(WRITE_FIRST, FIRST, ", ".join(first)))


def shown_words(options: TagOptions) -> tuple[Words, Replacements, Words]:
    """Of the undesired, the replaced and the first tags those that the form has room for.

    What it leaves out, nobody can have meant to take out by sending it.
    """
    return (
        options.undesired[: _fitting(options.undesired, 2)],
        options.replacements[: _fitting(map(written_replacement, options.replacements), 1)],
        options.first[: _fitting(options.first, 2)],
    )


def _fitting(entries: Iterable[str], joint: int) -> int:
    """How many of the entries, with `joint` characters between two, a field holds."""
    ends = itertools.accumulate(len(entry) + joint for entry in entries)
    return sum(end - joint <= MOST for end in ends)


def model_form(dataset_id: int, options: TagOptions, models: Sequence[str], host_model: str) -> Form:
    """Which model, how sure it must be, and what is done with what it says."""
    form = Form("Tagger: model", "tagger-model", dataset_id)
    chosen = [
        (HOST_MODEL, f"{short_model(host_model)} (usual)"[:100]),
        *((each, short_model(each)[:100]) for each in models[:24]),
    ]
    form.add_item(_select("Model", MODEL, chosen, {options.model or HOST_MODEL}))
    label, about = THRESHOLDS
    form.add_item(discord.ui.Label(text=label, description=about, component=_entry(CUT, written_cut(options), 30)))
    form.add_item(_select("Profile", PROFILE, PROFILE_NAMES, {options.profile}))
    form.add_item(_select("Known characters", NAMES, NAMES_CHOICES, {options.characters}))
    extras = {options.ratings, "underscores" if options.underscores else ""}
    return form.add_item(_select("Besides", EXTRAS, EXTRAS_CHOICES, extras, several=True))


def _shown(words: str) -> str:
    return escaped(words, 200) or "nothing"


def _text(words: tuple[str, str], field: str, default: str) -> discord.ui.Label[Form]:
    entry = _entry(field, default, MOST, style=discord.TextStyle.paragraph)
    return discord.ui.Label(text=words[0], description=words[1], component=entry)


def _entry(
    field: str, default: str, most: int, style: discord.TextStyle = discord.TextStyle.short
) -> discord.ui.TextInput[Form]:
    return discord.ui.TextInput(
        custom_id=field, default=default[:most] or None, max_length=most, required=False, style=style
    )


def _select(
    label: str, field: str, options: Sequence[tuple[str, str]], chosen: set[str], *, several: bool = False
) -> discord.ui.Label[Form]:
    select = discord.ui.Select[Form](
        custom_id=field,
        options=[discord.SelectOption(label=words, value=value, default=value in chosen) for value, words in options],
        min_values=0 if several else 1,
        max_values=len(options) if several else 1,
        required=not several,
    )
    return discord.ui.Label(text=label, component=select)
