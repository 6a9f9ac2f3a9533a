"""The library, clean-up, backups, and the loops that carry it all."""

import asyncio
import datetime as dt
import hashlib
import sqlite3
from pathlib import Path

import pytest

from bot.errors import DamagedFile, StorageError
from bot.services.jobs.library import Library
from bot.services.upkeep.backup import surplus
from bot.services.upkeep.loops import Loop
from tests.bot.jobs.lab import OWNER
from trainer.contract.cache import group
from trainer.contract.folder import JobFolder

LORA = b"the weights" * 100
SHA = hashlib.sha256(LORA).hexdigest()


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "epoch-010.safetensors"
    path.write_bytes(LORA)
    return path


def test_a_file_is_kept_and_copied_where_the_host_wants_it(tmp_path, source):
    library = Library(tmp_path / "loras", tmp_path / "A1111" / "Lora")
    for _ in range(2):
        kept = library.keep("lisaxl_v1", "job1", source, SHA)
        assert (kept.file, kept.bytes, kept.sha256) == ("lisaxl_v1.safetensors", len(LORA), SHA)
    assert (tmp_path / "A1111/Lora/lisaxl_v1.safetensors").read_bytes() == LORA
    assert len(list((tmp_path / "loras").iterdir())) == 1


def test_no_file_is_ever_overwritten(tmp_path, source):
    """The host's folder, or a library beside a restored database, may have another file of that name."""
    for folder in ("loras", "copies"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "lisaxl_v1.safetensors").write_bytes(b"somebody's work")
    kept = Library(tmp_path / "loras", tmp_path / "copies").keep("lisaxl_v1", "job1", source, SHA)
    assert kept.file == "lisaxl_v1-job1.safetensors"
    for folder in ("loras", "copies"):
        assert (tmp_path / folder / "lisaxl_v1.safetensors").read_bytes() == b"somebody's work"
        assert (tmp_path / folder / "lisaxl_v1-job1.safetensors").read_bytes() == LORA


def test_damage_is_noticed(tmp_path, source):
    source.write_bytes(b"rotten")
    with pytest.raises(DamagedFile):
        Library(tmp_path / "loras", None).keep("lisaxl_v1", "job1", source, SHA)


def test_a_missing_file_or_folder_is_a_storage_error(tmp_path, source):
    with pytest.raises(StorageError):
        Library(tmp_path / "loras", None).keep("a", "job1", tmp_path / "gone", SHA)
    (tmp_path / "blocked").write_bytes(b"")
    with pytest.raises(StorageError):
        Library(tmp_path / "blocked", None).keep("a", "job1", source, SHA)


def test_the_hosts_folder_may_be_away(tmp_path, source, caplog):
    (tmp_path / "share").write_bytes(b"")
    kept = Library(tmp_path / "loras", tmp_path / "share").keep("lisaxl_v1", "job1", source, SHA)
    assert kept.bytes == len(LORA)
    assert "was not copied to export.copy_to" in caplog.text


async def test_a_full_disk_keeps_the_end_for_later(lab, monkeypatch):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    trainer.claim().finish(10, LORA)
    keep = Library.keep

    def full(*args):
        raise StorageError("disk full")

    monkeypatch.setattr(Library, "keep", full)
    await lab.turn()
    assert (await lab.job(job.id)).state == "running"
    monkeypatch.setattr(Library, "keep", keep)
    await lab.turn()
    assert (await lab.job(job.id)).state == "finished"


async def test_old_jobs_lose_their_runs_and_keep_their_file(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    trainer.claim().finish(10, LORA)
    await lab.turn()
    folder = lab.config.paths.jobs / job.id
    latents = [group(lab.config.paths.cache, path.stem) for path in (folder / "dataset").iterdir()]
    for latent in latents:
        latent.mkdir(parents=True)
    await lab.services.upkeep.retention.nightly()
    assert (folder / "attempts/1/lora").is_dir()
    assert all(latent.is_dir() for latent in latents)
    lab.clock.now += 91 * 86_400
    await lab.services.upkeep.retention.nightly()
    assert sorted(path.name for path in folder.iterdir()) == ["commands.jsonl", "desired.json", "job.json"]
    assert not any(latent.exists() for latent in latents), "encoded pictures go with the job's own copies"
    assert (lab.config.paths.loras / "lisaxl_v1.safetensors").read_bytes() == LORA
    assert len(list(lab.config.paths.pictures.iterdir())) == 6, "pictures belong to the dataset, not to the job"


async def test_pictures_of_nobody_are_swept_at_night(lab):
    await lab.dataset()
    orphan = lab.config.paths.pictures / f"{'0' * 64}.png"
    orphan.write_bytes(b"x")
    await lab.services.upkeep.retention.nightly()
    assert not orphan.exists()
    assert len(list(lab.config.paths.pictures.iterdir())) == 6


async def test_what_was_never_accepted_goes_at_the_next_start(lab, monkeypatch):
    def die(point):
        raise KeyboardInterrupt(point)

    monkeypatch.setattr("bot.services.jobs.training.reach", die)
    dataset = await lab.dataset()
    with pytest.raises(KeyboardInterrupt):
        await lab.services.jobs.training.submit(dataset.id, OWNER)
    half = lab.config.paths.jobs / f".job9.{'a' * 32}.tmp"
    half.mkdir()
    monkeypatch.undo()
    await lab.restart()
    assert list(lab.config.paths.jobs.iterdir()) == []
    assert (await lab.services.jobs.training.submit(dataset.id, OWNER)).name == "lisaxl_v2"


async def test_a_trained_job_that_the_database_does_not_know_is_left_to_the_host(lab, caplog):
    job = await lab.submit()
    JobFolder(lab.config.paths.jobs / job.id).open_attempt(1)
    async with lab.services.store.transaction() as tx:
        await tx.execute("DELETE FROM job")
    await lab.restart()
    assert (lab.config.paths.jobs / job.id / "job.json").exists()
    assert "delete it by hand" in caplog.text


async def test_a_backup_can_be_opened_and_is_made_anew_each_day(lab):
    job = await lab.submit()
    target = await lab.services.upkeep.backups.make()
    assert await lab.services.upkeep.backups.make() == target
    assert target.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(target) as copy:
        assert copy.execute("SELECT name FROM job").fetchall() == [(job.name,)]
    copy.close()
    lab.clock.now += 86_400
    assert await lab.services.upkeep.backups.make() != target


def test_seven_days_and_four_sundays_are_kept():
    days = [dt.date(2026, 11, 23) - dt.timedelta(days=ago) for ago in range(60)]
    paths = [Path(f"lorelei-{day}.sqlite3") for day in days] + [Path("my own copy.sqlite3")]
    left = {path.name for path in paths} - {path.name for path in surplus(paths)}
    assert len(left) == 7 + 4 - 1 + 1, "seven days, one of them a Sunday; four Sundays; the file that is not ours"
    assert "my own copy.sqlite3" in left
    assert "lorelei-2026-11-01.sqlite3" in left
    assert "lorelei-2026-11-02.sqlite3" not in left


async def test_the_nightly_work_goes_on_when_the_backup_fails(lab, caplog):
    blocked = lab.config.paths.backups
    blocked.write_bytes(b"")
    old = lab.config.paths.pictures
    await lab.dataset()
    (old / f"{'0' * 64}.png").write_bytes(b"x")
    await lab.services.upkeep.clockwork.nightly()
    assert "the nightly backup failed" in caplog.text
    assert not (old / f"{'0' * 64}.png").exists()


async def test_the_clock_knows_the_night(lab):
    lab.services.upkeep.clockwork.start()
    times = {job.id: job.next_run_time for job in lab.services.upkeep.clockwork.scheduler.get_jobs()}
    assert times["nightly"].hour == 4
    assert "trainers" in times
    lab.services.upkeep.clockwork.close()


async def test_a_loop_outlives_a_failed_pass_and_never_overlaps(caplog):
    passes, inside = [], 0

    async def work():
        nonlocal inside
        inside += 1
        assert inside == 1
        passes.append(len(passes))
        await asyncio.sleep(0)
        inside -= 1
        if len(passes) == 1:
            raise OSError("disk gone")

    loop = Loop("test", work, 0.001)
    task = asyncio.create_task(loop.run())
    while len(passes) < 4:
        loop.wake()
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "a pass of test failed" in caplog.text


async def test_waking_does_a_pass_at_once():
    done = asyncio.Event()
    passes = 0

    async def work():
        nonlocal passes
        passes += 1
        if passes == 2:
            done.set()

    loop = Loop("test", work, 1e9)
    task = asyncio.create_task(loop.run())
    await asyncio.sleep(0)
    loop.wake()
    await asyncio.wait_for(done.wait(), 30)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
