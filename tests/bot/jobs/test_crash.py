"""The bot dies at every single border between two effects; a new one over the same folder goes on.

Every transaction that writes, every call to Discord, every hand-over to a trainer and every copy of a file is such a
border, before and after it. Nothing may be lost, nothing may be there twice.
"""

from contextlib import asynccontextmanager, contextmanager

import pytest

from bot.runners.local import LocalRunner
from bot.services.jobs.library import Library
from bot.store.database import Store
from bot.store.outbox import posts_of
from tests.bot.jobs.lab import OWNER, FakeDiscord, Lab

LORA = b"the weights" * 100
STRIDE = 2
"""Borders are shared out over this many tests, so that they can run side by side."""


class Death(BaseException):
    """kill -9, as far as one process can play it."""


class Fate:
    """Counts borders; at the chosen one the bot dies, once."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.seen = 0

    def border(self) -> None:
        """One more border."""
        self.seen += 1
        if self.seen == self.at:
            raise Death


@contextmanager
def armed(fate: Fate):
    """Borders around everything that lasts."""
    transaction = Store.transaction

    @asynccontextmanager
    async def mortal(self):
        async with transaction(self) as tx:
            before = tx.total_changes
            yield tx
            if changed := tx.total_changes > before:
                fate.border()  # before the commit
        if changed:
            fate.border()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "transaction", mortal)
        for owner, names in ((LocalRunner, ("hand_over", "withdraw", "ask_to_stop")), (Library, ("keep",))):
            for name in names:
                patch.setattr(owner, name, _around(getattr(owner, name), fate))
        patch.setattr("os.fsync", lambda handle: None)  # the machine does not die, only the bot
        for name in ("send", "show", "edit", "delete"):
            patch.setattr(FakeDiscord, name, _around_async(getattr(FakeDiscord, name), fate))
        yield


def _around(function, fate):
    def mortal(*args, **kwargs):
        fate.border()
        result = function(*args, **kwargs)
        fate.border()
        return result

    return mortal


def _around_async(function, fate):
    async def mortal(*args, **kwargs):
        fate.border()
        result = await function(*args, **kwargs)
        fate.border()
        return result

    return mortal


async def _scene(lab, *, stop: bool):
    """Submit, train, sample, finish; started again after a death it goes on where it was. Returns the job's id."""
    trainer = lab.trainer
    if lab.job_id is None:
        async with lab.services.store.transaction() as tx:
            rows = list(await tx.execute_fetchall("SELECT id FROM job"))
        job = None if rows else await lab.services.jobs.training.submit(lab.dataset_id, OWNER)
        lab.job_id = job.id if job else rows[0]["id"]
    for _ in range(12):
        await lab.turn(61)
        if lab.attempt is None and trainer.inbox.waiting():
            lab.attempt = trainer.claim()
            lab.attempt.step(2)
            lab.attempt.sample(5)
        elif lab.attempt is not None and not lab.ended:
            if stop and (await lab.job(lab.job_id)).state == "running":
                await lab.services.jobs.training.stop(lab.job_id, OWNER)
            if not stop or lab.attempt.wish().wish == "stop":
                lab.ended = True
                lab.attempt.stopped(6, LORA) if stop else lab.attempt.finish(10, LORA)
        if (await lab.job(lab.job_id)).state in ("finished", "stopped"):
            await lab.turn(61)
            return


async def _live(lab, *, stop: bool) -> bool:
    """Play the scene with at most one death in it; True when it came."""
    try:
        await _scene(lab, stop=stop)
    except Death:
        await lab.restart()
        await _scene(lab, stop=stop)
        return True
    return False


async def _check(lab, *, stop: bool):
    job = await lab.job(lab.job_id)
    assert job.state == ("stopped" if stop else "finished")
    assert job.attempt == 1
    assert (lab.config.paths.loras / job.lora_file).read_bytes() == LORA
    assert [path.name for path in lab.config.paths.loras.iterdir()] == [job.lora_file]
    assert len(lab.posted("was stopped" if stop else "is finished")) == 1
    assert len(lab.posted("Epoch 5 of 10")) == 1
    assert len(lab.discord.cards()) == 1
    assert f"v1:file:{job.id}" in lab.discord.cards()[0].buttons
    async with lab.services.store.transaction() as tx:
        assert {post.state for post in await posts_of(tx, job.id)} == {"sent"}
        jobs = list(await tx.execute_fetchall("SELECT id FROM job"))
    assert len(jobs) == 1
    assert [path.name for path in lab.config.paths.jobs.iterdir()] == [job.id]
    assert lab.trainer.inbox.waiting() == []


@pytest.mark.parametrize("stop", [False, True], ids=["finish", "stop"])
@pytest.mark.parametrize("share", range(STRIDE))
async def test_a_death_at_any_border_loses_and_doubles_nothing(tmp_path, share, stop):
    at, deaths, died = share + 1, 0, True
    while died:
        lab = Lab(tmp_path / str(at))
        await lab.open()
        lab.trainer = lab.serve()
        lab.dataset_id = (await lab.dataset()).id
        lab.job_id = lab.attempt = None
        lab.ended = False
        with armed(Fate(at)):
            died = await _live(lab, stop=stop)
        await _check(lab, stop=stop)
        await lab.close()
        deaths += died
        at += STRIDE
    assert deaths >= 40 / STRIDE, "the scene has many borders; too few were met"
