"""ZIP archives as they should be and as nobody should make them; all built here."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

from tests.bot.conftest import make_picture

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s4B4H3L5H2L")
END = struct.Struct("<4s4H2LH")


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An ordinary archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def picture(seed: int = 0) -> bytes:
    return make_picture(seed=seed)


def member(name: bytes, body: bytes, *, method: int = 0, size: int | None = None, crc: int | None = None) -> dict:
    """An entry of `forged`; size and crc may lie."""
    return {
        "name": name,
        "body": body,
        "method": method,
        "size": len(body) if size is None else size,
        "crc": zlib.crc32(body) if crc is None else crc,
    }


def forged(members: list[dict], *, flags: int = 0, attributes: int = 0, places: list[int] | None = None) -> bytes:
    """An archive written by hand; `places` lets the directory lie about where the entries begin."""
    out, begins = bytearray(), []
    for each in members:
        begins.append(len(out))
        sizes = each["crc"], len(each["body"]), each["size"]
        out += LOCAL.pack(b"PK\x03\x04", 20, flags, each["method"], 0, 0, *sizes, len(each["name"]), 0)
        out += each["name"] + each["body"]
    directory = len(out)
    for each, begin in zip(members, places or begins, strict=True):
        sizes = each["crc"], len(each["body"]), each["size"]
        out += CENTRAL.pack(
            *(b"PK\x01\x02", 20, 3, 20, 0, flags, each["method"], 0, 0, *sizes, len(each["name"])),
            *(0, 0, 0, 0, attributes, begin),
        )
        out += each["name"]
    return bytes(out) + END.pack(b"PK\x05\x06", 0, 0, len(members), len(members), len(out) - directory, directory, 0)


def deflated(data: bytes) -> bytes:
    machine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return machine.compress(data) + machine.flush()


def zeros(megabytes: int) -> bytes:
    """That many megabytes of zeros, packed piece by piece."""
    machine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = bytes(2**20)
    return b"".join(machine.compress(piece) for _ in range(megabytes)) + machine.flush()


def bomb() -> bytes:
    """One entry of 20 MB in 20 kB."""
    return forged([member(b"a.png", zeros(20), method=8, size=20 * 2**20)])


def heap() -> bytes:
    """80 entries of 20 MB each, none of them large by itself."""
    body, size = zeros(20), 20 * 2**20
    return forged([member(b"%d.png" % number, body, method=8, size=size) for number in range(80)])


def liar() -> bytes:
    """Says 1000 bytes, holds 300 MB."""
    return forged([member(b"a.png", zeros(300), method=8, size=1000)])


def overlapping() -> bytes:
    """Entry 0's bytes hold the header and bytes of entry 1 (D. Fifield's trick, without the compression)."""
    inner = forged([member(b"1.jpg", picture())])[: LOCAL.size + 5 + len(picture())]
    return forged([member(b"0.jpg", inner), member(b"1.jpg", picture())], places=[0, LOCAL.size + 5])


def zip64_lie() -> bytes:
    """The directory promises its sizes in a ZIP64 field that is too short for them."""
    data = bytearray(packed({"a.jpg": picture()}, zipfile.ZIP_STORED))
    at = data.rindex(b"PK\x01\x02")
    struct.pack_into("<L", data, at + 24, 0xFFFFFFFF)
    return bytes(data)


def zip64_huge() -> bytes:
    """A ZIP64 field that promises 2^60 bytes."""
    name, body = b"a.jpg", picture()
    extra = struct.pack("<HHQ", 1, 8, 2**60)
    local = LOCAL.pack(b"PK\x03\x04", 45, 0, 8, 0, 0, 0, len(body), 0xFFFFFFFF, len(name), 0) + name + body
    central = CENTRAL.pack(
        *(b"PK\x01\x02", 45, 3, 45, 0, 0, 8, 0, 0, 0, len(body), 0xFFFFFFFF, len(name)),
        *(len(extra), 0, 0, 0, 0, 0),
    )
    central += name + extra
    return local + central + END.pack(b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    """Other bytes of the same length in both tables."""
    assert len(old) == len(new)
    assert old in data
    return data.replace(old, new)


def wrong_name() -> bytes:
    """Its own header calls the file something else than the directory."""
    data = packed({"a.jpg": picture()})
    return data.replace(b"a.jpg", b"b.jpg", 1)


def duplicate() -> bytes:
    return patched(packed({"a.jpg": picture(1), "b.jpg": picture(2)}), b"b.jpg", b"a.jpg")


def lzma() -> bytes:
    return packed({"a.jpg": picture()}, zipfile.ZIP_LZMA)


def many() -> bytes:
    return packed({f"{number}.jpg": b"x" for number in range(501)})


def named(name: bytes) -> bytes:
    return forged([member(name, picture())])


def cut() -> bytes:
    whole = packed({"a.jpg": picture(), "b.jpg": picture(1)})
    return whole[: len(whole) // 2]


ZOO: dict[str, tuple[Callable[[], bytes], str]] = {
    "slip.zip": (lambda: named(b"../../etc/cron.d/a.jpg"), "a name that leads out of its folder"),
    "slip-windows.zip": (lambda: named(b"..\\..\\a.jpg"), "a name that leads out of its folder"),
    "absolute.zip": (lambda: named(b"/root/.ssh/a.jpg"), "a name that leads out of its folder"),
    "drive.zip": (lambda: named(b"C:\\a.jpg"), "a name that leads out of its folder"),
    "nul.zip": (lambda: named(b"a.jpg\0.exe"), "a name that leads out of its folder"),
    "link.zip": (
        lambda: forged([member(b"a.jpg", b"/etc/passwd")], attributes=0o120777 << 16),
        "`a.jpg`, which is a link and not a file",
    ),
    "device.zip": (
        lambda: forged([member(b"a.jpg", b"")], attributes=0o020666 << 16),
        "`a.jpg`, which is a link and not a file",
    ),
    "locked.zip": (lambda: forged([member(b"a.jpg", picture())], flags=1), "is locked with a password"),
    "nested.zip": (lambda: packed({"more.zip": packed({"a.jpg": picture()})}), "holds another archive, `more.zip`"),
    "tar.zip": (lambda: packed({"more.tar.gz": b"x"}), "holds another archive, `more.tar.gz`"),
    "overlap.zip": (overlapping, "holds files that lie in each other"),
    "same.zip": (
        lambda: forged([member(b"a.jpg", b"x"), member(b"b.jpg", b"x")], places=[0, 0]),
        "holds files that lie in each other",
    ),
    "bomb.zip": (bomb, "holds `a.png`, which swells to more than 100 times its size"),
    "heap.zip": (heap, "unpacks to more than 1 GB"),
    "liar.zip": (liar, "holds `a.png`, which is larger than the archive says"),
    "many.zip": (many, "holds 501 files; 500 is the most"),
    "cut.zip": (cut, "is damaged or cut short"),
    "head.zip": (lambda: packed({"a.jpg": picture()})[:20], "is damaged or cut short"),
    "text.zip": (lambda: b"hello, I am no archive", "is not a ZIP archive"),
    "empty-file.zip": (lambda: b"", "is not a ZIP archive"),
    "zip64-short.zip": (zip64_lie, "contradicts itself"),
    "zip64-huge.zip": (zip64_huge, "unpacks to more than 1 GB"),
    "twice.zip": (duplicate, "holds two files called `a.jpg`"),
    "letters.zip": (lambda: forged([member(b"\xff\xfe.jpg", b"x")], flags=0x800), "no readable text"),
    "lzma.zip": (lzma, "is packed in a way I do not open"),
    "two-names.zip": (wrong_name, "contradicts itself"),
    "outside.zip": (
        lambda: forged([member(b"a.jpg", picture())], places=[10**6]),
        "contradicts itself",
    ),
}
"""Archives that are refused as a whole: how each is made, and what is said about it."""
