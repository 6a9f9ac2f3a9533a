"""A re-caption from the page: it goes on while the page asks, and is offered as any edit."""

import asyncio
import contextlib

import pytest

from bot.services.bulk import looks, recaption
from bot.services.bulk.edits import BulkEdits
from bot.vision.tagging.wd14 import TagResult
from bot.web.limits import EDITS_PER_MEMBER
from tests.bot.conftest import make_picture
from tests.bot.services.conftest import OTHER, OWNER, incoming, rows
from tests.bot.web.site import HELPER, captions_of

APPEND = {"mode": "append"}
STOPPED = {"state": "failed", "said": "You stopped it; nothing was changed."}


class Gate:
    """Holds the tagger before its first part."""

    def __init__(self, tagger) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        tagger.meanwhile = self._wait

    async def _wait(self) -> None:
        self.reached.set()
        await self.open.wait()


@pytest.fixture
async def gate(site, shown, tagger, monkeypatch):
    """The tagger waits, and then sees a hat; it is asked for one picture at a time."""
    monkeypatch.setattr(recaption, "CHUNK", 1)
    tagger.result = TagResult((("hat", 0.9), ("smile", 0.8)), (), "general")
    return Gate(tagger)


async def ended(site):
    """What the page is told once the tagger has looked."""
    assert await site.under_way.ended(60)
    return (await site.ask("GET", "api/recaption"))[1]


async def test_the_tagger_looks_while_the_page_asks_and_nothing_is_changed_before_it_is_applied(site, gate):
    assert (await site.ask("GET", "api/recaption"))[1] == {"state": "none"}
    assert await site.post("api/recaption", APPEND) == (202, {"state": "looking", "done": 0, "total": 0})
    await gate.reached.wait()
    assert (await site.ask("GET", "api/recaption"))[1] == {"state": "looking", "done": 0, "total": 3}
    status, said = await site.post("api/recaption", APPEND)
    assert (status, "looking for you already" in said["error"]) == (409, True)
    gate.open.set()
    said = await ended(site)
    assert (said["state"], said["offer"]["title"], len(said["offer"]["changes"])) == (
        "offered",
        "Re-caption (append)",
        3,
    )
    assert await captions_of(site) == ["smile, red hat", "Smile, blue sky", "blue sky"]
    assert (await site.post(f"api/edits/{said['offer']['id']}/apply"))[0] == 200
    assert await captions_of(site) == ["smile, red hat, hat", "Smile, blue sky, hat", "blue sky, hat, smile"]
    assert (await site.ask("GET", "api/recaption"))[1] == {"state": "none"}, "it was decided on"


@pytest.mark.parametrize(
    ("mode", "left"),
    [
        ("overwrite", ["smile, red hat", "hat, smile", "blue sky"]),
        ("append", ["smile, red hat", "Smile, blue sky, hat", "blue sky"]),
    ],
)
async def test_only_the_chosen_ones_are_looked_at(site, shown, gate, tagger, mode, left):
    gate.open.set()
    assert (await site.post("api/recaption", {"mode": mode, "pictures": [shown[1]["id"]]}))[0] == 202
    said = await ended(site)
    assert len(tagger.asked) == 1
    await site.post(f"api/edits/{said['offer']['id']}/apply")
    assert await captions_of(site) == left


async def test_what_cannot_be_filled_and_a_tagger_that_fails_are_said(site, shown, gate, tagger):
    await site.post("api/recaption", {"mode": "fill"})
    assert await ended(site) == {
        "state": "failed",
        "said": "All of them have captions already, so there is nothing to fill.",
    }
    tagger.broken = True
    assert (await site.post("api/recaption", APPEND))[0] == 202, "what ended before is no hindrance"
    assert await ended(site) == {"state": "failed", "said": "The tagger is broken."}
    assert (await site.ask("DELETE", "api/recaption"))[0] == 200
    assert (await site.ask("GET", "api/recaption"))[1] == {"state": "none"}


async def test_what_nobody_expected_is_logged_and_said(site, shown, tagger, caplog):
    async def break_down():
        raise RuntimeError("no such thing")

    tagger.meanwhile = break_down
    await site.post("api/recaption", APPEND)
    assert await ended(site) == {"state": "failed", "said": "Something went wrong on my side; please try again."}
    assert "no such thing" in caplog.text


async def test_it_is_stopped_before_the_next_part(site, gate, tagger, store):
    await site.post("api/recaption", APPEND)
    await gate.reached.wait()
    assert (await site.ask("DELETE", "api/recaption"))[0] == 200
    gate.open.set()
    assert await ended(site) == STOPPED
    assert len(tagger.asked) == 1
    assert await rows(store, "SELECT id FROM caption_edit") == []


async def test_it_is_stopped_in_the_only_part_and_says_that_it_stops(site, shown, gate, tagger, store):
    await site.post("api/recaption", APPEND | {"pictures": [shown[1]["id"]]})
    await gate.reached.wait()
    await site.ask("DELETE", "api/recaption")
    looking = {"state": "looking", "done": 0, "total": 1, "stopping": True}
    assert (await site.ask("GET", "api/recaption"))[1] == looking
    gate.open.set()
    assert await ended(site) == STOPPED
    assert await rows(store, "SELECT id FROM caption_edit") == []


async def test_it_is_stopped_while_it_is_worked_out(site, gate, monkeypatch):
    """What the tagger saw is there, and what it would change is not offered."""
    offer = BulkEdits.offer

    async def stopped(*given):
        await site.ask("DELETE", "api/recaption")
        return await offer(*given)

    monkeypatch.setattr(BulkEdits, "offer", stopped)
    gate.open.set()
    await site.post("api/recaption", APPEND)
    assert await ended(site) == STOPPED


async def test_what_is_offered_is_worked_out_as_seldom_as_other_edits(site, gate):
    gate.open.set()
    await site.post("api/recaption", APPEND)
    await ended(site)
    async with contextlib.AsyncExitStack() as held:
        for _ in range(EDITS_PER_MEMBER):
            await held.enter_async_context(site.limits.edit(OWNER))
        assert (await site.ask("GET", "api/recaption"))[0] == 429
    assert (await ended(site))["state"] == "offered"


async def test_members_do_not_see_each_others(site, gate, sharing, dataset):
    await site.post("api/recaption", APPEND)
    await gate.reached.wait()
    assert (await site.ask("GET", "api/recaption", HELPER))[1] == {"state": "none"}
    await site.ask("DELETE", "api/recaption", HELPER)
    await sharing.remove(dataset.id, OWNER, HELPER)
    for user in (HELPER, OTHER):
        assert (await site.post("api/recaption", APPEND, user))[0] == 403
        assert (await site.ask("GET", "api/recaption", user))[0] == 403
        assert (await site.ask("DELETE", "api/recaption", user))[0] == 403
    gate.open.set()
    assert (await ended(site))["state"] == "offered"


async def test_a_helper_taken_out_meanwhile_gets_nothing(site, gate, sharing, dataset, store):
    await site.post("api/recaption", APPEND, HELPER)
    await gate.reached.wait()
    await sharing.remove(dataset.id, OWNER, HELPER)
    gate.open.set()
    assert await site.under_way.ended(60)
    assert (await site.ask("GET", "api/recaption", HELPER))[0] == 403
    assert await rows(store, "SELECT id FROM caption_edit") == []


async def test_pictures_of_another_dataset_are_not_looked_at(site, gate, tagger, datasets, asked, intake):
    gate.open.set()
    other = await datasets.create(asked(name="Other", trigger="otherxl"))
    foreign = (await intake.add(other.id, OWNER, "m", [incoming("x.jpg", make_picture(seed=7))])).added[0].id
    await site.post("api/recaption", APPEND | {"pictures": [foreign]})
    assert await ended(site) == {"state": "failed", "said": "These pictures were removed."}
    assert tagger.asked == []


async def test_who_has_closed_the_page_is_told_in_the_thread(site, gate, store):
    async with store.transaction() as tx:
        await tx.execute("UPDATE dataset SET thread_id = 5")
    await site.post("api/recaption", APPEND)
    await gate.reached.wait()
    site.clock.now += looks.AWAY_SECONDS
    gate.open.set()
    assert await site.under_way.ended(60)
    assert await rows(store, "SELECT channel_id, kind FROM outbox") == [(5, "recaptioned")]
    assert (await ended(site))["state"] == "offered", "and who comes back sees it too"


@pytest.mark.parametrize(
    "body", [None, [], {}, {"mode": "again"}, {"mode": ["fill"]}, {"mode": "fill", "pictures": []}, {"pictures": [1]}]
)
async def test_what_is_no_mode_is_refused(site, shown, body):
    assert (await site.post("api/recaption", body))[0] == 400
    assert (await site.ask("GET", "api/recaption"))[1] == {"state": "none"}


async def test_a_dataset_put_away_is_not_looked_at(site, shown, tagger, store):
    async with store.transaction() as tx:
        await tx.execute("UPDATE dataset SET archived_at = 1")
    status, said = await site.post("api/recaption", APPEND)
    assert (status, "put away" in said["error"], tagger.asked) == (409, True, [])
