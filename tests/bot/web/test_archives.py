"""Archives by the page: the same service as Discord's, bounded while they come in, and safe to send again."""

import asyncio
import contextlib
import dataclasses
import io

import aiohttp
import pytest

from bot.services.dataset.desk import Desk
from bot.web.limits import ARCHIVES, Limits, TooMany
from tests.bot.conftest import make_picture
from tests.bot.services.conftest import OTHER, OWNER, rows
from tests.bot.web.site import HELPER, sha256
from tests.bot.zips import packed

GALLERY = packed({"a.jpg": make_picture(seed=1), "a.txt": b"red hat", "b.jpg": make_picture(seed=2), "x.exe": b"MZ"})
MOST = 2**20


@pytest.fixture
def config(config):
    """Archives of at most 1 MB."""
    return dataclasses.replace(config, intake=dataclasses.replace(config.intake, max_zip_bytes=MOST))


async def test_an_archive_is_a_batch_with_its_captions_and_is_taken_once(site, store):
    first = await site.put(GALLERY, name="Gallery.ZIP")
    assert (first[0], first[1]["state"]) == (200, "added")
    assert [each["name"] for each in first[1]["pictures"]] == ["a.jpg", "b.jpg"]
    assert first[1]["pictures"][0]["caption"] == "lisaxl, woman, red hat"
    assert first[1]["why"] == "Left out of “Gallery.ZIP”, as not pictures or their captions: “x.exe”."
    assert await site.put(GALLERY, name="Gallery.ZIP") == first, "an answer that was lost is given again"
    assert await rows(store, "SELECT COUNT(*), COUNT(DISTINCT batch_id) FROM picture") == [(2, 1)]
    await site.put(make_picture(seed=3))
    assert await rows(store, "SELECT COUNT(*) FROM picture GROUP BY batch_id") == [(2,), (1,)]


async def test_a_fresh_link_knows_the_archives_pictures(site):
    await site.put(GALLERY, name="a.zip")
    site.clock.now += 60
    status, said = await site.put(packed({"b.jpg": make_picture(seed=2)}), name="b.zip")
    assert (status, said["state"]) == (200, "known")
    assert said["why"] == "“b.jpg” is the same as picture 2, “b.jpg”; it was not added again."


async def test_what_is_no_archive_is_refused_in_a_sentence(site):
    status, said = await site.put(b"not a zip", name="a.zip")
    assert (status, said["state"], said["pictures"]) == (200, "refused", [])
    assert said["why"] == "“a.zip” is not a ZIP archive. Send a ZIP, or the pictures themselves."


async def test_an_archive_fills_the_dataset_and_says_what_did_not_fit(site, config):
    many = packed({f"{seed:02}.jpg": make_picture(seed=seed) for seed in range(config.intake.max_pictures + 2)})
    status, said = await site.put(many, name="many.zip")
    assert (status, said["state"], len(said["pictures"])) == (200, "added", config.intake.max_pictures)
    assert "The dataset is full: 12 pictures is the most. Left out: “12.jpg”, “13.jpg”." in said["why"]


@pytest.mark.parametrize("user", [OTHER, HELPER])
async def test_who_may_not_add_sends_no_archive(site, sharing, dataset, user, store):
    await sharing.remove(dataset.id, OWNER, HELPER)
    assert (await site.put(GALLERY, user, "a.zip"))[0] == 403
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(0,)]


async def test_one_too_large_is_refused_by_its_length_and_while_it_comes(site, store):
    large = b"PK" + b"x" * MOST
    status, said = await site.ask("PUT", f"api/file/{sha256(large)}?name=a.zip", data=io.BytesIO(large))
    assert status == 413
    assert said["error"].startswith("“a.zip” is larger than 1 MB. Send the pictures in several archives")

    async def pieces():
        for at in range(0, len(large), 16 * 1024):
            yield large[at : at + 16 * 1024]

    with contextlib.suppress(aiohttp.ClientError):  # it may hang up while the rest is still being sent
        assert (await site.ask("PUT", f"api/file/{sha256(large)}?name=a.zip", data=pieces()))[0] == 400
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(0,)]


async def test_one_that_did_not_arrive_whole_is_not_opened(site, store):
    status, said = await site.ask("PUT", f"api/file/{sha256(GALLERY)}?name=a.zip", data=GALLERY[:-1])
    assert (status, said) == (400, {"error": "“a.zip” did not arrive whole."})
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(0,)]


async def test_nothing_of_it_stays_beside_the_pictures(site, config):
    before = sorted(each.name for each in config.paths.data.iterdir())
    await site.put(b"not a zip", name="a.zip")
    assert sorted(each.name for each in config.paths.data.iterdir()) == before


async def test_a_member_sends_one_at_a_time(site, monkeypatch):
    """The second is asked to wait while the first is unpacked, and is not read meanwhile."""
    begun, end = asyncio.Event(), asyncio.Event()
    plain = Desk.add_archive

    async def slow(*given):
        begun.set()
        await end.wait()
        return await plain(*given)

    monkeypatch.setattr(Desk, "add_archive", slow)
    first = asyncio.create_task(site.put(GALLERY, name="a.zip"))
    await begun.wait()
    assert (await site.put(packed({"c.jpg": make_picture(seed=5)}), name="b.zip"))[0] == 429
    end.set()
    assert (await first)[1]["state"] == "added"


async def test_all_members_together_hold_few():
    limits = Limits()
    async with contextlib.AsyncExitStack() as held:
        for user in range(ARCHIVES):
            await held.enter_async_context(limits.archive(user))
        with pytest.raises(TooMany):
            await held.enter_async_context(limits.archive(0))
        waiting = asyncio.create_task(held.enter_async_context(limits.archive(99)))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
