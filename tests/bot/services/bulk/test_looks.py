"""Who is told what came of a re-caption: the page that asks, or else the thread; pages close at any moment."""

import asyncio

import pytest

from bot.config import TaggerConfig
from bot.rules.bulk.operations import RemoveTags
from bot.services.bulk.edits import OFFER_SECONDS
from bot.services.bulk.looks import AWAY_SECONDS, Looks
from bot.services.bulk.recaption import Recaptioner
from bot.services.upkeep.under_way import UnderWay
from bot.vision.tagging import tagger as tagger_module
from bot.vision.tagging.wd14 import TagResult
from tests.bot.jobs.conftest import lab  # noqa: F401 - a fixture
from tests.bot.jobs.lab import OWNER as LAB_OWNER
from tests.bot.services.conftest import OWNER, rows


class Pause:
    """Stands in for asyncio.sleep: it ends when a test says so."""

    def __init__(self) -> None:
        self.begun, self.over = asyncio.Event(), asyncio.Event()
        self.seconds = 0.0

    async def __call__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun.set()
        await self.over.wait()


@pytest.fixture
def pause() -> Pause:
    return Pause()


@pytest.fixture
async def looks(store, edits, files, tagger, clock, pause, three):
    tagger.result = TagResult((("boots", 0.9),), (), "general")
    async with store.transaction() as tx:
        await tx.execute("UPDATE dataset SET thread_id = 5")
    made = Looks(store, edits, Recaptioner(edits, files, tagger, TaggerConfig()), clock, pause)
    yield made
    await made.close()


@pytest.fixture
def anew(store, edits, clock):
    """As after a restart; nobody asks this one to look."""
    return lambda: Looks(store, edits, None, clock)


@pytest.fixture
async def ended(looks, dataset, pause):
    """A look that ended while its page still asked; the task that waits whether it asks on."""
    under_way = UnderWay()
    look = await looks.begin(dataset.id, OWNER, "append", None, under_way)
    (task,) = looks._tasks
    begun = asyncio.create_task(pause.begun.wait())
    await asyncio.wait({begun, task}, return_when=asyncio.FIRST_COMPLETED)
    assert begun.done(), look.failed
    assert look.edit_id, "it is offered before the pause"
    assert await under_way.ended(0), "a bot that stops does not wait for it"
    return task


async def told(store) -> list:
    return await rows(store, "SELECT channel_id, kind FROM outbox")


async def test_a_page_closed_just_before_the_end_is_told_in_the_thread(ended, pause, store):
    assert (pause.seconds, await told(store)) == (AWAY_SECONDS, [])
    pause.over.set()
    await ended
    assert await told(store) == [(5, "recaptioned")]


async def test_a_page_that_has_shown_it_is_not_told_again(ended, looks, dataset, pause, store):
    assert (await looks.seen(dataset.id, OWNER)).edit_id
    pause.over.set()
    await ended
    assert await told(store) == []


async def test_what_was_decided_on_is_not_told(ended, looks, dataset, pause, store):
    await looks.stop(dataset.id, OWNER)
    pause.over.set()
    await ended
    assert await told(store) == []


async def test_a_bot_that_stops_does_not_wait_for_the_page(ended, looks, store):
    await looks.close()
    assert ended.cancelled()
    assert await told(store) == []


async def test_what_was_offered_before_a_restart_is_found_until_it_is_decided_on(ended, looks, dataset, anew, edits):
    edit_id = (await looks.seen(dataset.id, OWNER)).edit_id
    after = anew()
    assert (await after.seen(dataset.id, OWNER)).edit_id == edit_id
    await after.stop(dataset.id, OWNER)
    assert await after.seen(dataset.id, OWNER) is None
    at_once = anew()
    await at_once.stop(dataset.id, OWNER)
    assert await at_once.seen(dataset.id, OWNER) is None
    await edits.apply(edit_id, OWNER)
    assert await anew().seen(dataset.id, OWNER) is None


async def test_other_offers_of_before_a_restart_are_not_shown_as_what_the_tagger_saw(ended, dataset, anew, edits):
    await edits.offer(dataset.id, OWNER, RemoveTags(tags=("smile",)))
    assert await anew().seen(dataset.id, OWNER) is None


async def test_an_offer_too_old_or_made_in_discord_since_the_start_is_not_found(ended, dataset, anew, clock):
    after = anew()
    clock.now -= 1000
    assert await anew().seen(dataset.id, OWNER) is None, "it was offered after this start"
    clock.now += 1000 + OFFER_SECONDS
    assert await after.seen(dataset.id, OWNER) is None, "its day is over"


async def test_a_look_is_broken_off_before_the_tagger_waits_for_its_part(lab, monkeypatch):  # noqa: F811
    """The part may take longer than the host gives a bot that stops, and the database is closed last."""
    reached, ended = asyncio.Event(), []

    async def ask(*_):
        reached.set()
        await asyncio.Event().wait()

    async def close():
        ended.append(task.done())

    monkeypatch.setattr(tagger_module, "_ask", ask)
    dataset = await lab.dataset()
    await lab.services.bulk.looks.begin(dataset.id, LAB_OWNER, "append", None, UnderWay())
    (task,) = lab.services.bulk.looks._tasks
    await reached.wait()
    monkeypatch.setattr(lab.services.tagger, "close", close)
    await lab.services.close()
    assert ended == [True]
    await lab.open()  # for the fixture to close
