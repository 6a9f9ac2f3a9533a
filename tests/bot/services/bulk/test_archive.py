"""Archives of strangers: what is honest is read, what is not is a sentence."""

import io
import stat
import struct
import zipfile

import pytest

from bot.errors import Refused
from bot.services.bulk.archive import MEMBER_BYTES, MOST_MEMBERS, is_archive, pack, unpack
from tests.bot.zips import ZOO, deflated, forged, member

NO_CAPTIONS = {"bomb.zip", "liar.zip", "nested.zip", "tar.zip", "many.zip"}
"""Of the zoo: harmful to whoever inflates the pictures, of which an archive of captions wants none."""


def packed(*members, method=zipfile.ZIP_DEFLATED, **attributes):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.writestr(info, data)
    return out.getvalue()


def test_what_is_packed_is_unpacked():
    members = (("001-aaaaaaaaaa.txt", "lisaxl, woman, Smile é ^_^"), ("002-bbbbbbbbbb.txt", ""))
    data = pack(members)
    assert is_archive(data)
    assert unpack(data).members == members
    assert pack(members) == data, "the same captions are the same bytes"


def test_folders_and_junk_are_passed_over_and_other_files_named():
    data = packed(
        ("img/", b""),
        ("img/a.txt", b"x"),
        ("__MACOSX/img/._a.txt", b"\xff"),
        (".DS_Store", b"\xff"),
        ("img/a.jpg", b""),
    )
    read = unpack(data)
    assert read.members == (("img/a.txt", "x"),)
    assert "1 of its files" in read.notes[0]


def test_texts_of_windows_are_read_and_one_that_is_none_costs_only_itself():
    texts = ["Smile é", "женщина", "garçon"]
    raw = [texts[0].encode(), texts[1].encode("utf-16"), texts[2].encode("cp1252"), b"\x00\x01\x02", b"\xff\xfe\x00"]
    read = unpack(packed(*((f"{number}.txt", data) for number, data in enumerate(raw))))
    assert [text for _, text in read.members] == texts
    assert "`3.txt`, `4.txt`" in read.notes[0].replace("\u200b", "")
    assert "Save captions as UTF-8" in read.notes[0]


def test_names_in_the_code_page_of_dos_are_no_overlap():
    name = "müller und söhne.txt"
    read = unpack(forged([member(name.encode("cp437"), b"x"), member(b"b.txt", b"y")]))
    assert read.members == ((name, "x"), ("b.txt", "y"))


def overlapping():
    """Two names for one member's bytes, as the quoted-overlap bombs have."""
    data = packed(("a.txt", b"x" * 99))
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[start:end]
    twin = entry.replace(b"a.txt", b"b.txt")
    directory = entry + twin
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(directory), start, 0)
    return data[:start] + directory + tail


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (packed(("../../etc/a.txt", b"x")), "outside"),
        (packed(("/etc/a.txt", b"x")), "outside"),
        (packed(("C:/a.txt", b"x")), "outside"),
        (packed(("..\\a.txt", b"x")), "outside"),
        (packed(("a.txt", b"/etc/passwd"), external_attr=(stat.S_IFLNK | 0o777) << 16), "link"),
        (packed(("a.txt", b"0" * (MEMBER_BYTES + 1))), "larger than"),
        (packed(("a.txt", b"0" * 20_000_000)), "larger than"),
        (packed(*((f"{number}.txt", b"") for number in range(MOST_MEMBERS + 1))), "most"),
        (packed(("a.txt", b"x"), method=zipfile.ZIP_BZIP2), "packed in a way"),
        (packed(("a.txt", b"x"), method=zipfile.ZIP_LZMA), "packed in a way"),
        (overlapping(), "lie over one another"),
        (packed(("a.txt", b"x" * 500))[:-30], "damaged"),
        (b"PK\x03\x04", "damaged"),
    ],
)
def test_what_no_honest_archive_is_is_refused(data, why):
    with pytest.raises(Refused, match=why):
        unpack(data)


def test_a_name_twice_a_password_and_a_broken_checksum_are_refused():
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = packed(("a.txt", b"x"), ("a.txt", b"y"))
    with pytest.raises(Refused, match="twice"):
        unpack(twice)
    locked = bytearray(packed(("a.txt", b"x")))
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(Refused, match="password"):
        unpack(bytes(locked))
    stored = packed(("a.txt", b"honest words"), method=zipfile.ZIP_STORED)
    with pytest.raises(Refused, match="damaged"):
        unpack(stored.replace(b"honest", b"hones!"))


def test_a_zip_in_a_zip_is_not_opened():
    read = unpack(packed(("inner.zip", packed(("a.txt", b"x")))))
    assert read.members == ()
    assert read.notes


@pytest.mark.parametrize("name", sorted(NO_CAPTIONS))
def test_what_is_no_caption_is_never_inflated(name):
    read = unpack(ZOO[name][0]())
    assert read.members == ()
    assert read.notes


@pytest.mark.parametrize("name", sorted(ZOO.keys() - NO_CAPTIONS))
def test_the_rules_are_those_of_archives_of_pictures(name):
    with pytest.raises(Refused) as refusal:
        unpack(ZOO[name][0]())
    assert str(refusal.value).endswith(".")


def test_a_caption_that_is_larger_than_the_archive_says_is_refused():
    with pytest.raises(Refused, match="damaged"):
        unpack(forged([member(b"a.txt", deflated(b"0" * 5000), method=8, size=100)]))


def test_what_devices_put_in_beside_the_texts_is_passed_over():
    assert unpack(packed(("img/a.txt", b"x"), ("img/._a.txt", b"\xff"), ("img/Thumbs.db", b"\xff"))).notes == ()
