"""What a ZIP archive from a stranger may be, for archives of pictures and of captions; the standard library only.

Nothing in the archive's own tables is believed: names never become paths, every entry's place is checked against the
others', and what comes out of an entry is counted while it is inflated.
"""

from __future__ import annotations

import io
import posixpath
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_TOTAL_BYTES = 1024**3
"""Of all that is in it, inflated."""
MAX_RATIO = 100
"""Pictures hardly shrink in an archive, plain text at most some 20 times; a deflate bomb reaches 1,030 times."""
RATIO_FREE_BYTES = 1024 * 1024
"""Up to here any ratio is harmless."""
CHUNK = 256 * 1024

ARCHIVES = frozenset({"zip", "cbz", "7z", "rar", "tar", "gz", "tgz", "bz2", "xz"})
QUIET = re.compile(r"(^|/)(__MACOSX/|\.|Thumbs\.db$|desktop\.ini$)", re.IGNORECASE)
"""What phones and computers put in by themselves; left out without a word."""
QUIET_SHARE = 3
"""Of all entries to those wanted, at most: a Mac adds one to each file, and some to each folder."""
OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\0")
"""Names that lead out of a folder, on one system or another."""

ENCRYPTED, UTF8 = 0x1, 0x800
LOCAL = struct.Struct("<4s5H3L2H")
LOCAL_SIGNATURE = b"PK\x03\x04"


class Hostile(Exception):
    """The archive is refused; `why` is a code that whoever opened it has the sentence for."""

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

    @property
    def suffix(self) -> str:
        """Of its name, in small letters, without the dot."""
        return _suffix(self.name)

    @property
    def stem(self) -> str:
        """Its name, folder and all, without the suffix."""
        return posixpath.splitext(self.name)[0]


def entries_of(data: bytes, most: int, *, nested: bool = False) -> list[Entry]:
    """The files of an archive, `most` at most, without what devices put in by themselves.

    The tables are checked against the rules and each other; nothing is inflated yet. Unless `nested`, an archive
    within is refused rather than listed. Raises Hostile.
    """
    infos, end = _table(data)
    counted = sum(not QUIET.search(info.filename) for info in infos)
    if counted > most or len(infos) > QUIET_SHARE * most:
        raise Hostile("too-many", number=max(counted, len(infos) // QUIET_SHARE))
    for name, times in Counter(info.filename for info in infos).items():
        if times > 1:
            raise Hostile("twice", name)
    if len({info.header_offset for info in infos}) < len(infos):
        raise Hostile("overlap")
    for info in infos:
        _check(info, nested)
    entries = [entry for info in infos if (entry := _place(data, info)) is not None]
    _check_overlap(entries, end)
    if sum(entry.size for entry in entries) > MAX_TOTAL_BYTES:
        raise Hostile("too-large")
    return [entry for entry in entries if not (QUIET.search(entry.name) or entry.name.endswith("/"))]


def inflated(data: bytes, entry: Entry) -> Iterator[bytes]:
    """The entry's bytes in pieces; raises Damaged at the end when they are not what the table promised.

    Raises Hostile as soon as there are more of them than the table says, or far more than the archive spent on them.
    """
    packed = memoryview(data)[entry.begin : entry.begin + entry.packed]
    size, crc = 0, 0
    for part in _deflated(packed) if entry.deflated else _pieces(packed):
        size += len(part)
        crc = zlib.crc32(part, crc)
        if size > entry.size:
            raise Hostile("lies", entry.name)
        if size > max(RATIO_FREE_BYTES, MAX_RATIO * entry.packed):
            raise Hostile("bomb", entry.name)
        yield part
    if (size, crc) != (entry.size, entry.crc):
        raise Damaged


def basename(name: str) -> str:
    """The last part of a name, whichever system wrote it."""
    return re.split(r"[/\\]", name)[-1]


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


def _check(info: zipfile.ZipInfo, nested: bool) -> None:
    """What one entry must not be."""
    if OUTSIDE.search(info.orig_filename) or OUTSIDE.search(info.filename):
        raise Hostile("outside", info.orig_filename)
    if info.flag_bits & ENCRYPTED:
        raise Hostile("locked", info.filename)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Hostile("link", info.filename)
    if not nested and _suffix(info.filename) in ARCHIVES:
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


def _check_overlap(entries: Sequence[Entry], directory: int) -> None:
    """Two entries that share bytes are how a small file becomes petabytes (D. Fifield, A better zip bomb, 2019)."""
    end = 0
    for entry in sorted(entries, key=lambda each: each.head):
        if entry.head < end:
            raise Hostile("overlap", entry.name)
        end = entry.begin + entry.packed
        if end > directory:
            raise Hostile("overlap", entry.name)


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1][1:].lower()
