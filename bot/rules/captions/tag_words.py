"""Tagger options as people write and read them, in a form of Discord's or of the page. Pure."""

from __future__ import annotations

import re

from bot.errors import Refused
from bot.rules.captions.tagging import TagOptions

Words = tuple[str, ...]
Replacements = tuple[tuple[str, str], ...]
Choices = tuple[tuple[str, str], ...]
"""Value and words of each."""
NEVER = ("Never write", "Tags with commas.")
OTHERWISE = ("Write otherwise", "One a line: old -> new")
FIRST = ("Write first", "Tags with commas, in this order.")
THRESHOLDS = ("Thresholds", "Tags, names: 0 to 1; or auto (MCut)")
"""Labels of fields, and what is to be written there."""
PROFILE_NAMES: Choices = (("photo-face", "Photo of a face"), ("plain", "As the tagger says it"))
NAMES_CHOICES: Choices = (("leave-out", "Leave them out"), ("keep", "Keep them"), ("expand", "a (b) as two tags: a, b"))
RATING_CHOICES: Choices = (("first", "Rating at the front"), ("last", "Rating at the end"))
UNDERSCORES = "long_hair in place of long hair"
_ARROWS = (re.compile(r"\s(?:->|→|=>|=)(?:\s|$)"), re.compile(r"->|→|=>"), re.compile(r"="))
"""What stands between old and new; the first that is there counts, so that a face may hold others: `=_= -> tired`."""


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


def short_model(model: str) -> str:
    """Its name, without whose it is or in which folder."""
    return model.rstrip("/").rpartition("/")[2]


def written_cut(options: TagOptions) -> str:
    """What `parsed_cut` reads."""
    return "auto" if options.mcut else f"{options.general:g}, {options.character:g}"


def written_replacement(replacement: tuple[str, str]) -> str:
    """A line of what `parsed_replacements` reads."""
    return " -> ".join(replacement)
