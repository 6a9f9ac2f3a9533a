"""The database: what is committed stays, nobody sees half of a change, and a wrong file is said to be wrong."""

import asyncio
import sqlite3

import pytest

from bot.errors import StoreError
from bot.store.database import Store, migrations
from bot.store.facts import read_fact, write_fact


async def pragma(store, name: str):
    async with store.transaction() as tx:
        rows = list(await tx.execute_fetchall(f"PRAGMA {name}"))
    return rows[0][0]


async def test_it_is_durable_and_private(store):
    assert await pragma(store, "journal_mode") == "wal"
    assert await pragma(store, "synchronous") == 2
    assert await pragma(store, "foreign_keys") == 1
    assert store.path.stat().st_mode & 0o077 == 0


async def test_an_error_takes_everything_back(store):
    async def change() -> None:
        async with store.transaction() as tx:
            await write_fact(tx, "a", "1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await change()
    async with store.transaction() as tx:
        assert await read_fact(tx, "a") is None
        await write_fact(tx, "a", "2")
        await write_fact(tx, "a", "3")
        assert await read_fact(tx, "a") == "3"


async def test_a_cancelled_change_is_taken_back_and_the_next_works(store):
    inside = asyncio.Event()

    async def change() -> None:
        async with store.transaction() as tx:
            await write_fact(tx, "a", "1")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(change())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.transaction() as tx:
        assert await read_fact(tx, "a") is None


async def test_read_and_write_belong_together(store):
    """Fifty counters at once lose no count: each reads what the one before wrote."""

    async def count() -> None:
        async with store.transaction() as tx:
            await write_fact(tx, "n", str(int(await read_fact(tx, "n") or 0) + 1))

    await asyncio.gather(*(count() for _ in range(50)))
    async with store.transaction() as tx:
        assert await read_fact(tx, "n") == "50"


async def test_it_opens_again_with_what_was_committed(config):
    for value in ("1", "2"):
        store = await Store.open(config.paths.database)
        async with store.transaction() as tx:
            assert (await read_fact(tx, "a") or "1") == "1"
            await write_fact(tx, "a", value)
        await store.close()


async def test_every_migration_is_counted(store):
    assert await pragma(store, "user_version") == len(migrations())


async def test_a_migration_that_fails_leaves_the_old_schema(config, monkeypatch):
    store = await Store.open(config.paths.database)
    await store.close()
    broken = [*migrations(), "CREATE TABLE half (id INTEGER); CREATE TABLE half (id INTEGER);"]
    monkeypatch.setattr("bot.store.database.migrations", lambda: broken)
    with pytest.raises(StoreError, match="cannot be used"):
        await Store.open(config.paths.database)
    with sqlite3.connect(config.paths.database) as plain:
        assert plain.execute("PRAGMA user_version").fetchone()[0] == len(broken) - 1
        assert plain.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'half'").fetchone()[0] == 0
    plain.close()


async def test_a_newer_database_is_left_alone(config):
    store = await Store.open(config.paths.database)
    await store.close()
    plain = sqlite3.connect(config.paths.database)
    plain.execute("PRAGMA user_version = 99")
    plain.close()
    with pytest.raises(StoreError, match="newer Lorelei"):
        await Store.open(config.paths.database)


async def test_a_file_that_is_no_database_is_said_so(config):
    config.paths.database.parent.mkdir(parents=True)
    config.paths.database.write_bytes(b"not a database at all " * 200)
    with pytest.raises(StoreError, match="restore a backup"):
        await Store.open(config.paths.database)


async def test_a_backup_can_be_opened(store, config, tmp_path):
    async with store.transaction() as tx:
        await write_fact(tx, "a", "1")
    target = tmp_path / "copy.sqlite3"
    await store.backup(target)
    async with store.transaction() as tx:
        await write_fact(tx, "a", "2")
    copy = await Store.open(target)
    async with copy.transaction() as tx:
        assert await read_fact(tx, "a") == "1"
    await copy.close()
    assert sorted(path.name for path in tmp_path.glob("*copy*") if path.suffix == ".part") == []


async def test_a_commit_that_fails_blocks_nobody(store):
    async def orphan() -> None:
        async with store.transaction() as tx:
            await tx.execute("PRAGMA defer_foreign_keys = ON")  # so that only the COMMIT finds it
            await tx.execute("INSERT INTO batch (dataset_id, added_by, added_at, source) VALUES (99, 1, 1, 'm')")

    with pytest.raises(sqlite3.IntegrityError):
        await orphan()
    async with store.transaction() as tx:
        assert await tx.execute_fetchall("SELECT * FROM batch") == []


async def test_a_transaction_cancelled_at_its_beginning_blocks_nobody(store):
    async def begin() -> None:
        async with store.transaction():
            await asyncio.sleep(60)

    task = asyncio.create_task(begin())
    await asyncio.sleep(0)  # BEGIN is on its way to the database's thread
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.transaction() as tx:
        await tx.execute("INSERT INTO fact VALUES ('name', 'value')")


async def test_a_full_disk_is_said_and_afterwards_work_goes_on(store):
    async def fill() -> None:
        async with store.transaction() as tx:
            await write_fact(tx, "large", "x" * 10_000_000)

    async with store.transaction() as tx:
        await tx.execute_fetchall("PRAGMA max_page_count = 100")
    with pytest.raises(StoreError, match=r"full.*host"):
        await fill()
    async with store.transaction() as tx:
        await write_fact(tx, "small", "x")
        assert await read_fact(tx, "large") is None
