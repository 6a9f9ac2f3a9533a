"""Bulk edits: offered, applied as a whole, shown anew when something moved, undone; kept for a while."""

import io
import zipfile

import pytest

from bot.errors import NotFound, NotYours, Refused
from bot.rules.bulk.operations import AddTags, RemoveTags, RenameTag, ReplacePattern
from bot.services.bulk.edits import KEPT, OFFER_SECONDS, OFFERS, BulkEdits
from bot.services.bulk.files import FEWEST_BYTES
from bot.services.bulk.patterns import Patterns
from bot.store.caption_edits import forget_offers
from tests.bot.services.conftest import OTHER, OWNER, incoming, rows

REMOVE = RemoveTags(tags=("smile",))


async def test_an_offer_changes_nothing_and_applying_it_does(edits, dataset, three, bodies, store):
    offer = await edits.offer(dataset.id, OWNER, REMOVE)
    assert [(each.number, each.before, each.after) for each in offer.changes] == [
        (1, "lisaxl, woman, smile, hat", "lisaxl, woman, hat"),
        (2, "lisaxl, woman, smile", "lisaxl, woman"),
        (3, "lisaxl, woman, smile, She sits, reading.", "lisaxl, woman, She sits, reading."),
    ]
    assert await bodies() == ["smile, hat", "smile", "smile, She sits, reading."]
    assert (await edits.look(offer.edit.id, OWNER)).changes == offer.changes
    assert (await edits.apply(offer.edit.id, OWNER)).done
    assert await bodies() == ["hat", "", "She sits, reading."]
    assert await rows(store, "SELECT operation FROM caption_edit") == [("",)], "kept no longer than needed"
    with pytest.raises(Refused, match="applied already"):
        await edits.apply(offer.edit.id, OWNER)


async def test_what_moved_meanwhile_is_offered_anew(edits, dataset, three, write, bodies):
    offer = await edits.offer(dataset.id, OWNER, REMOVE)
    await write({three[0]: "smile, cap"})
    applied = await edits.apply(offer.edit.id, OWNER)
    assert not applied.done
    assert applied.offer.changes[0].before == "lisaxl, woman, smile, cap"
    assert (await bodies())[0] == "smile, cap"
    assert (await edits.apply(offer.edit.id, OWNER)).done
    assert (await bodies())[0] == "cap"


async def test_what_moved_elsewhere_does_not_matter(edits, dataset, three, write, bodies):
    offer = await edits.offer(dataset.id, OWNER, RemoveTags(tags=("hat",)))
    await write({three[1]: "cap"})
    assert (await edits.apply(offer.edit.id, OWNER)).done
    assert await bodies() == ["smile", "cap", "smile, She sits, reading."]


async def test_what_would_change_nothing_is_refused_before_and_after(edits, dataset, three, write):
    with pytest.raises(Refused, match="No caption would change"):
        await edits.offer(dataset.id, OWNER, RemoveTags(tags=("reading.",)))
    offer = await edits.offer(dataset.id, OWNER, RemoveTags(tags=("hat",)))
    await write({three[0]: "smile"})
    with pytest.raises(Refused, match="would change nothing"):
        await edits.apply(offer.edit.id, OWNER)


async def test_notes_say_what_is_left_alone(edits, dataset, three, store, write):
    await write({three[0]: "reading., She smiles, He sits, smile, then leaves."})
    offer = await edits.offer(dataset.id, OWNER, REMOVE)
    assert [each.number for each in offer.changes] == [2, 3]
    assert "part of a sentence" in offer.edit.note_list[0]
    async with store.transaction() as tx:
        await tx.execute("UPDATE picture SET tagged = 0 WHERE id = ?", (three[1],))
    offer = await edits.offer(dataset.id, OWNER, AddTags(text="x"))
    assert "has not written 1" in offer.edit.note_list[0]
    assert [each.number for each in offer.changes] == [1, 3]


async def test_undo_brings_back_what_nobody_edited_since(edits, dataset, three, write, bodies, captions):
    before = await bodies()
    offer = await edits.offer(dataset.id, OWNER, REMOVE)
    await edits.apply(offer.edit.id, OWNER)
    await write({three[1]: "by hand"})
    undone = await edits.undo(offer.edit.id, OWNER)
    assert (undone.restored, undone.kept) == (2, 1)
    assert await bodies() == [before[0], "by hand", before[2]]
    with pytest.raises(Refused, match="undone already"):
        await edits.undo(offer.edit.id, OWNER)


async def test_an_undoing_can_be_undone(edits, dataset, three, bodies):
    offer = await edits.offer(dataset.id, OWNER, REMOVE)
    await edits.apply(offer.edit.id, OWNER)
    after = await bodies()
    for title in ("Undo: Remove “smile”", "Again: Remove “smile”", "Undo: Remove “smile”"):
        past, _ = await edits.history(dataset.id, OWNER, 1)
        await edits.undo(past[0].edit.id, OWNER)
        past, _ = await edits.history(dataset.id, OWNER, 1)
        assert past[0].edit.title == title
    assert await bodies() != after
    past, total = await edits.history(dataset.id, OWNER, 10)
    assert total == 4
    assert [each.edit.undone_by for each in past] == [None, OWNER, OWNER, OWNER]
    assert [each.captions for each in past] == [3] * 4


async def test_nothing_is_left_to_undo_once_every_caption_was_edited(edits, dataset, three, write):
    offer = await edits.offer(dataset.id, OWNER, RemoveTags(tags=("hat",)))
    with pytest.raises(Refused, match="not applied"):
        await edits.undo(offer.edit.id, OWNER)
    await edits.apply(offer.edit.id, OWNER)
    await write({three[0]: "x"})
    with pytest.raises(Refused, match="edited since"):
        await edits.undo(offer.edit.id, OWNER)


async def test_a_picture_that_is_removed_while_a_pattern_runs_is_left_out(store, dataset, three, captions, bodies):
    class Slow(Patterns):
        async def replaced(self, find, by, texts):
            await captions.remove(three[0], OWNER)
            return await super().replaced(find, by, texts)

    edits = BulkEdits(store, Slow())
    offer = await edits.offer(dataset.id, OWNER, ReplacePattern(find="smile", by="grin"))
    again = BulkEdits(store, Patterns())
    assert len((await again.look(offer.edit.id, OWNER)).changes) == 2
    assert (await again.apply(offer.edit.id, OWNER)).done
    assert await bodies() == ["grin", "grin, She sits, reading."]


async def test_a_second_press_while_a_pattern_runs_anew_changes_nothing(store, edits, dataset, three, write, bodies):
    offer = await edits.offer(dataset.id, OWNER, ReplacePattern(find="hat", by="cap"))
    await write({three[1]: "smile, x"})

    class Slow(Patterns):
        async def replaced(self, find, by, texts):
            found = await super().replaced(find, by, texts)
            assert (await edits.apply(offer.edit.id, OWNER)).done
            return found

    with pytest.raises(Refused, match="applied already"):
        await BulkEdits(store, Slow()).apply(offer.edit.id, OWNER)
    assert (await bodies())[0] == "smile, cap"
    assert (await edits.undo(offer.edit.id, OWNER)).restored == 1


async def test_it_outlives_a_restart(edits, dataset, three, store, bodies):
    offer = await edits.offer(dataset.id, OWNER, RenameTag(old="smile", new="grin"))
    again = BulkEdits(store, Patterns())
    assert (await again.apply(offer.edit.id, OWNER)).done
    assert (await bodies())[1] == "grin"
    await BulkEdits(store, Patterns()).undo(offer.edit.id, OWNER)
    assert (await bodies())[1] == "smile"


async def test_a_pattern_is_worked_out_by_its_process_and_again_when_needed(edits, dataset, three, write, bodies):
    offer = await edits.offer(dataset.id, OWNER, ReplacePattern(find=r"(s)mile\b", by=r"\1quint"))
    await write({three[1]: "smile, smile"})
    assert not (await edits.apply(offer.edit.id, OWNER)).done
    assert (await edits.apply(offer.edit.id, OWNER)).done
    assert (await bodies())[:2] == ["squint, hat", "squint, squint"]


async def test_only_the_owner_does_any_of_it(edits, dataset, three):
    offer = await edits.offer(dataset.id, OWNER, REMOVE)
    for act in (
        edits.captions(dataset.id, OTHER),
        edits.offer(dataset.id, OTHER, REMOVE),
        edits.look(offer.edit.id, OTHER),
        edits.apply(offer.edit.id, OTHER),
        edits.undo(offer.edit.id, OTHER),
        edits.history(dataset.id, OTHER, 5),
    ):
        with pytest.raises(NotYours):
            await act


async def test_a_removed_picture_takes_its_old_captions_with_it(edits, dataset, three, captions, store):
    offer = await edits.offer(dataset.id, OWNER, REMOVE)
    await edits.apply(offer.edit.id, OWNER)
    await captions.remove(three[0], OWNER)
    assert await rows(store, "SELECT count(*) FROM caption_edit_item") == [(2,)]
    assert (await edits.undo(offer.edit.id, OWNER)).restored == 2


async def test_a_deleted_dataset_leaves_no_caption_behind(edits, dataset, three, datasets, store):
    await edits.offer(dataset.id, OWNER, REMOVE)
    await datasets.delete(dataset.id, OWNER)
    for table in ("caption_edit", "caption_edit_item"):
        assert await rows(store, f"SELECT count(*) FROM {table}") == [(0,)]


async def test_offers_are_forgotten_after_a_day_and_old_history_when_there_is_much(edits, dataset, three, clock, store):
    offer = await edits.offer(dataset.id, OWNER, REMOVE)
    clock.now += OFFER_SECONDS
    for number in range(KEPT + 3):
        other = await edits.offer(dataset.id, OWNER, AddTags(text=f"t{number}"))
        await edits.apply(other.edit.id, OWNER)
    with pytest.raises(NotFound):
        await edits.apply(offer.edit.id, OWNER)
    latest = await edits.offer(dataset.id, OWNER, REMOVE)
    past, total = await edits.history(dataset.id, OWNER, 1)
    assert total == KEPT
    assert past[0].edit.title == f"Add “t{KEPT + 2}”"
    async with store.transaction() as tx:
        await forget_offers(tx, clock() + 1)
    with pytest.raises(NotFound):
        await edits.look(latest.edit.id, OWNER)


async def test_a_full_file_of_captions_goes_out_and_back(edits, caption_files, dataset, three, bodies):
    file = await caption_files.export(dataset.id, OWNER, "text")
    changed = file.data.replace(b"smile", b"grin, so wide")
    offer = await caption_files.offer_import(dataset.id, OWNER, incoming("c.txt", changed))
    await edits.apply(offer.edit.id, OWNER)
    assert await bodies() == ["grin, so wide, hat", "grin, so wide", "grin, so wide, She sits, reading."]
    packed = await caption_files.export(dataset.id, OWNER, "zip")
    await edits.undo(offer.edit.id, OWNER)
    offer = await caption_files.offer_import(dataset.id, OWNER, incoming("c.zip", packed.data))
    assert len(offer.changes) == 3
    one = await caption_files.offer_import(dataset.id, OWNER, incoming("IMG_2.txt", b"alone"))
    assert [(each.number, each.after) for each in one.changes] == [(2, "lisaxl, woman, alone")]


async def test_the_captions_of_a_thousand_pictures_go_out_and_back(edits, caption_files, dataset, three, store, write):
    async with store.transaction() as tx:
        for number in range(997):
            await tx.execute(
                "INSERT INTO picture (dataset_id, batch_id, file, source_sha256, file_name, width, height, caption,"
                " tagged, warnings, added_at) SELECT dataset_id, batch_id, ?1, ?1, ?1 || '.jpg', 9, 9, '', 1, '[]', 0"
                " FROM picture WHERE id = ?2",
                (f"{number:010x}", three[0]),
            )
        ids = [row[0] for row in await tx.execute_fetchall("SELECT id FROM picture")]
    long = ", ".join(["шляпа" * 12] * 20)[:980]
    await write(dict.fromkeys(ids, long))
    for form in ("text", "zip"):
        file = await caption_files.export(dataset.id, OWNER, form)
        assert form == "zip" or len(file.data) > FEWEST_BYTES * 0.9
        data = file.data + b"\n" * (FEWEST_BYTES - len(file.data) + 1) if form == "text" else with_pictures(file.data)
        with pytest.raises(Refused, match="No caption would change"):
            await caption_files.offer_import(dataset.id, OWNER, incoming(f"c.{form}", data))


def with_pictures(data: bytes) -> bytes:
    """The archive with a picture beside each caption."""
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as archive:
        for name in archive.namelist():
            archive.writestr(name.replace(".txt", ".jpg"), b"")
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("c.txt", b"\xff\xfe\x00", "no text I can read"),
        ("c.txt", b"", "holds no captions"),
        ("c.txt", b"x" * (3 * 2**20), "2 MB"),
        ("c.zip", b"PK\x03\x04 and nothing", "damaged"),
    ],
)
async def test_other_files_are_refused_with_the_reason(caption_files, dataset, three, name, data, why):
    with pytest.raises(Refused, match=why):
        await caption_files.offer_import(dataset.id, OWNER, incoming(name, data))


async def test_a_members_latest_offers_are_kept_and_all_that_was_applied(edits, dataset, three, store, bodies):
    applied = (await edits.offer(dataset.id, OWNER, AddTags(text="boots", place="last"))).edit.id
    await edits.apply(applied, OWNER)
    others = (await edits.offer(dataset.id, OWNER, REMOVE)).edit.id
    async with store.transaction() as tx:
        await tx.execute("UPDATE caption_edit SET user_id = ? WHERE id = ?", (OTHER, others))
    offered = [(await edits.offer(dataset.id, OWNER, REMOVE)).edit.id for _ in range(OFFERS + 2)]
    left = [(each,) for each in (applied, others, *offered[2:])]
    assert await rows(store, "SELECT id FROM caption_edit ORDER BY id") == left
    assert await rows(store, "SELECT DISTINCT edit_id FROM caption_edit_item ORDER BY edit_id") == left
    with pytest.raises(NotFound, match="no longer kept"):
        await edits.apply(offered[1], OWNER)
    await edits.undo(applied, OWNER)
    assert await bodies() == ["smile, hat", "smile", "smile, She sits, reading."]
