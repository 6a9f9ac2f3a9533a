"""Archives of captions: written, and read from a stranger without trusting anything in them.

Nothing is unpacked to disk, so no name in an archive ever becomes a path; what is read is bounded before it is read.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.errors import Refused
from bot.rules.names import shown_file

MOST_MEMBERS = 1000
"""For a dataset of up to half as many pictures: beside each caption may lie its picture."""
MEMBER_BYTES = 16 * 1024
"""Of one caption, unpacked; 1,000 characters are 4 kB at most."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)
"""What `zipfile` raises on damaged archives."""
_JUNK = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")


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
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir() and not _is_junk(info.filename)]
            _check(infos, most)
            texts = [info for info in infos if info.filename.casefold().endswith(".txt")]
            members = tuple((info.filename, _text_of(archive, info)) for info in texts)
    except _UNREADABLE as error:
        raise Refused("This archive is damaged and cannot be opened. Pack it again as an ordinary zip.") from error
    others = len(infos) - len(texts)
    left_out = (f"{others} of its files are no .txt files and were left out.",) if others else ()
    return Unpacked(members, left_out)


def text_of_file(data: bytes, name: str) -> str:
    """The text of a file; raises Refused when it is none."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"{shown_file(name)} is not a text in UTF-8. Save it as UTF-8 and send it again.") from None


def _check(infos: Sequence[zipfile.ZipInfo], most: int) -> None:
    """Refuse what no honest archive of captions is, before a byte of it is unpacked."""
    if len(infos) > most:
        raise Refused(f"This archive holds {len(infos)} files; {most} is the most.")
    names = set()
    for info in infos:
        parts = info.filename.replace("\\", "/").split("/")
        shown = shown_file(parts[-1])
        kind = stat.S_IFMT(info.external_attr >> 16)
        if ".." in parts or info.filename.startswith(("/", "\\")) or ":" in parts[0]:
            raise Refused(f"{shown} points outside of the archive, so nothing of it was read. Pack it again.")
        if kind not in (0, stat.S_IFREG):
            raise Refused(f"{shown} is a link or device, not a file, so nothing was read. Pack the files themselves.")
        if info.flag_bits & 0x1:
            raise Refused("This archive has a password. Pack it again without one.")
        if info.filename in names:
            raise Refused(f"{shown} is in the archive twice, so nothing was read. Pack it again.")
        names.add(info.filename)
    _check_overlaps(infos)


def _check_overlaps(infos: Sequence[zipfile.ZipInfo]) -> None:
    """Members that share bytes are how a small archive unpacks to a huge one."""
    end = 0
    for info in sorted(infos, key=lambda each: each.header_offset):
        if info.header_offset < end:
            raise Refused("Files in this archive lie over one another, so nothing was read. Pack it again.")
        end = info.header_offset + 30 + len(info.filename.encode("utf-8", "replace")) + info.compress_size


def _text_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    shown = shown_file(info.filename.replace("\\", "/").rpartition("/")[2])
    if info.compress_type not in _METHODS:
        raise Refused(f"{shown} is packed in a way I do not read. Pack it as an ordinary zip.")
    with archive.open(info) as member:
        data = member.read(MEMBER_BYTES + 1)
    if len(data) > MEMBER_BYTES:
        raise Refused(f"{shown} is larger than {MEMBER_BYTES // 1024} kB, which is no caption. Nothing was read.")
    return text_of_file(data, info.filename)


def _is_junk(name: str) -> bool:
    return name.startswith(_JUNK[0]) or name.rpartition("/")[2] in _JUNK[1:]
