"""Archives: what is wrong with one is said in a sentence before a picture comes out, and memory stays small."""

import io
import subprocess
import sys
import zipfile

import pytest

from bot.errors import PictureRefused
from bot.vision.zips.unzip import CPU_SECONDS, MEMORY_BYTES, LeftOut, Unzipper
from bot.vision.zips.zip_worker import MAX_ENTRIES
from bot.workers.child import worker_environment
from tests.bot.zips import ZOO, forged, member, packed, picture, zeros

MOST_MEGABYTES = 600
MEGABYTE = 2**20


@pytest.fixture
def unzipper() -> Unzipper:
    return Unzipper(25 * MEGABYTE)


async def all_of(unzipper, data, shown="`a.zip`"):
    async with unzipper.open(data, shown) as archive:
        return archive.listing, [each async for each in archive.members()]


@pytest.mark.parametrize("name", ZOO)
async def test_a_hostile_archive_is_refused_with_its_name_and_the_reason(unzipper, name):
    make, reason = ZOO[name]
    with pytest.raises(PictureRefused) as refusal:
        await all_of(unzipper, make(), f"`{name}`")
    sentence = str(refusal.value)
    assert sentence.startswith(f"`{name}` ")
    assert reason in sentence
    assert sentence.endswith(".")


async def test_pictures_come_with_the_captions_beside_them(unzipper):
    data = packed(
        {
            "10_lisaxl woman/a.jpg": picture(1),
            "10_lisaxl woman/a.txt": "\ufefflisaxl, woman, rote Mütze".encode(),
            "b.PNG": picture(2),
            "b.txt": "née".encode("cp1252"),
            "c.jpeg": picture(3),
            "sub\\d.jpg": picture(4),
            "__MACOSX/._a.jpg": b"x",
            "folder/": b"",
            ".DS_Store": b"x",
            "readme.txt": b"no picture of that name",
            "model.safetensors": b"x",
        }
    )
    listing, members = await all_of(unzipper, data)
    assert [(each.name, each.caption) for each in members] == [
        ("a.jpg", "lisaxl, woman, rote Mütze"),
        ("b.PNG", "née"),
        ("c.jpeg", ""),
        ("d.jpg", ""),
    ]
    assert [each.data for each in members] == [picture(seed) for seed in (1, 2, 3, 4)]
    assert listing.left_out == LeftOut(("readme.txt", "model.safetensors"), 2)
    assert listing.unread == LeftOut((), 0)


async def test_a_caption_that_is_no_text_is_named_and_its_picture_comes_without(unzipper):
    files = {"a.jpg": picture(1), "a.txt": b"\x00\x01", "b.jpg": picture(2), "b.txt": "женщина".encode("utf-16")}
    listing, members = await all_of(unzipper, packed(files))
    assert [(each.name, each.caption) for each in members] == [("a.jpg", ""), ("b.jpg", "женщина")]
    assert listing.unread == LeftOut(("a.txt",), 1)


async def test_what_devices_put_in_does_not_count(unzipper):
    files = {f"{number}.txt": b"" for number in range(MAX_ENTRIES - 1)} | {"a.jpg": picture(1)}
    junk = {f"__MACOSX/._{name}": b"" for name in files}
    listing, _ = await all_of(unzipper, packed(files | junk))
    assert listing.members == 1
    with pytest.raises(PictureRefused, match="is the most"):
        await all_of(unzipper, packed(files | junk | {"one more.txt": b""}))


async def test_names_that_are_not_utf8_are_read_as_old_archives_mean_them(unzipper):
    _, members = await all_of(unzipper, forged([member(b"Gr\x81\xe1e.jpg", picture())]))
    assert members[0].name == "Grüße.jpg"


async def test_an_archive_written_as_a_stream_is_read(unzipper):
    """Phones write sizes behind the bytes (a data descriptor), because they do not know them before."""

    class Stream(io.RawIOBase):
        def __init__(self):
            self.parts = []

        def writable(self):
            return True

        def write(self, data):
            self.parts.append(bytes(data))
            return len(data)

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for seed in range(3):
            archive.writestr(f"{seed}.jpg", picture(seed))
    _, members = await all_of(unzipper, b"".join(stream.parts))
    assert [each.data for each in members] == [picture(seed) for seed in range(3)]


async def test_long_names_in_any_script_fit_into_the_answer(unzipper):
    names = [f"{'🦊' * 120}{number}" for number in range(40)]
    data = packed({**{f"{name}.psd": b"x" for name in names}, **{f"{names[0]}.jpg": picture()}})
    listing, members = await all_of(unzipper, data)
    assert (len(listing.left_out.names), listing.left_out.count) == (5, 40)
    assert members[0].name == f"{names[0]}.jpg"


async def test_a_damaged_picture_is_named_and_the_others_come(unzipper):
    data = packed({"a.jpg": picture(1), "b.jpg": picture(2)}, zipfile.ZIP_STORED)
    data = data.replace(picture(1), picture(1)[:-1] + b"!")
    listing, members = await all_of(unzipper, data)
    assert listing.damaged == LeftOut(("a.jpg",), 1)
    assert [each.name for each in members] == ["b.jpg"]


async def test_a_picture_that_is_too_large_is_named_and_the_others_come():
    data = packed({"a.jpg": b"x" * 3000, "b.jpg": b"y" * 1000}, zipfile.ZIP_STORED)
    listing, members = await all_of(Unzipper(2000), data)
    assert listing.too_big == LeftOut(("a.jpg",), 1)
    assert [each.name for each in members] == ["b.jpg"]


NONE = '{"names": [], "count": 0}'
HEAVY = {
    "100 MB of pictures": lambda: forged([member(b"%d.jpg" % n, bytes(range(256)) * 96 * 1024) for n in range(4)]),
    "larger than it says": ZOO["liar.zip"][0],
    "1.6 GB in 80 files": ZOO["heap.zip"][0],
    "a bomb": ZOO["bomb.zip"][0],
}


@pytest.mark.parametrize("what", HEAVY)
def test_the_reader_stays_small(what):
    """Its high-water mark as the kernel counts it, told when it has done its work."""
    told = "[line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1]"
    code = (
        f"import sys; from bot.vision.zips import zip_worker as w; w.main(sys.argv[1:]); print({told}, file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(MEMORY_BYTES), str(CPU_SECONDS), str(25 * MEGABYTE)],
        input=HEAVY[what](),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
        env=worker_environment(),
    )
    megabytes = int(ended.stderr) / 1024
    assert 5 < megabytes < MOST_MEGABYTES


@pytest.mark.parametrize(
    "answer",
    [
        "[]\\n",
        "@everyone\\n",
        '{"ok": true}\\n',
        '{"ok": true, "members": -1, "left_out": %L, "damaged": %L, "too_big": %L}\\n',
        '{"ok": true, "members": 9, "left_out": %L, "damaged": %L, "too_big": %L}\\n[]\\n',
        '{"ok": true, "members": 1, "left_out": %L, "damaged": %L, "too_big": %L}\\n'
        '{"name": "a", "caption": "", "bytes": 99999999999}\\n',
        '{"ok": true, "members": 1, "left_out": %L, "damaged": %L, "too_big": %L}\\n'
        '{"name": "a", "caption": "", "bytes": 10}\\nshort',
        '{"ok": false, "why": "outside", "name": "@everyone"}\\n',
    ],
)
async def test_a_reader_that_was_taken_over_is_not_believed(unzipper, monkeypatch, answer):
    monkeypatch.setattr(
        "bot.vision.zips.unzip.worker_command", lambda *_: ["/usr/bin/printf", answer.replace("%L", NONE)]
    )
    with pytest.raises(PictureRefused, match=r"^`a.zip` ") as refusal:
        await all_of(unzipper, b"PK")
    assert "@everyone" not in str(refusal.value).replace("`@everyone`", "")


async def test_a_reader_that_dies_is_a_refusal(unzipper, monkeypatch):
    monkeypatch.setattr("bot.vision.zips.unzip.worker_command", lambda *_: ["/bin/sh", "-c", "kill -SEGV $$"])
    with pytest.raises(PictureRefused, match="could not be read to its end"):
        await all_of(unzipper, packed({"a.jpg": picture()}))


async def test_memory_is_bounded(unzipper, monkeypatch):
    monkeypatch.setattr("bot.vision.zips.unzip.MEMORY_BYTES", 60 * MEGABYTE)
    with pytest.raises(PictureRefused, match=r"too much memory|could not be read"):
        await all_of(unzipper, packed({"a.jpg": b"\xff" * 50 * MEGABYTE}, zipfile.ZIP_STORED))


def test_a_bomb_is_small_and_its_contents_are_not():
    assert len(zeros(20)) < 100_000
