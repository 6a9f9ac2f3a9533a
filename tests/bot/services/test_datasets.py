"""Datasets: made, agreed to, found by their owner, deleted with everything that is theirs."""

import dataclasses
import hashlib

import pytest

from bot.errors import NotFound, NotYours, PostUnclear, Refused
from bot.rules.consent import ATTESTATION
from bot.services.dataset.datasets import Datasets
from bot.store.jobs import update_job
from bot.store.rows import Dataset
from tests.bot.conftest import make_picture
from tests.bot.services.conftest import GUILD, OTHER, OWNER, incoming, rows
from trainer.contract.cache import group

JOB = (
    "INSERT INTO job (id, dataset_id, guild_id, owner_id, thread_id, name, preset, state, steps, epochs, lora_file,"
    " submitted_at) VALUES (?, ?, 1, 11, 5, ?, 'face', ?, 10, 1, ?, 0)"
)


async def add_job(store, dataset, job_id: str, state: str, lora_file: str = "") -> None:
    async with store.transaction() as tx:
        await tx.execute(JOB, (job_id, dataset.id, job_id, state, lora_file))


async def test_what_is_typed_is_checked_and_kept(datasets, asked):
    dataset = await datasets.create(asked(name=" Lisa\n2 ", trigger=" LisaXL ", class_word="Woman", kind="style"))
    assert (dataset.name, dataset.trigger, dataset.class_word) == ("Lisa 2", "lisaxl", "woman")
    assert (dataset.state, dataset.created_at, dataset.thread_id) == ("open", 1000.0, None)
    assert await datasets.get(dataset.id) == dataset


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"name": ""}, "needs a name"),
        ({"trigger": "li sa"}, "For example: li_sa"),
        ({"class_word": ""}, "class word says"),
        ({"kind": "planet"}, "must be one of"),
        ({"trigger": "woman"}, "must differ"),
    ],
)
async def test_what_will_not_do_is_refused(datasets, asked, parts, reason):
    with pytest.raises(Refused, match=reason):
        await datasets.create(asked(**parts))


async def test_a_name_is_taken_once_by_a_member(datasets, asked):
    first = await datasets.create(asked())
    with pytest.raises(Refused, match="already have a dataset called lisa"):
        await datasets.create(asked(name="lisa"))
    await datasets.create(asked(owner_id=OTHER))
    await datasets.create(asked(guild_id=99))
    await datasets.delete(first.id, OWNER)
    await datasets.create(asked())


async def test_consent_is_kept_with_time_text_and_person(datasets, asked, store):
    dataset = await datasets.create(asked(kind="person"))
    assert dataset.state == "awaiting-consent"
    with pytest.raises(NotYours):
        await datasets.give_consent(dataset.id, OTHER)
    assert (await datasets.give_consent(dataset.id, OWNER)).state == "open"
    assert (await datasets.give_consent(dataset.id, OWNER)).state == "open"
    kept = await rows(store, "SELECT dataset_id, user_id, text_version, text_sha256, given_at FROM consent")
    assert kept == [(dataset.id, OWNER, ATTESTATION.version, ATTESTATION.sha256, 1000.0)]
    await datasets.delete(dataset.id, OWNER)
    assert len(await rows(store, "SELECT id FROM consent")) == 1


async def test_finding(datasets, asked):
    lisa = await datasets.create(asked())
    rex = await datasets.create(asked(name="Rex", trigger="rexdog", class_word="dog"))
    await datasets.create(asked(name="Theirs", owner_id=OTHER))
    assert [each.name for each in await datasets.of_member(GUILD, OWNER)] == ["Rex", "Lisa"]
    assert [each.name for each in await datasets.of_member(GUILD, OWNER, "REX")] == ["Rex"]
    assert [each.name for each in await datasets.of_member(GUILD, OWNER, "saxl")] == ["Lisa"]
    await datasets.attach_thread(rex.id, 77)
    assert (await datasets.for_thread(77)).id == rex.id
    assert await datasets.for_thread(78) is None
    assert (await datasets.owned(lisa.id, OWNER)).id == lisa.id
    with pytest.raises(NotYours):
        await datasets.owned(lisa.id, OTHER)


async def test_the_overview_counts(datasets, dataset, intake, captions):
    report = await intake.add(
        dataset.id, OWNER, "m", [incoming(f"{seed}.jpg", make_picture(seed=seed)) for seed in range(3)]
    )
    await captions.edit(report.added[0].id, OWNER, "x", 0)
    overview = await datasets.overview(dataset.id)
    assert (overview.pictures, overview.untagged, overview.limit) == (3, 2, 12)


async def test_deleting_removes_everything_of_it(datasets, dataset, intake, files, store, config, jobs, asked):
    other = await datasets.create(asked(name="Other", owner_id=OTHER))
    shared = await intake.add(other.id, OTHER, "m", [incoming("a.jpg", make_picture(seed=0))])
    mine = await intake.add(
        dataset.id, OWNER, "m", [incoming(f"{seed}.jpg", make_picture(seed=seed)) for seed in range(3)]
    )
    await add_job(store, dataset, "job1", "finished", "lisaxl_v1.safetensors")
    await add_job(store, other, "job2", "finished", "other_v1.safetensors")
    for folder, name in (("job1", "lisaxl_v1"), ("job2", "other_v1")):
        (config.paths.jobs / folder / "attempts").mkdir(parents=True)
        (config.paths.jobs / folder / "job.json").write_text("{}")
        (config.paths.jobs / folder / "dataset").mkdir()
        (config.paths.jobs / folder / "dataset" / f"{name * 9}.png").touch()
        group(config.paths.cache, name * 9).mkdir(parents=True)
        (group(config.paths.cache, name * 9) / "a.safetensors").touch()
        config.paths.loras.mkdir(exist_ok=True)
        (config.paths.loras / f"{name}.safetensors").write_bytes(b"x")
    async with store.transaction() as tx:
        for kind, ref in (("dataset", dataset.id), ("batch", mine.batch.id), ("job", "job1"), ("dataset", other.id)):
            await tx.execute("INSERT INTO card (kind, ref, channel_id) VALUES (?, ?, 5)", (kind, str(ref)))
    plan = await datasets.plan_delete(dataset.id, OWNER)
    assert (plan.pictures, plan.jobs, plan.active_jobs, plan.loras) == (3, 1, 0, 1)

    assert (await datasets.delete(dataset.id, OWNER)).complete

    assert jobs.stopped == [dataset.id]
    assert {path.name for path in config.paths.pictures.iterdir()} == {shared.added[0].file}
    assert {path.name for path in config.paths.jobs.iterdir()} == {"job2"}
    assert {path.name for path in config.paths.loras.iterdir()} == {"other_v1.safetensors"}
    latents = [path.parent for path in config.paths.cache.rglob("*.safetensors")]
    assert latents == [group(config.paths.cache, "other_v1" * 9)], "no encoded picture of it is left"
    for table in ("picture", "batch", "job"):
        assert await rows(store, f"SELECT DISTINCT dataset_id FROM {table}") == [(other.id,)]
    assert await rows(store, "SELECT kind, ref FROM card") == [("dataset", str(other.id))]
    with pytest.raises(NotFound):
        await datasets.get(dataset.id)


async def test_a_copy_for_the_web_ui_goes_too(store, files, config, jobs, dataset, tmp_path):
    folder = tmp_path / "Lora"
    folder.mkdir()
    for name, data in (("lisaxl_v1", b"the host's own"), ("lisaxl_v1-job1", b"x"), ("lisaxl_v2", b"y")):
        (folder / f"{name}.safetensors").write_bytes(data)
    for number, data in ((1, b"x"), (2, b"y")):
        await add_job(store, dataset, f"job{number}", "finished", f"lisaxl_v{number}.safetensors")
        async with store.transaction() as tx:
            await update_job(tx, f"job{number}", lora_sha256=hashlib.sha256(data).hexdigest())
    config = dataclasses.replace(config, export=dataclasses.replace(config.export, copy_to=folder))
    await Datasets(store, files, config, jobs.stop).delete(dataset.id, OWNER)
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [
        ("lisaxl_v1.safetensors", b"the host's own")
    ]


async def test_a_running_job_is_waited_for(datasets, dataset, intake, store, config, jobs):
    await intake.add(dataset.id, OWNER, "m", [incoming("a.jpg", make_picture())])
    await add_job(store, dataset, "job1", "stopping")
    (config.paths.jobs / "job1").mkdir(parents=True)
    assert not (await datasets.delete(dataset.id, OWNER)).complete
    with pytest.raises(NotFound):  # gone for everybody already
        await datasets.get(dataset.id)
    assert (config.paths.jobs / "job1").is_dir()
    assert await datasets.finish_deletions() == 0
    async with store.transaction() as tx:
        await tx.execute("UPDATE job SET state = 'stopped'")
    assert await datasets.finish_deletions() == 1
    assert not (config.paths.jobs / "job1").exists()
    assert list(config.paths.pictures.iterdir()) == []
    assert await rows(store, "SELECT COUNT(*) FROM dataset") == [(0,)]
    assert await datasets.finish_deletions() == 0


async def test_a_deletion_cut_short_is_finished_after_a_restart(datasets, dataset, intake, store, files, config, jobs):
    report = await intake.add(dataset.id, OWNER, "m", [incoming("a.jpg", make_picture())])
    async with store.transaction() as tx:
        await tx.execute("UPDATE dataset SET state = 'deleting'")
    files.path(report.added[0].file).unlink()  # the crash came after the files
    restarted = Datasets(store, files, config, jobs.stop)
    assert await restarted.finish_deletions() == 1
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(0,)]


async def test_a_thread_that_cannot_be_deleted_now_is_deleted_later(datasets, dataset, store):
    asked: list[int] = []

    async def remove(given: Dataset) -> bool:
        asked.append(given.id)
        if len(asked) == 1:
            raise PostUnclear("no answer")
        return True

    with pytest.raises(PostUnclear):
        await datasets.delete(dataset.id, OWNER, remove)
    assert await rows(store, "SELECT state FROM dataset") == [("deleting",)]
    assert await datasets.finish_deletions(remove) == 1
    assert asked == [dataset.id, dataset.id]
    assert await rows(store, "SELECT COUNT(*) FROM dataset") == [(0,)]


async def test_a_deletion_that_fails_holds_up_no_other_and_is_not_tried_at_once(datasets, dataset, asked, store):
    other = await datasets.create(asked(name="Eva"))
    tries: list[int] = []

    async def remove(given: Dataset) -> bool:
        tries.append(given.id)
        if given.id == dataset.id:
            raise PostUnclear("no answer")
        return True

    async with store.transaction() as tx:
        await tx.execute("UPDATE dataset SET state = 'deleting'")
    assert await datasets.finish_deletions(remove) == 1
    assert await datasets.finish_deletions(remove) == 0
    assert tries == [dataset.id, other.id]


async def test_only_the_owner_deletes(datasets, dataset):
    for act in (datasets.delete, datasets.plan_delete):
        with pytest.raises(NotYours):
            await act(dataset.id, OTHER)
    assert (await datasets.get(dataset.id)).state == "open"
