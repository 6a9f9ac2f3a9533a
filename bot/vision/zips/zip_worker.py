"""The process that opens one hostile archive: a ZIP on stdin → its pictures, one after the other, on stdout.

    python -m bot.vision.zips.zip_worker MEMORY_BYTES SECONDS MAX_FILE_BYTES

First comes a line of JSON: what is in it, or why it is refused. Then for each picture a line of JSON and its bytes.
The archive has to keep the rules of bot.rules.pictures.zips, and all that is wanted is inflated once, counted and
thrown away, before the first picture goes out. Like the decoder's, this process can write no file, starts with no
secret, and dies at its limits.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from bot.rules.captions.text_files import text_of
from bot.rules.pictures.zips import Damaged, Entry, Hostile, basename, entries_of, inflated
from bot.workers.limits import limit_resources

MAX_ENTRIES = 500
MAX_CAPTION_BYTES = 64 * 1024
CAPTION_LETTERS = 2000
NAMED = 5
"""Most names told of files that were left out, for each reason."""
NAME_LETTERS = 200

PICTURES = frozenset({"jpg", "jpeg", "jfif", "png", "webp", "heic", "heif", "avif"})


@dataclass(frozen=True, slots=True)
class Contents:
    """What is wanted of an archive, and what is left out."""

    pictures: tuple[Entry, ...]
    captions: dict[str, Entry]
    """By the picture's name without its suffix."""
    left_out: tuple[str, ...]


def main(arguments: list[str]) -> None:
    """Read stdin, answer on stdout."""
    memory_bytes, seconds, max_file_bytes = map(int, arguments)
    limit_resources(memory_bytes, seconds)
    out = sys.stdout.buffer
    try:
        data = sys.stdin.buffer.read()
        contents = look_through(data)
        damaged, too_big = rehearse(data, contents, max_file_bytes)
    except Hostile as refusal:
        _line(out, {"ok": False, "why": refusal.why, "name": refusal.name[:NAME_LETTERS], "number": refusal.number})
        return
    except MemoryError:
        _line(out, {"ok": False, "why": "memory", "name": "", "number": 0})
        return
    wanted = [each for each in contents.pictures if each.name not in damaged and each.name not in too_big]
    head = {
        "ok": True,
        "members": len(wanted),
        "left_out": _named(contents.left_out),
        "damaged": _named(damaged),
        "too_big": _named(too_big),
        "unread": _named([each.name for each in contents.captions.values() if _caption(data, each) is None]),
    }
    _line(out, head)
    for entry in wanted:
        picture = b"".join(inflated(data, entry))
        beside = contents.captions.get(entry.stem)
        caption = _caption(data, beside) if beside else None
        _line(out, {"name": basename(entry.name)[-NAME_LETTERS:], "caption": caption or "", "bytes": len(picture)})
        out.write(picture)
        out.flush()


def look_through(data: bytes) -> Contents:
    """Sort an archive's files; nothing is inflated yet. Raises Hostile."""
    entries = entries_of(data, MAX_ENTRIES)
    pictures = tuple(each for each in entries if each.suffix in PICTURES)
    stems = {each.stem for each in pictures}
    captions = {each.stem: each for each in entries if each.suffix == "txt" and each.stem in stems}
    known = {each.name for each in (*pictures, *captions.values())}
    return Contents(pictures, captions, tuple(each.name for each in entries if each.name not in known))


def rehearse(data: bytes, contents: Contents, max_file_bytes: int) -> tuple[list[str], list[str]]:
    """Inflate all that is wanted once and count; names of damaged and of too large pictures. Raises Hostile."""
    damaged, too_big = [], []
    for entry in (*contents.pictures, *contents.captions.values()):
        seen = 0
        try:
            for part in inflated(data, entry):
                seen += len(part)
                if seen > max_file_bytes:
                    too_big.append(entry.name)
                    break
        except Damaged:
            damaged.append(entry.name)
    return damaged, too_big


def _caption(data: bytes, entry: Entry) -> str | None:
    """The text beside a picture; None when it cannot be had."""
    if entry.size > MAX_CAPTION_BYTES:
        return None
    try:
        text = text_of(b"".join(inflated(data, entry)))
    except Damaged:
        return None
    return text if text is None else text[:CAPTION_LETTERS]


def _named(names: Sequence[str]) -> dict[str, object]:
    """The first few names, and how many there are."""
    return {"names": [name[-NAME_LETTERS:] for name in names[:NAMED]], "count": len(names)}


def _line(out: BinaryIO, value: dict[str, object]) -> None:
    out.write(json.dumps(value).encode() + b"\n")
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
