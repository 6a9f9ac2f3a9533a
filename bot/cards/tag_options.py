"""Tagger options of a dataset: what holds now, and two short forms to change it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

import discord

from bot.cards.parts import BLUE, Card, Form, button, custom_id, row, text
from bot.cards.text import escaped
from bot.errors import Refused
from bot.rules.tagging import TagOptions
from bot.services.messages import Drawing
from bot.store.rows import Dataset

Words = tuple[str, ...]
Replacements = tuple[tuple[str, str], ...]
UNDESIRED, REPLACED, FIRST = "undesired", "replaced", "first"
MODEL, PROFILE, CUT, NAMES, EXTRAS = "model", "profile", "cut", "names", "extras"
"""custom_ids of the fields."""
HOST_MODEL = "-"
"""Value of the host's own model in a select, whose values must not be empty."""
MOST = 4000
"""Characters a field of a form holds; Discord takes no more."""
_ARROWS = (re.compile(r"\s(?:->|→|=>|=)(?:\s|$)"), re.compile(r"->|→|=>"), re.compile(r"="))
"""What stands between old and new; the first that is there counts, so that a face may hold others: `=_= -> tired`."""
PROFILE_NAMES = (("photo-face", "Photo of a face"), ("plain", "As the tagger says it"))
NAMES_CHOICES = (("leave-out", "Leave them out"), ("keep", "Keep them"), ("expand", "a (b) as two tags: a, b"))
EXTRAS_CHOICES = (
    ("first", "Rating at the front"),
    ("last", "Rating at the end"),
    ("underscores", "long_hair in place of long hair"),
)


def options_card(dataset: Dataset, options: TagOptions, host_model: str) -> Drawing:
    """What holds for the dataset."""
    sure = "found in each picture (MCut)" if options.mcut else f"tags {options.general:g}, names {options.character:g}"
    replaced = ", ".join(f"{old} → {new or 'nothing'}" for old, new in options.replacements)
    lines = [
        f"## Tagger of {escaped(dataset.name)}",
        f"**Model** {escaped(_short(options.model or host_model), 60)}",
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
    form.add_item(_text("Never write", UNDESIRED, "Tags with commas.", ", ".join(undesired)))
    form.add_item(_text("Write otherwise", REPLACED, "One a line: old -> new", "\n".join(map(_line, replaced))))
    return form.add_item(_text("Write first", FIRST, "Tags with commas, in this order.", ", ".join(first)))


def shown_words(options: TagOptions) -> tuple[Words, Replacements, Words]:
    """Of the undesired, the replaced and the first tags those that the form has room for.

    What it leaves out, nobody can have meant to take out by sending it.
    """
    return (
        options.undesired[: _fitting(options.undesired, 2)],
        options.replacements[: _fitting(map(_line, options.replacements), 1)],
        options.first[: _fitting(options.first, 2)],
    )


def _line(replacement: tuple[str, str]) -> str:
    return " -> ".join(replacement)


def _fitting(entries: Iterable[str], joint: int) -> int:
    """How many of the entries, with `joint` characters between two, a field holds."""
    ends = itertools.accumulate(len(entry) + joint for entry in entries)
    return sum(end - joint <= MOST for end in ends)


def model_form(dataset_id: int, options: TagOptions, models: Sequence[str], host_model: str) -> Form:
    """Which model, how sure it must be, and what is done with what it says."""
    form = Form("Tagger: model", "tagger-model", dataset_id)
    chosen = [
        (HOST_MODEL, f"{_short(host_model)} (usual)"[:100]),
        *((each, _short(each)[:100]) for each in models[:24]),
    ]
    form.add_item(_select("Model", MODEL, chosen, {options.model or HOST_MODEL}))
    cut = "auto" if options.mcut else f"{options.general:g}, {options.character:g}"
    about = "Tags, names: 0 to 1; or auto (MCut)"
    form.add_item(discord.ui.Label(text="Thresholds", description=about, component=_entry(CUT, cut, 30)))
    form.add_item(_select("Profile", PROFILE, PROFILE_NAMES, {options.profile}))
    form.add_item(_select("Known characters", NAMES, NAMES_CHOICES, {options.characters}))
    extras = {options.ratings, "underscores" if options.underscores else ""}
    return form.add_item(_select("Besides", EXTRAS, EXTRAS_CHOICES, extras, several=True))


def parsed_tags(typed: str) -> Words:
    """Tags with commas or on lines of their own, each once."""
    return tuple(dict.fromkeys(" ".join(tag.split()) for tag in re.split(r"[,，\n]", typed) if tag.strip()))


def parsed_replacements(typed: str) -> Replacements:
    """`old -> new` a line; raises Refused with the line that is none."""
    pairs: dict[str, str] = {}
    for line in filter(None, map(str.strip, typed.splitlines())):
        arrow = next((found for found in (each.search(line) for each in _ARROWS) if found), None)
        old, new = (line[: arrow.start()], line[arrow.end() :]) if arrow else ("", "")
        old, new = " ".join(old.split()), " ".join(new.split())
        if not old or "," in old + new:
            raise Refused(f"Write one replacement a line, like this: specs -> glasses. “{line[:40]}” is none.")
        pairs[old] = new
    return tuple(pairs.items())


def parsed_cut(typed: str) -> dict[str, float | bool]:
    """`0.35, 0.85`, one number for both, or `auto`; raises Refused with what to write.

    A comma in a number is read as a point only where no number has a point: `0,35 0,85`, but `0.5,1` are two.
    """
    if typed.strip().casefold() in ("auto", "mcut"):
        return {"mcut": True}
    between = r"[,;/\s]+" if "." in typed else r"(?:[;/\s]|,(?=\s))+"
    numbers = [number.replace(",", ".") for number in re.split(between, typed.strip(" ,;")) if number]
    values = [float(number) for number in numbers if re.fullmatch(r"\d*\.?\d+", number, re.ASCII)]
    if len(values) != len(numbers) or len(values) not in (1, 2) or not all(0 <= value <= 1 for value in values):
        raise Refused("Write how sure it must be of tags and of names, from 0 to 1: 0.35, 0.85. Or write: auto.")
    return {"mcut": False, "general": values[0], "character": values[-1]}


def _shown(words: str) -> str:
    return escaped(words, 200) or "nothing"


def _short(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2]


def _text(label: str, field: str, about: str, default: str) -> discord.ui.Label[Form]:
    entry = _entry(field, default, MOST, style=discord.TextStyle.paragraph)
    return discord.ui.Label(text=label, description=about, component=entry)


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
