"""The rules that the database itself holds for datasets and pictures."""

import sqlite3

import pytest

from bot.rules.consent import ATTESTATION
from bot.store import datasets as datasets_sql
from bot.store import pictures as sql
from bot.store.datasets import NewDataset
from bot.store.pictures import NewPicture

NEW = NewDataset(guild_id=1, channel_id=2, owner_id=3, name="Lisa", trigger="lisaxl", class_word="woman", kind="object")


def picture(number: int, file: int | None = None) -> NewPicture:
    name = f"{number if file is None else file:064x}.jpg"
    return NewPicture(name, f"{number:064x}", f"{number}.jpg", 10, 20, "lisaxl, woman", ("Too “small”.",))


@pytest.fixture
async def batch(store):
    async with store.transaction() as tx:
        dataset = await datasets_sql.insert_dataset(tx, NEW, "open", 5.0)
        return await sql.insert_batch(tx, dataset.id, 3, 6.0, "message 1")


async def test_a_picture_comes_back_as_it_was_stored(store, batch):
    async with store.transaction() as tx:
        stored = await sql.insert_picture(tx, batch, picture(1))
        assert await sql.picture_by_id(tx, stored.id) == stored
        assert await sql.pictures_of_batch(tx, batch.id) == [stored]
    assert stored.warning_list == ["Too “small”."]
    assert (stored.added_at, stored.revision, stored.tagged) == (6.0, 0, 0)


@pytest.mark.parametrize("twin", [picture(1, file=2), picture(2, file=1)], ids=["same bytes", "same file"])
async def test_one_dataset_holds_a_picture_once(store, batch, twin):
    async with store.transaction() as tx:
        await sql.insert_picture(tx, batch, picture(1))
        assert await sql.same_picture(tx, batch.dataset_id, twin.source_sha256, twin.file) is not None
        assert await sql.same_picture(tx, batch.dataset_id + 1, twin.source_sha256, twin.file) is None
    with pytest.raises(sqlite3.IntegrityError):
        async with store.transaction() as tx:
            await sql.insert_picture(tx, batch, twin)


async def test_a_source_makes_one_batch(store, batch):
    async with store.transaction() as tx:
        assert await sql.batch_by_source(tx, batch.dataset_id, "message 1") == batch
        assert await sql.batch_by_source(tx, batch.dataset_id, "message 2") is None
    with pytest.raises(sqlite3.IntegrityError):
        async with store.transaction() as tx:
            await sql.insert_batch(tx, batch.dataset_id, 3, 7.0, "message 1")


async def test_the_tagger_never_writes_over_a_person(store, batch):
    async with store.transaction() as tx:
        first, second = [await sql.insert_picture(tx, batch, picture(number)) for number in (1, 2)]
        edited = await sql.write_edit(tx, first.id, "mine", 0)
        assert edited is not None
        assert (edited.caption, edited.revision, edited.tagged) == ("mine", 1, 1)
        assert not await sql.write_tagged(tx, first.id, "tags")
        assert await sql.write_tagged(tx, second.id, "tags")
        assert not await sql.write_tagged(tx, second.id, "other tags")
        assert await sql.write_edit(tx, first.id, "stale", 0) is None
        captions = [each.caption for each in await sql.pictures_of_batch(tx, batch.id)]
    assert captions == ["mine", "tags"]


async def test_only_batches_of_open_datasets_wait_for_the_tagger(store, batch):
    async with store.transaction() as tx:
        assert await sql.batches_with_untagged(tx) == []
        stored = await sql.insert_picture(tx, batch, picture(1))
        assert await sql.batches_with_untagged(tx) == [batch.id]
        await datasets_sql.set_state(tx, batch.dataset_id, "deleting")
        assert await sql.batches_with_untagged(tx) == []
        await datasets_sql.set_state(tx, batch.dataset_id, "open")
        await sql.write_tagged(tx, stored.id, "tags")
        assert await sql.batches_with_untagged(tx) == []


async def test_files_that_are_needed(store, batch):
    async with store.transaction() as tx:
        stored = await sql.insert_picture(tx, batch, picture(1))
        assert await sql.referenced_files(tx) == {stored.file}
        assert await sql.referenced_files(tx, without_dataset=batch.dataset_id) == set()
        assert await sql.is_referenced(tx, stored.file)
        await sql.delete_picture(tx, stored.id)
        assert not await sql.is_referenced(tx, stored.file)
        assert await sql.referenced_files(tx) == set()


async def test_a_dataset_takes_its_rows_with_it_but_not_consent(store, batch):
    async with store.transaction() as tx:
        await sql.insert_picture(tx, batch, picture(1))
        await datasets_sql.insert_consent(tx, batch.dataset_id, 3, ATTESTATION, 9.0)
        await datasets_sql.delete_dataset(tx, batch.dataset_id)
        counts = []
        for table in ("dataset", "batch", "picture", "consent"):
            found = list(await tx.execute_fetchall(f"SELECT COUNT(*) FROM {table}"))
            counts.append(found[0][0])
    assert counts == [0, 0, 0, 1]
