"""One job from Start to its file, and everything that may happen to it on the way."""

import asyncio
import hashlib
import json

import pytest

from bot.errors import NotFound, NotYours, Refused
from bot.store.jobs import attempts_of, get_attempt
from tests.bot.jobs.lab import OTHER, OWNER

LORA = b"the weights" * 100


async def test_a_job_goes_from_start_to_its_file(lab):
    trainer = lab.serve()
    job = await lab.submit()
    assert (job.name, job.state, job.steps, job.epochs) == ("lisaxl_v1", "queued", 20, 10)
    await lab.turn()
    attempt = trainer.claim()
    attempt.step(4, epoch=4)
    attempt.sample(5)
    await lab.turn(30)
    (card,) = lab.discord.cards()
    assert "lisaxl_v1" in card.text
    assert "Epoch 4/10" in card.text
    (sample,) = lab.posted("Epoch 5 of 10 · step 5")
    assert sample.silent
    assert sample.mention is None
    assert sample.file.startswith("lisaxl_v1-")
    assert "lisaxl, woman" in sample.alt
    attempt.finish(10, LORA)
    await lab.turn(30)
    (done,) = lab.posted("lisaxl_v1 is finished")
    assert done.content.startswith(f"<@{OWNER}> ")
    assert done.mention == OWNER
    assert not done.silent
    assert done.file == "lisaxl_v1.safetensors"
    finished = await lab.job(job.id)
    assert (finished.state, finished.lora_bytes) == ("finished", len(LORA))
    assert finished.lora_sha256 == hashlib.sha256(LORA).hexdigest()
    assert (lab.config.paths.loras / "lisaxl_v1.safetensors").read_bytes() == LORA
    assert "Finished" in card.text
    assert f"v1:file:{job.id}" in card.buttons
    assert len(lab.discord.messages) == 3


async def test_the_post_says_why_a_training_ended_early(lab):
    trainer = lab.serve()
    await lab.submit()
    await lab.turn()
    why = "Ended early: the validation loss had not fallen for 3 epochs (best: 0.1234 after epoch 4)."
    trainer.claim().finish(7, LORA, why)
    await lab.turn(30)
    (done,) = lab.posted("lisaxl_v1 is finished: 7 epochs, 7 steps.")
    assert why in done.content


async def test_the_job_folder_holds_a_frozen_copy(lab):
    job = await lab.submit()
    async with lab.services.store.transaction() as tx:
        await tx.execute("UPDATE picture SET caption = 'changed later'")
    spec = json.loads((lab.config.paths.jobs / job.id / "job.json").read_text())
    assert [picture["caption"] for picture in spec["pictures"]] == [f"lisaxl, woman, tag{n}" for n in range(6)]
    assert spec["config"]["epochs"] == 10
    assert str(OWNER) not in json.dumps(spec)


async def test_twenty_clicks_on_start_are_one_job(lab):
    dataset = await lab.dataset()
    clicks = [lab.services.jobs.training.submit(dataset.id, OWNER) for _ in range(20)]
    results = await asyncio.gather(*clicks, return_exceptions=True)
    jobs = [result for result in results if not isinstance(result, Exception)]
    assert len(jobs) == 1
    assert all("already queued" in str(result) for result in results if isinstance(result, Refused))
    assert len(list(lab.config.paths.jobs.iterdir())) == 1


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ("DELETE FROM picture", Refused, "no pictures"),
        ("UPDATE dataset SET state = 'awaiting-consent'", Refused, "Consent"),
        ("UPDATE dataset SET state = 'deleting'", NotFound, "no longer exists"),
        (f"UPDATE dataset SET owner_id = {OTHER}", NotYours, "somebody else"),
    ],
)
async def test_what_cannot_be_trained_is_refused_in_words(lab, change, error, words):
    dataset = await lab.dataset()
    async with lab.services.store.transaction() as tx:
        await tx.execute(change)
    with pytest.raises(error, match=words):
        await lab.services.jobs.training.submit(dataset.id, OWNER)
    assert not lab.config.paths.jobs.exists() or not list(lab.config.paths.jobs.iterdir())


async def test_a_member_may_have_three_waiting(lab):
    for number in range(3):
        await lab.submit(f"word{number}")
    with pytest.raises(Refused, match="3 trainings waiting"):
        await lab.submit("word3")
    await lab.submit("word4", OTHER)


async def test_names_are_never_given_twice(lab):
    trainer = lab.serve()
    for version in (1, 2):
        dataset = await lab.dataset("lisaxl", owner=OWNER + version)
        job = await lab.services.jobs.training.submit(dataset.id, OWNER + version)
        assert job.name == f"lisaxl_v{version}"
        await lab.turn()
        trainer.claim().finish(10, LORA + bytes([version]))
        await lab.turn()
        if version == 1:
            assert await lab.services.datasets.delete(dataset.id, OWNER + 1)
    assert [path.name for path in lab.config.paths.loras.iterdir()] == ["lisaxl_v2.safetensors"]


async def test_a_dead_trainer_is_resumed_and_told(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.step(6)
    attempt.state(6)
    await lab.turn()
    trainer.die()
    await lab.turn(60)
    assert (await lab.job(job.id)).attempt == 1, "the service itself says what became of it when it is back"
    trainer.start()
    attempt.fail(retry=True, message="The trainer died.")
    await lab.turn(5)
    second = trainer.claim()
    second.resumed(6)
    second.step(7)
    await lab.turn(5)
    (told,) = lab.posted("goes on from step 6")
    assert told.silent
    second.finish(10, LORA)
    await lab.turn(5)
    assert (await lab.job(job.id)).state == "finished"
    assert len(lab.posted("is finished")) == 1


async def test_a_trainer_that_dies_before_its_first_save_starts_again(lab):
    trainer = lab.serve()
    await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.step(3)
    attempt.fail(retry=True)
    await lab.turn()
    second = trainer.claim()
    second.step(1)
    await lab.turn(20)
    assert len(lab.posted("starts again")) == 1
    assert "step 1/" in lab.discord.cards()[0].text


async def test_a_job_that_always_dies_is_given_up_and_the_queue_moves_on(lab):
    trainer = lab.serve()
    poison = await lab.submit("poison")
    for _ in range(3):
        (await lab.next_attempt(trainer)).fail(retry=True, message="The trainer crashed.")
    after = await lab.submit("behind", OTHER)
    await lab.turn()
    failed = await lab.job(poison.id)
    assert failed.state == "failed"
    assert "tried 3 times" in failed.error
    (told,) = lab.posted("poison_v1 failed")
    assert told.mention == OWNER
    assert (await lab.job(after.id)).state == "running"


async def test_getting_further_makes_up_for_lost_attempts(lab):
    trainer = lab.serve()
    job = await lab.submit()
    for step in range(1, 6):
        attempt = await lab.next_attempt(trainer)
        attempt.state(step)
        attempt.fail(retry=True)
    await lab.next_attempt(trainer)
    assert (await lab.job(job.id)).state == "running"


async def test_the_same_state_again_is_not_getting_further(lab):
    trainer = lab.serve()
    job = await lab.submit()
    for _ in range(3):
        attempt = await lab.next_attempt(trainer)
        attempt.state(5)
        attempt.fail(retry=True)
    await lab.turn(60)
    assert (await lab.job(job.id)).state == "failed"


async def test_an_error_that_would_come_again_fails_at_once(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    trainer.claim().fail(retry=False, message="Picture 3 is damaged. Remove it and train again.")
    await lab.turn()
    assert (await lab.job(job.id)).state == "failed"
    (told,) = lab.posted("Picture 3 is damaged")
    assert told.content.startswith(f"<@{OWNER}> lisaxl_v1 failed.")


async def test_a_shutdown_of_the_trainer_only_pauses(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.step(4)
    attempt.state(4)
    attempt.pause("shutdown", 4)
    trainer.die()
    await lab.turn()
    paused = await lab.job(job.id)
    assert (paused.state, paused.lost_attempts) == ("queued", 0)
    assert "shut down" in lab.discord.cards()[0].text
    trainer.start()
    await lab.turn()
    trainer.claim().resumed(4)
    await lab.turn()
    assert len(lab.posted("goes on from step 4")) == 1


async def test_a_full_disk_waits_and_is_told_once(lab):
    trainer = lab.serve()
    await lab.submit()
    await lab.turn()
    for _ in range(2):
        trainer.claim().pause("disk-full", 3)
        await lab.turn()
        assert trainer.inbox.waiting() == []
        await lab.turn(301)
    (told,) = lab.posted("disk is full")
    assert told.mention == OWNER
    trainer.claim().finish(10, LORA)
    await lab.turn()
    assert len(lab.posted("is finished")) == 1


async def test_silence_ends_an_attempt_and_the_next_one_is_fenced_off(lab):
    first = lab.serve()
    job = await lab.submit()
    await lab.turn()
    hung = first.claim()
    hung.step(2)
    await lab.turn()
    for _ in range(12):
        await lab.turn(50)
    assert (await lab.job(job.id)).attempt == 1
    await lab.turn(2)
    assert (await lab.job(job.id)).state == "queued"
    first.inbox.release(hung._assignment)
    await lab.turn(31)
    second = first.claim()
    with pytest.raises(Exception, match="replaced by attempt 2"):
        hung.step(3)
    second.step(1)
    await lab.turn(20)
    assert (await lab.job(job.id)).attempt == 2


async def test_a_machine_that_slept_does_not_blame_the_trainer(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    trainer.claim().step(2)
    await lab.turn()
    await lab.turn(8 * 3600)
    assert ((await lab.job(job.id)).state, (await lab.job(job.id)).lost_attempts) == ("running", 0)


async def test_heartbeats_keep_a_slow_attempt(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    for _ in range(5):
        attempt.heartbeat()
        await lab.turn(500)
    assert (await lab.job(job.id)).attempt == 1


async def test_a_bot_that_was_away_does_not_blame_the_trainer(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    trainer.claim().step(2)
    await lab.turn()
    lab.clock.now += 5000
    await lab.restart()
    await lab.turn()
    assert (await lab.job(job.id)).attempt == 1


async def test_an_unclaimed_attempt_of_a_dead_service_goes_back(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    trainer.die()
    await lab.turn(31)
    waiting = await lab.job(job.id)
    assert (waiting.state, waiting.lost_attempts) == ("queued", 0)
    assert trainer.inbox.waiting() == []


@pytest.mark.parametrize("damage", [b'{"seq": 1, "at": 1, "kind": "no such"}\n', b"\xff\xfe\n", b'{"seq": 9}\n'])
async def test_a_damaged_log_ends_the_attempt_not_the_bot(lab, damage, caplog):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    (assignment,) = trainer.inbox.waiting()
    trainer.inbox.claim(assignment)
    (assignment.folder / "attempts" / "1" / "events.jsonl").write_bytes(damage)
    await lab.turn()
    async with lab.services.store.transaction() as tx:
        assert (await get_attempt(tx, job.id, 1)).outcome == "lost"
    assert "is lost" in caplog.text
    trainer.inbox.release(assignment)
    await lab.turn()
    trainer.claim().finish(10, LORA)
    await lab.turn()
    assert (await lab.job(job.id)).state == "finished"


async def test_a_half_written_line_is_read_when_it_is_whole(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    await lab.turn()
    log = lab.config.paths.jobs / job.id / "attempts/1/events.jsonl"
    line = b'{"seq":3,"at":1.0,"kind":"state","epoch":1,"step":1}\n'
    with log.open("ab") as file:
        file.write(line[:20])
        file.flush()
        await lab.turn()
        file.write(line[20:])
    await lab.turn()
    async with lab.services.store.transaction() as tx:
        assert (await get_attempt(tx, job.id, 1)).event_seq == 3
    assert attempt.wish().attempt == 1


async def test_a_damaged_file_is_not_given_out(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.finish(10, LORA)
    (lab.config.paths.jobs / job.id / "attempts/1/lora/epoch-010.safetensors").write_bytes(b"rotten")
    await lab.turn()
    assert (await lab.job(job.id)).state in ("queued", "running")
    assert lab.posted("is finished") == []
    assert (await lab.job(job.id)).lora_file == ""


async def test_a_lost_job_folder_fails_the_job_in_words(lab):
    import shutil

    trainer = lab.serve()
    job = await lab.submit()
    shutil.rmtree(lab.config.paths.jobs / job.id)
    for _ in range(4):
        await lab.turn(60)
    assert (await lab.job(job.id)).state == "failed"
    assert "files" in (await lab.job(job.id)).error
    assert trainer.inbox.waiting() == []


async def test_every_attempt_has_its_row(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    trainer.claim().pause("shutdown")
    await lab.turn()
    trainer.claim().finish(10, LORA)
    await lab.turn()
    async with lab.services.store.transaction() as tx:
        rows = await attempts_of(tx, job.id)
    assert [(row.number, row.outcome) for row in rows] == [(1, "paused"), (2, "finished")]


@pytest.mark.parametrize("lab", [("gpu0", "gpu1")], indirect=True)
async def test_two_services_train_side_by_side(lab):
    trainers = [lab.serve("gpu0"), lab.serve("gpu1")]
    for number, owner in enumerate((OTHER, OWNER, OWNER)):
        await lab.submit(f"word{number}", owner)
        lab.clock.now += 1
    await lab.turn()
    assert [trainer.claim().spec.trigger for trainer in trainers] == ["word0", "word1"]
    await lab.turn()
    assert [trainer.inbox.waiting() for trainer in trainers] == [[], []]
