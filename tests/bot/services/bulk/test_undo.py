"""Undoing: later edits, captions the tagger had still to write, pictures that were away meanwhile."""

import pytest

from bot.errors import Refused
from bot.rules.bulk.operations import AddTags, ImportCaptions, RemoveTags, RenameTag, SortTags
from bot.store import pictures
from bot.store.quality import bring_back, drop, last_drop
from tests.bot.services.conftest import OWNER, incoming, rows, tag_all


@pytest.fixture
def do(edits, dataset):
    """Offers and applies an operation; its id."""

    async def done(operation) -> int:
        offer = await edits.offer(dataset.id, OWNER, operation)
        assert (await edits.apply(offer.edit.id, OWNER)).done
        return offer.edit.id

    return done


async def test_older_edits_are_undone_beneath_later_ones(edits, three, do, bodies):
    removed = await do(RemoveTags(tags=("smile",)))
    renamed = await do(RenameTag(old="hat", new="cap, beanie"))
    added = await do(AddTags(text="photo"))
    assert await bodies() == ["cap, beanie, photo", "photo", "photo, She sits, reading."]
    undone = await edits.undo(removed, OWNER)
    assert (undone.restored, undone.kept) == (3, 0)
    assert await bodies() == ["smile, cap, beanie, photo", "smile, photo", "smile, photo, She sits, reading."]
    await edits.undo(renamed, OWNER)
    assert (await bodies())[0] == "smile, hat, photo"
    await edits.undo(added, OWNER)
    assert await bodies() == ["smile, hat", "smile", "smile, She sits, reading."]


async def test_an_undoing_beneath_later_edits_can_be_undone(edits, dataset, three, do, bodies):
    removed = await do(RemoveTags(tags=("smile",)))
    await do(AddTags(text="photo"))
    before = await bodies()
    await edits.undo(removed, OWNER)
    past, _ = await edits.history(dataset.id, OWNER, 1)
    await edits.undo(past[0].edit.id, OWNER)
    assert await bodies() == before


async def test_what_hangs_on_later_edits_says_so_and_is_not_offered(edits, dataset, three, do, write):
    await write({three[0]: "hat, smile", three[1]: "smile", three[2]: "smile"})
    order = await do(SortTags(by="frequency"))
    await do(SortTags(by="name"))
    last = await do(AddTags(text="photo", pictures=(three[0],)))
    with pytest.raises(Refused, match="Undo these first: `Add “photo”`, `Sort tags by name`") as refused:
        await edits.undo(order, OWNER)
    assert "nothing was undone" in str(refused.value)
    past, _ = await edits.history(dataset.id, OWNER, 5)
    assert [each.can_be_undone for each in past] == [True, False, False]
    assert [each.later for each in past[1:]] == [("Add “photo”",), ("Add “photo”", "Sort tags by name")]
    await edits.undo(last, OWNER)
    past, _ = await edits.history(dataset.id, OWNER, 5)
    assert [each.edit.title for each in past if each.can_be_undone][1:] == ["Sort tags by name"]


async def test_what_was_written_by_hand_stays_and_is_not_offered(edits, dataset, three, do, write, bodies):
    removed = await do(RemoveTags(tags=("hat",)))
    await write({three[0]: "by hand"})
    await do(AddTags(text="photo"))
    with pytest.raises(Refused, match="edited since"):
        await edits.undo(removed, OWNER)
    past, _ = await edits.history(dataset.id, OWNER, 5)
    assert [(each.can_be_undone, each.later) for each in past] == [(True, ()), (False, None)]
    assert (await bodies())[0] == "by hand, photo"


async def test_what_moves_while_undoing_is_worked_out_is_looked_at_again(edits, three, do, write, bodies, monkeypatch):
    removed = await do(RemoveTags(tags=("smile",)))
    look = edits._known
    asked = []

    async def known(*about):
        asked.append(about)
        if len(asked) == 2:
            await about[0].execute("UPDATE picture SET caption = 'lisaxl, woman, new' WHERE id = ?", (three[0],))
        return await look(*about)

    monkeypatch.setattr(edits, "_known", known)
    assert (await edits.undo(removed, OWNER)).kept == 1
    assert await bodies() == ["new", "smile", "smile, She sits, reading."]


async def test_a_caption_that_waited_for_the_tagger_waits_again(
    edits, intake, dataset, do, captions, tagger, store, bodies
):
    report = await intake.add(dataset.id, OWNER, "m", [incoming("a.jpg", b"a" * 9)])
    picture = report.added[0]
    imported = await do(ImportCaptions(texts={picture.id: "smile"}, pictures=(picture.id,)))
    assert await tag_all(captions, report.batch.id) == 0
    await edits.undo(imported, OWNER)
    assert await bodies() == [""]
    async with store.transaction() as tx:
        assert await pictures.batches_with_untagged(tx) == [report.batch.id]
    assert await tag_all(captions, report.batch.id) == 1
    assert await bodies() == ["smile"]


async def test_a_dropped_picture_comes_back_with_what_was_done_to_it_and_no_more(edits, dataset, three, do, store):
    done = await do(RemoveTags(tags=("hat",)))
    offer = await edits.offer(dataset.id, OWNER, RemoveTags(tags=("smile",)))
    clock = edits._clock
    async with store.transaction() as tx:
        await drop(tx, [await pictures.picture_by_id(tx, three[0])], OWNER, clock())
    assert (await edits.apply(offer.edit.id, OWNER)).done
    async with store.transaction() as tx:
        await bring_back(tx, dataset.id, await last_drop(tx, dataset.id))
    past, _ = await edits.history(dataset.id, OWNER, 5)
    assert [(each.edit.id, each.captions) for each in past] == [(offer.edit.id, 2), (done, 1)]
    undone = await edits.undo(offer.edit.id, OWNER)
    assert (undone.restored, undone.kept) == (2, 0)
    assert (await edits.undo(done, OWNER)).restored == 1


async def test_an_open_offer_is_whole_again_when_its_picture_comes_back(edits, dataset, three, store, bodies):
    offer = await edits.offer(dataset.id, OWNER, RemoveTags(tags=("smile",)))
    async with store.transaction() as tx:
        await drop(tx, [await pictures.picture_by_id(tx, three[0])], OWNER, edits._clock())
        await bring_back(tx, dataset.id, await last_drop(tx, dataset.id))
    assert (await edits.apply(offer.edit.id, OWNER)).done
    assert (await bodies())[0] == "hat"


async def test_a_picture_dropped_by_an_older_version_comes_back(edits, dataset, three, do, store):
    done = await do(RemoveTags(tags=("hat",)))
    async with store.transaction() as tx:
        await drop(tx, [await pictures.picture_by_id(tx, three[0])], OWNER, edits._clock())
        old = f'[[{done}, "lisaxl, woman, smile, hat", "lisaxl, woman, smile"]]'
        await tx.execute("UPDATE dropped SET row = json_set(row, '$.caption_edits', json(?))", (old,))
        await bring_back(tx, dataset.id, await last_drop(tx, dataset.id))
    assert await rows(store, "SELECT edit_id, tagged FROM caption_edit_item") == [(done, 1)]
    assert (await edits.undo(done, OWNER)).restored == 1
