"""Stop: at every moment, and what is kept."""

import pytest

from bot.errors import NotFound, NotYours, Refused
from tests.bot.jobs.lab import OTHER, OWNER

LORA = b"some weights"


async def test_a_queued_job_leaves_the_queue_at_once(lab):
    job = await lab.submit()
    assert (await lab.services.jobs.training.stop(job.id, OWNER)).state == "stopped"
    lab.serve()
    await lab.turn()
    assert (await lab.job(job.id)).attempt == 0
    (told,) = lab.posted("was stopped")
    assert "Nothing was trained yet" in told.content


async def test_a_running_job_keeps_what_was_trained(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.step(4)
    await lab.turn()
    assert (await lab.services.jobs.training.stop(job.id, OWNER)).state == "stopping"
    assert attempt.wish().wish == "stop"
    await lab.turn()
    assert "Stopping" in lab.discord.cards()[0].text
    attempt.stopped(4, LORA)
    await lab.turn()
    stopped = await lab.job(job.id)
    assert (stopped.state, stopped.lora_file) == ("stopped", "lisaxl_v1.safetensors")
    (told,) = lab.posted("was stopped")
    assert "until step 4 is kept" in told.content
    assert told.file == "lisaxl_v1.safetensors"


async def test_an_attempt_that_nobody_claimed_is_taken_back(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    await lab.services.jobs.training.stop(job.id, OWNER)
    await lab.turn()
    assert (await lab.job(job.id)).state == "stopped"
    assert trainer.inbox.waiting() == []


async def test_a_stop_outlives_a_crash_between_the_row_and_the_file(lab, monkeypatch):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.step(4)
    await lab.turn()
    monkeypatch.setattr("bot.services.jobs.training.reach", _die)
    with pytest.raises(KeyboardInterrupt):
        await lab.services.jobs.training.stop(job.id, OWNER)
    assert attempt.wish().wish == "run"
    await lab.restart()
    await lab.turn()
    assert attempt.wish().wish == "stop"


async def test_a_stop_between_two_attempts_still_keeps_what_was_trained(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.step(4)
    attempt.state(4)
    attempt.pause("shutdown", 4)
    trainer.die()
    await lab.turn()
    assert (await lab.services.jobs.training.stop(job.id, OWNER)).state == "stopping"
    trainer.start()
    await lab.turn()
    second = trainer.claim()
    assert second.wish().wish == "stop"
    second.stopped(4, LORA)
    await lab.turn()
    assert (await lab.job(job.id)).lora_bytes == len(LORA)


async def test_a_stop_while_the_trainer_dies_goes_on_with_the_next_attempt(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.step(4)
    attempt.state(4)
    await lab.turn()
    await lab.services.jobs.training.stop(job.id, OWNER)
    attempt.fail(retry=True)
    await lab.turn()
    assert (await lab.job(job.id)).state == "stopping"
    assert trainer.claim().wish().wish == "stop"


async def test_only_the_owner_stops_and_only_once(lab):
    job = await lab.submit()
    with pytest.raises(NotYours):
        await lab.services.jobs.training.stop(job.id, OTHER)
    with pytest.raises(NotFound):
        await lab.services.jobs.training.stop("gone", OWNER)
    await lab.services.jobs.training.stop(job.id, OWNER)
    with pytest.raises(Refused, match="ended already"):
        await lab.services.jobs.training.stop(job.id, OWNER)
    await lab.turn()
    assert len(lab.posted("was stopped")) == 1


async def test_after_a_stop_the_dataset_can_train_again(lab):
    dataset = await lab.dataset()
    job = await lab.services.jobs.training.submit(dataset.id, OWNER)
    await lab.services.jobs.training.stop(job.id, OWNER)
    assert (await lab.services.jobs.training.submit(dataset.id, OWNER)).name == "lisaxl_v2"


async def test_deleting_a_dataset_ends_a_waiting_job_and_takes_its_files(lab):
    job = await lab.submit()
    assert (await lab.services.datasets.delete(job.dataset_id, OWNER)).complete
    assert list(lab.config.paths.jobs.iterdir()) == []
    assert list(lab.config.paths.pictures.iterdir()) == []
    lab.serve()
    await lab.turn()
    assert lab.discord.messages == {}


@pytest.mark.parametrize("alive", [True, False])
async def test_deleting_a_dataset_in_training_stops_it(lab, alive):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.step(4)
    await lab.turn()
    if not alive:
        trainer.die()
    gone = (await lab.services.datasets.delete(job.dataset_id, OWNER)).complete
    assert gone is not alive, "a living trainer is asked and answers; a dead one is not waited for"
    if alive:
        attempt.stopped(4, LORA)
        await lab.turn()
        assert await lab.services.datasets.finish_deletions() == 1
    assert list(lab.config.paths.jobs.iterdir()) == []
    assert not lab.config.paths.loras.exists() or list(lab.config.paths.loras.iterdir()) == []
    await lab.turn(30)


def _die(point: str) -> None:
    raise KeyboardInterrupt(point)
