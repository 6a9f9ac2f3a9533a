"""Captions as files: one text with all of them, or a `.txt` a picture as kohya's scripts keep them; and back.

Each caption is found again by ten digits of its picture's hash, so files may be renumbered, sorted or left out. A file
without them (from elsewhere) is found by the picture's own name, where only one picture has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.rules.names import shown_file, slug

KEY_DIGITS = 10
_HEAD = re.compile(r"#\s*(\d+)\s+([0-9a-f]{10})(?:\s.*)?")
_MEMBER = re.compile(r"\d+-([0-9a-f]{10})(?:-.*)?")


@dataclass(frozen=True, slots=True)
class Named:
    """A picture as a file of captions knows it."""

    picture_id: int
    number: int
    key: str
    """First digits of its hash."""
    file_name: str
    """As the member called it."""
    caption: str


@dataclass(frozen=True, slots=True)
class Read:
    """What a file of captions holds."""

    texts: Mapping[int, str] = field(default_factory=dict)
    """Caption by picture, its lines as they are in the file."""
    notes: tuple[str, ...] = ()
    """Sentences on what was left out."""


def one_text(pictures: Iterable[Named]) -> str:
    """All captions in one text: a line `# number key name`, the caption under it."""
    return "\n".join(f"# {each.number} {each.key} {each.file_name}\n{each.caption}\n" for each in pictures)


def member_name(picture: Named) -> str:
    """What its `.txt` is called in an archive: `003-1f0a9c22b4-img_2041.txt`."""
    stem = slug(picture.file_name.rpartition(".")[0] or picture.file_name)
    return f"{picture.number:03}-{picture.key}{'-' + stem if stem else ''}.txt"


def read_text(text: str, pictures: Sequence[Named]) -> Read:
    """Captions of a text that `one_text` wrote and a person changed."""
    by_key = {each.key: each for each in pictures}
    found: dict[int, list[str]] = {}
    notes: list[str] = []
    current: list[str] | None = None
    for line in text.lstrip("\ufeff").splitlines():
        head = _HEAD.fullmatch(line.strip())
        if head is None:
            if current is not None:
                current.append(line.strip())
            elif line.strip():
                notes.append("What stands above the first picture's line was left out.")
                current = []
            continue
        picture = by_key.get(head[2])
        if picture is None:
            notes.append(f"The picture of line “# {head[1]} {head[2]}” is not in this dataset.")
            current = []
        else:
            if picture.picture_id in found:
                notes.append(f"Picture {picture.number} stands there twice; what is written last counts.")
            current = found[picture.picture_id] = []
    return Read({each: "\n".join(filter(None, lines)) for each, lines in found.items()}, tuple(notes))


def read_members(members: Iterable[tuple[str, str]], pictures: Sequence[Named]) -> Read:
    """Captions of (file name, text) pairs."""
    by_key = {each.key: each for each in pictures}
    by_stem: dict[str, list[Named]] = {}
    for each in pictures:
        by_stem.setdefault(_stem(each.file_name), []).append(each)
    texts: dict[int, str] = {}
    notes: list[str] = []
    for name, text in members:
        stem = _stem(name)
        exported = _MEMBER.fullmatch(stem)
        keyed = by_key.get(exported[1]) if exported else None
        known = [keyed] if keyed else by_stem.get(stem, [])
        if len(known) == 1 and known[0].picture_id in texts:
            notes.append(f"{shown_file(name)} is a second file for picture {known[0].number} and was left out.")
        elif len(known) == 1:
            texts[known[0].picture_id] = text.lstrip("\ufeff")
        else:
            why = "belongs to no picture" if not known else f"may belong to {len(known)} pictures of that name"
            notes.append(f"{shown_file(name)} {why} and was left out.")
    return Read(texts, tuple(notes))


def _stem(name: str) -> str:
    base = name.replace("\\", "/").rpartition("/")[2]
    return (base.rpartition(".")[0] or base).casefold()
