"""Captions from a file by the page: what it would change is shown first; a hostile file changes nothing."""

import asyncio
import io

import aiohttp
import pytest

from bot.services.bulk.files import FEWEST_BYTES
from tests.bot.services.conftest import OTHER, OWNER, rows
from tests.bot.web.site import HELPER, captions_of
from tests.bot.zips import packed


async def send(site, data, name="captions.txt", user=OWNER):
    data = io.BytesIO(data) if isinstance(data, bytes) else data
    return await site.ask("POST", "api/captions", user, params={"name": name}, data=data)


@pytest.mark.parametrize("form", ["text", "zip"])
async def test_what_goes_out_comes_back_changed(site, shown, form):
    _, data = await site.ask("GET", f"api/captions?form={form}")
    if form == "text":
        data = data.replace(b"blue sky", b"clouds")
    else:
        await site.edit(shown[0], "something else")
    status, offer = await send(site, data, f"c.{form}")
    assert (status, offer["title"]) == (200, "Import captions")
    assert [each["number"] for each in offer["changes"]] == ([2, 3] if form == "text" else [1])
    assert "clouds" not in str(await captions_of(site)), "nothing is changed yet"
    assert (await site.post(f"api/edits/{offer['id']}/apply"))[0] == 200
    left = (
        ["smile, red hat", "Smile, clouds", "clouds"]
        if form == "text"
        else ["smile, red hat", "Smile, blue sky", "blue sky"]
    )
    assert await captions_of(site) == left
    assert (await site.post(f"api/edits/{offer['id']}/undo"))[0] == 200


async def test_what_belongs_to_no_picture_is_said(site, shown):
    status, offer = await send(site, packed({"other.txt": b"x", "a.jpg": b"no text"}), "c.zip")
    assert (status, "belongs to no picture" in offer["error"]) == (409, True)


@pytest.mark.parametrize(
    ("name", "data", "status", "why"),
    [
        ("c.txt", b"", 409, "It holds no captions"),
        ("c.txt", b"\xff\xfe\x00", 409, "no text I can read"),
        ("", b"\x00\x01\x02", 409, "no text I can read"),
        ("../../etc/passwd", b"hello", 409, "Nothing was imported"),
        ("c.zip", b"PK\x03\x04 and nothing", 409, "damaged"),
        ("c.zip", packed({"../a.txt": b"x"}), 409, "points outside"),
        ("c.zip", packed({f"{number}.txt": b"x" for number in range(1001)}), 409, "1000 is the most"),
        ("c.zip", packed({"a.txt": b"x" * 20_000}), 409, "which is no caption"),
        ("c.txt", b"x" * (FEWEST_BYTES + 1), 409, "may have 2 MB here"),
    ],
)
async def test_files_that_are_none_change_nothing(site, shown, store, name, data, status, why):
    got, said = await send(site, data, name)
    assert (got, why in said["error"]) == (status, True), said
    assert "/captions" not in said["error"], "a command of Discord's"
    assert await rows(store, "SELECT id FROM caption_edit") == []


async def test_a_body_without_a_length_is_cut_off(site, shown, store):
    sent, whole = 0, 64 * FEWEST_BYTES

    async def endless():
        nonlocal sent
        while sent < whole:
            sent += 65536
            yield b"x" * 65536
            await asyncio.sleep(0)

    try:
        status, said = await send(site, endless())
    except aiohttp.ClientError:  # it hung up while the rest was still being sent, which is an answer too
        pass
    else:
        assert (status, said["error"]) == (400, "The file did not arrive whole, or is too large.")
    assert FEWEST_BYTES < sent < whole, "in the midst of it"
    assert await rows(store, "SELECT id FROM caption_edit") == []


async def test_strangers_and_who_was_taken_out_import_nothing(site, shown, sharing, dataset, store):
    _, data = await site.ask("GET", "api/captions?form=text")
    data = data.replace(b"smile", b"grin")
    assert (await send(site, data, user=HELPER))[0] == 200
    await sharing.remove(dataset.id, OWNER, HELPER)
    for user in (HELPER, OTHER):
        assert (await send(site, data, user=user))[0] == 403
    async with store.transaction() as tx:
        await tx.execute("UPDATE dataset SET archived_at = 1")
    assert (await send(site, data))[0] == 409
