"""The process that opens one hostile archive: a ZIP on stdin → its pictures, one after the other, on stdout.

    python -m bot.vision.zip_worker MEMORY_BYTES SECONDS MAX_FILE_BYTES

First comes a line of JSON: what is in it, or why it is refused. Then for each picture a line of JSON and its bytes.
Nothing in the archive's own tables is believed: names never become paths, every entry's place is checked against the
others', and all that is wanted is inflated once, counted and thrown away, before the first picture goes out. Like the
decoder's, this process can write no file, starts with no secret, and dies at its limits.
"""

from __future__ import annotations

import io
import json
import posixpath
import re
import stat
import struct
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from bot.vision.decode_worker import limit_resources

MAX_ENTRIES = 500
MAX_TOTAL_BYTES = 1024**3
"""Of all that is inflated."""
MAX_RATIO = 100
"""Pictures hardly shrink in an archive, plain text at most some 20 times; a deflate bomb reaches 1,030 times."""
RATIO_FREE_BYTES = 1024 * 1024
"""Up to here any ratio is harmless."""
MAX_CAPTION_BYTES = 64 * 1024
CAPTION_LETTERS = 2000
NAMED = 5
"""Most names told of files that were left out, for each reason."""
NAME_LETTERS = 200
CHUNK = 256 * 1024

PICTURES = frozenset({"jpg", "jpeg", "jfif", "png", "webp", "heic", "heif", "avif"})
ARCHIVES = frozenset({"zip", "cbz", "7z", "rar", "tar", "gz", "tgz", "bz2", "xz"})
QUIET = re.compile(r"(^|/)(__MACOSX/|\.|Thumbs\.db$|desktop\.ini$)", re.IGNORECASE)
"""What phones and computers put in by themselves; left out without a word."""
OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\0")
"""Names that lead out of a folder, on one system or another."""

ENCRYPTED, UTF8 = 0x1, 0x800
LOCAL = struct.Struct("<4s5H3L2H")
LOCAL_SIGNATURE = b"PK\x03\x04"


class Hostile(Exception):
    """The archive is refused; `why` is a code that bot.vision.unzip has the sentence for."""

    def __init__(self, why: str, name: str = "", number: int = 0) -> None:
        super().__init__(why)
        self.why = why
        self.name = name
        self.number = number


class Damaged(Exception):
    """One entry cannot be had; the others can."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive that lies where it says."""

    name: str
    deflated: bool
    head: int
    """Where its own header begins,"""
    begin: int
    """and where its bytes do."""
    packed: int
    size: int
    crc: int


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
    }
    _line(out, head)
    for entry in wanted:
        picture = b"".join(inflated(data, entry))
        caption = _caption(data, contents.captions.get(_stem(entry.name)))
        _line(out, {"name": _basename(entry.name)[-NAME_LETTERS:], "caption": caption, "bytes": len(picture)})
        out.write(picture)
        out.flush()


def look_through(data: bytes) -> Contents:
    """Check the archive's tables against the rules and each other; nothing is inflated yet. Raises Hostile."""
    infos, end = _table(data)
    if len(infos) > MAX_ENTRIES:
        raise Hostile("too-many", number=len(infos))
    for name, times in Counter(info.filename for info in infos).items():
        if times > 1:
            raise Hostile("twice", name)
    for info in infos:
        _check(info)
    entries = {info.filename: entry for info in infos if (entry := _place(data, info)) is not None}
    _check_overlap(list(entries.values()), end)
    if sum(entry.size for entry in entries.values()) > MAX_TOTAL_BYTES:
        raise Hostile("too-large")
    loud = [entry for name, entry in entries.items() if not (QUIET.search(name) or name.endswith("/"))]
    pictures = tuple(each for each in loud if _suffix(each.name) in PICTURES)
    stems = {_stem(each.name) for each in pictures}
    captions = {_stem(each.name): each for each in loud if _suffix(each.name) == "txt" and _stem(each.name) in stems}
    known = {each.name for each in (*pictures, *captions.values())}
    return Contents(pictures, captions, tuple(each.name for each in loud if each.name not in known))


def rehearse(data: bytes, contents: Contents, max_file_bytes: int) -> tuple[list[str], list[str]]:
    """Inflate all that is wanted once and count; names of damaged and of too large pictures. Raises Hostile."""
    total, damaged, too_big = 0, [], []
    for entry in (*contents.pictures, *contents.captions.values()):
        seen = 0
        try:
            for part in inflated(data, entry):
                seen += len(part)
                total += len(part)
                if seen > max(RATIO_FREE_BYTES, MAX_RATIO * entry.packed):
                    raise Hostile("bomb", entry.name)
                if total > MAX_TOTAL_BYTES:
                    raise Hostile("too-large")
                if seen > max_file_bytes:
                    too_big.append(entry.name)
                    break
        except Damaged:
            damaged.append(entry.name)
    return damaged, too_big


def inflated(data: bytes, entry: Entry) -> Iterator[bytes]:
    """The entry's bytes in pieces; raises Damaged at the end when they are not what the table promised.

    Raises Hostile as soon as there are more of them than the table says.
    """
    packed = memoryview(data)[entry.begin : entry.begin + entry.packed]
    size, crc = 0, 0
    for part in _deflated(packed) if entry.deflated else _pieces(packed):
        size += len(part)
        crc = zlib.crc32(part, crc)
        if size > entry.size:
            raise Hostile("lies", entry.name)
        yield part
    if (size, crc) != (entry.size, entry.crc):
        raise Damaged


def _deflated(packed: memoryview) -> Iterator[bytes]:
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in _pieces(packed):
            waiting: bytes | memoryview = piece
            while not machine.eof:
                part = machine.decompress(waiting, CHUNK)
                waiting = machine.unconsumed_tail
                if not part:
                    break
                yield part
    except zlib.error as error:
        raise Damaged from error


def _pieces(packed: memoryview) -> Iterator[bytes]:
    for at in range(0, len(packed), CHUNK):
        yield bytes(packed[at : at + CHUNK])


def _table(data: bytes) -> tuple[list[zipfile.ZipInfo], int]:
    """The central directory as Python reads it, and where it begins; raises Hostile."""
    if not data.startswith(b"PK"):
        raise Hostile("no-zip")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.infolist(), archive.start_dir
    except UnicodeDecodeError as error:
        raise Hostile("names") from error
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError) as error:
        raise Hostile("cut") from error
    except (ValueError, OverflowError, struct.error, IndexError, KeyError) as error:
        raise Hostile("tables") from error


def _check(info: zipfile.ZipInfo) -> None:
    """What one entry must not be."""
    if OUTSIDE.search(info.orig_filename) or OUTSIDE.search(info.filename):
        raise Hostile("outside", info.orig_filename)
    if info.flag_bits & ENCRYPTED:
        raise Hostile("locked", info.filename)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Hostile("link", info.filename)
    if _suffix(info.filename) in ARCHIVES:
        raise Hostile("nested", info.filename)
    if not info.is_dir() and info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Hostile("method", info.filename)


def _place(data: bytes, info: zipfile.ZipInfo) -> Entry | None:
    """Where the entry's bytes lie, by its own header; None for a folder. Raises Hostile when the two tables differ."""
    if info.is_dir() and not info.file_size and not info.compress_size:
        return None
    head = data[info.header_offset : info.header_offset + LOCAL.size]
    if info.header_offset < 0 or len(head) < LOCAL.size or not head.startswith(LOCAL_SIGNATURE):
        raise Hostile("tables", info.filename)
    _, _, flags, method, *_, name_length, extra_length = LOCAL.unpack(head)
    begin = info.header_offset + LOCAL.size + name_length + extra_length
    raw = data[info.header_offset + LOCAL.size :][:name_length]
    name = raw.decode("utf-8" if flags & UTF8 else "cp437", "replace")
    stored_lies = method == zipfile.ZIP_STORED and info.compress_size != info.file_size
    if method != info.compress_type or name != info.orig_filename or stored_lies:
        raise Hostile("tables", info.filename)
    if begin + info.compress_size > len(data):
        raise Hostile("tables", info.filename)
    return Entry(
        name=info.filename,
        deflated=method == zipfile.ZIP_DEFLATED,
        head=info.header_offset,
        begin=begin,
        packed=info.compress_size,
        size=info.file_size,
        crc=info.CRC,
    )


def _check_overlap(entries: list[Entry], directory: int) -> None:
    """Two entries that share bytes are how a small file becomes petabytes (D. Fifield, A better zip bomb, 2019)."""
    end = 0
    for entry in sorted(entries, key=lambda each: each.head):
        if entry.head < end:
            raise Hostile("overlap", entry.name)
        end = entry.begin + entry.packed
        if end > directory:
            raise Hostile("overlap", entry.name)


def _caption(data: bytes, entry: Entry | None) -> str:
    """The text beside a picture; empty when there is none or it cannot be had."""
    if entry is None or entry.size > MAX_CAPTION_BYTES:
        return ""
    try:
        raw = b"".join(inflated(data, entry))
    except Damaged:
        return ""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
    return text[:CAPTION_LETTERS]


def _basename(name: str) -> str:
    return re.split(r"[/\\]", name)[-1]


def _named(names: Sequence[str]) -> dict[str, object]:
    """The first few names, and how many there are."""
    return {"names": [name[-NAME_LETTERS:] for name in names[:NAMED]], "count": len(names)}


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1][1:].lower()


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]


def _line(out: BinaryIO, value: dict[str, object]) -> None:
    out.write(json.dumps(value).encode() + b"\n")
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
