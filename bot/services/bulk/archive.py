"""Archives of captions: written, and read from a stranger without trusting anything in them.

Nothing is unpacked to disk, so no name in an archive ever becomes a path; what an archive may be,
bot.rules.pictures.zips knows.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass

from bot.errors import Refused
from bot.rules.captions.text_files import text_of
from bot.rules.names import shown_file
from bot.rules.pictures.zips import Damaged, Entry, Hostile, basename, entries_of, inflated

MOST_MEMBERS = 1000
"""For a dataset of up to half as many pictures: beside each caption may lie its picture."""
NAMED = 5
"""Most names in one note."""
MEMBER_BYTES = 16 * 1024
"""Of one caption, unpacked; 1,000 characters are 4 kB at most."""
_DAMAGED = "This archive is damaged and cannot be opened. Pack it again as an ordinary zip."


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The texts of an archive."""

    members: tuple[tuple[str, str], ...]
    """(file name, text)"""
    notes: tuple[str, ...]
    """Sentences on what was left out."""


def pack(members: Iterable[tuple[str, str]]) -> bytes:
    """A zip of texts."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text.encode(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def is_archive(data: bytes) -> bool:
    """Whether the bytes begin like a zip."""
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def unpack(data: bytes, most: int = MOST_MEMBERS) -> Unpacked:
    """The `.txt` files of a zip; raises Refused for an archive that is damaged, made to do harm, or over `most` files.

    What an operating system adds by itself is not counted.
    """
    try:
        entries = entries_of(data, most, nested=True)
        texts = [each for each in entries if each.suffix == "txt"]
        read = [(each.name, text_of(_bytes_of(data, each))) for each in texts]
    except Hostile as refusal:
        raise Refused(_reason(refusal, most)) from refusal
    except Damaged as error:
        raise Refused(_DAMAGED) from error
    members = tuple((name, text) for name, text in read if text is not None)
    notes = []
    if others := len(entries) - len(texts):
        notes.append(f"{others} of its files are no .txt files and were left out.")
    if unread := [shown_file(basename(name)) for name, text in read if text is None]:
        more = f" and {len(unread) - NAMED} more" if len(unread) > NAMED else ""
        notes.append(f"No text could be read in {', '.join(unread[:NAMED])}{more}. Save captions as UTF-8.")
    return Unpacked(members, tuple(notes))


def text_of_file(data: bytes, name: str) -> str:
    """The text of a file; raises Refused when it is none."""
    if (text := text_of(data)) is None:
        raise Refused(f"{shown_file(name)} is no text I can read. Save it as UTF-8 and send it again.")
    return text


def _bytes_of(data: bytes, entry: Entry) -> bytes:
    text = bytearray()
    for part in inflated(data, entry):
        text += part
        if len(text) > MEMBER_BYTES:
            shown = shown_file(basename(entry.name))
            raise Refused(f"{shown} is larger than {MEMBER_BYTES // 1024} kB, which is no caption. Nothing was read.")
    return bytes(text)


def _reason(refusal: Hostile, most: int) -> str:
    """Why an archive of captions is refused."""
    shown = shown_file(basename(refusal.name))
    match refusal.why:
        case "too-many":
            return f"This archive holds {refusal.number} files; {most} is the most."
        case "twice":
            return f"{shown} is in the archive twice, so nothing was read. Pack it again."
        case "outside":
            return f"{shown} points outside of the archive, so nothing of it was read. Pack it again."
        case "locked":
            return "This archive has a password. Pack it again without one."
        case "link":
            return f"{shown} is a link or device, not a file, so nothing was read. Pack the files themselves."
        case "method":
            return f"{shown} is packed in a way I do not read. Pack it as an ordinary zip."
        case "overlap":
            return "Files in this archive lie over one another, so nothing was read. Pack it again."
        case "too-large":
            return "This archive unpacks to far more than captions. Pack only the .txt files."
        case _:
            return _DAMAGED
