"""The card editor where a card's place goes away while it is being drawn: nothing is left behind, nothing gets lost."""

import logging

import pytest

from bot.errors import PostRefused
from bot.services.posting.cards import CardEditor
from bot.services.posting.messages import Drawing
from bot.store.cards import add_card, get_card, move_cards
from bot.store.datasets import set_state, set_thread

THREAD, OTHER = 70, 71


class ScriptedPoster:
    """Keeps messages by their channel and id; `meanwhile` runs while Discord takes one."""

    def __init__(self) -> None:
        self.messages = {}
        self.meanwhile = None
        self.refuses = False

    async def show(self, channel_id, drawing, nonce):
        if self.refuses:
            raise PostRefused("Unknown Channel")
        message_id = len(self.messages) + 1
        self.messages[channel_id, message_id] = drawing
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return message_id

    async def delete(self, channel_id, message_id):
        self.messages.pop((channel_id, message_id), None)

    async def find(self, channel_id, marker, after):
        return next((number for channel, number in self.messages if channel == channel_id), None)

    async def edit(self, channel_id, message_id, drawing):
        self.messages[channel_id, message_id] = drawing


@pytest.fixture
def poster():
    return ScriptedPoster()


class Painting:
    """Draws; `meanwhile` runs while it does."""

    meanwhile = None

    async def __call__(self, ref):
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return Drawing(view=None, marker=f"report-{ref}")


@pytest.fixture
def painting():
    return Painting()


@pytest.fixture
async def editor(store, dataset, poster, painting):
    """The report of a dataset with a thread waits to be posted."""
    async with store.transaction() as tx:
        await set_thread(tx, dataset.id, THREAD)
        await add_card(tx, "report", dataset.id, THREAD)
    return CardEditor(store, poster, {"report": painting}, 0.0, lambda: 1000.0)


@pytest.fixture
def changes(store, dataset):
    """What may happen meanwhile."""

    async def deleted():
        async with store.transaction() as tx:
            await set_state(tx, dataset.id, "deleting")

    async def moved():
        async with store.transaction() as tx:
            await set_thread(tx, dataset.id, OTHER)
            await move_cards(tx, THREAD, OTHER)

    return {"deleted": deleted, "moved": moved}


async def drawn(editor):
    """What is due is drawn to its end."""
    assert await editor.draw_due() == 1
    while editor._flights._tasks:
        await editor._flights.go([])


async def card_of(store, dataset):
    async with store.transaction() as tx:
        return await get_card(tx, "report", dataset.id)


@pytest.mark.parametrize("when", ["painting", "posting"])
@pytest.mark.parametrize("what", ["deleted", "moved"])
async def test_nothing_is_left_where_the_card_no_longer_belongs(
    editor, store, dataset, poster, painting, changes, when, what
):
    (painting if when == "painting" else poster).meanwhile = changes[what]
    await drawn(editor)
    assert poster.messages == {}
    assert (await card_of(store, dataset)).message_id is None


@pytest.mark.parametrize("when", ["painting", "posting"])
async def test_a_card_that_moved_meanwhile_is_drawn_where_it_is_now(
    editor, store, dataset, poster, painting, changes, when
):
    (painting if when == "painting" else poster).meanwhile = changes["moved"]
    await drawn(editor)
    await drawn(editor)
    [(channel, message)] = poster.messages
    card = await card_of(store, dataset)
    assert (channel, card.channel_id, card.message_id) == (OTHER, OTHER, message)


async def test_that_the_old_place_is_gone_is_no_news_and_the_card_stays_due(
    editor, store, dataset, poster, changes, caplog
):
    async def moved_and_gone():
        await changes["moved"]()
        raise PostRefused("Unknown Channel")

    poster.meanwhile = moved_and_gone
    with caplog.at_level(logging.ERROR):
        await drawn(editor)
    assert caplog.messages == []
    card = await card_of(store, dataset)
    assert (card.channel_id, card.error) == (OTHER, "")
    assert card.dirty


async def test_a_refusal_of_its_own_place_is_told_once(editor, store, dataset, poster, caplog):
    poster.refuses = True
    with caplog.at_level(logging.ERROR):
        await drawn(editor)
    assert "left as it is: Unknown Channel" in caplog.text
    card = await card_of(store, dataset)
    assert (card.dirty, card.error) == (0, "Unknown Channel")
