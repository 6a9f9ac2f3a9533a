"""/train, /queue and the buttons of plans and job cards, from Start to Download."""

import contextlib
import os
import time

import pytest

from bot.demo.harness import until
from tests.bot.discord.lab import all_text, custom_ids
from tests.wire.scripted_trainer import ScriptedTrainer
from trainer.contract.inbox import Inbox, ServiceInfo

pytestmark = pytest.mark.slow

LORA = b"the weights" * 100


@pytest.fixture
def trainer(lab):
    """A trainer service that does what a test says."""
    inbox = Inbox(lab.config.paths.inboxes / "gpu0")
    with contextlib.ExitStack() as life:
        life.enter_context(inbox.serve())
        inbox.announce(ServiceInfo(os.getpid(), "cpu", "scripted", 0, "1", time.time(), ""))
        yield ScriptedTrainer(inbox)


@pytest.fixture
async def thread(lab, pictures):
    """Alice's dataset with three pictures."""
    made = await lab.create()
    await lab.batch(made, pictures(3))
    return made


async def _start(lab, thread):
    """Alice presses Train and Start; the job's card."""
    card = await lab.card(thread, "train")
    plan = await lab.answer(await lab.press(lab.alice, card, "train"))
    await lab.press(lab.alice, plan.message, "start")
    return await lab.card(thread, "job")


async def test_train_shows_what_it_would_be_before_it_starts(lab, thread):
    result = await lab.slash(lab.alice, thread, "train", preset="quick", epochs=40)
    said = await lab.said(result, "Train Lisa?")
    assert "40 epochs" in said
    assert "**40 steps**" in said
    assert "8 checkpoints" in said
    assert "The batch is 3 instead of 5" in said
    assert result.ephemeral
    plan = await lab.answer(result)
    assert custom_ids(plan.message) == ["v1:start:1:quick:40", "v1:dismiss:1"]
    assert await lab.rows("SELECT id FROM job") == []
    await lab.press(lab.alice, plan.message, "dismiss")
    assert await lab.rows("SELECT id FROM job") == []


async def test_from_start_to_download(lab, thread, trainer):
    card = await _start(lab, thread)
    attempt = await trainer.claim()
    attempt.step(4, epoch=4)
    attempt.sample(5)
    shown = await lab.until_card(thread, card.id, "Epoch 4/60")
    assert "**Training**" in all_text(shown)
    sample = await until(lambda: _post(thread, "Epoch 5 of 60 · step 5"), "the sample")
    assert sample.flags.suppress_notifications
    assert sample.attachments[0].description.startswith("lisaxl, woman")
    attempt.finish(60, LORA)
    done = await until(lambda: _post(thread, "lisaxl_v1 is finished"), "the end")
    assert done.content.startswith(f"<@{lab.alice.id}>")
    assert [user.id for user in done.mentions] == [lab.alice.id]
    assert done.attachments[0].filename == "lisaxl_v1.safetensors"
    shown = await lab.until_card(thread, card.id, "Finished")
    assert [each.split(":")[1] for each in custom_ids(shown)] == ["file", "train", "job"]
    said = await lab.said(await lab.press(lab.alice, shown, "file"), "/d/")
    assert "<lora:lisaxl_v1:0.9>" in said
    refused = await lab.press(lab.bob, shown, "file")
    await lab.said(refused, "somebody else")


async def test_every_button_works_after_a_restart(lab, thread, trainer):
    card = await lab.card(thread, "train")
    plan = await lab.answer(await lab.press(lab.alice, card, "train"))
    await lab.restart()
    await lab.press(lab.alice, plan.message, "start")
    card = await lab.card(thread, "job")
    attempt = await trainer.claim()
    attempt.step(4, epoch=4)
    await lab.until_card(thread, card.id, "Epoch 4/60")
    await lab.restart()
    question = await lab.answer(await lab.press(lab.alice, card, "stop"))
    await lab.restart()
    said = await lab.press(lab.alice, question.message, "stop-yes")
    await lab.said(said, "stops after this step")
    assert attempt.channel.desired().wish == "stop"
    assert len(lab.cards(thread, "job")) == 1


async def test_a_second_start_is_told_so(lab, thread):
    card = await lab.card(thread, "train")
    plan, other = [await lab.answer(await lab.press(lab.alice, card, "train")) for _ in range(2)]
    await lab.press(lab.alice, plan.message, "start")
    await lab.until_rows("SELECT id FROM job", lambda rows: len(rows) == 1)
    again = await lab.press(lab.alice, other.message, "start")
    await lab.said(again, "already queued")
    assert len(await lab.rows("SELECT id FROM job")) == 1


async def test_stop_asks_once_and_only_the_owner(lab, thread):
    card = await _start(lab, thread)
    await lab.said(await lab.press(lab.bob, card, "stop"), "somebody else")
    question = await lab.answer(await lab.press(lab.alice, card, "stop"))
    assert "It leaves the queue" in all_text(question.message)
    await lab.press(lab.alice, question.message, "stop-yes")
    await lab.until_card(thread, card.id, "Stopped")
    await until(lambda: _post(thread, "lisaxl_v1 was stopped"), "the end")


async def test_refresh_draws_the_card(lab, thread, trainer):
    card = await _start(lab, thread)
    (await trainer.claim()).step(7, epoch=7)
    await lab.until_rows("SELECT progress FROM job", lambda rows: '"step": 7' in rows[0]["progress"])
    await lab.rows("UPDATE card SET dirty = 0, edited_at = 1e12")
    pressed = await lab.press(lab.bob, card, "job")
    assert "Epoch 7/60" in all_text((await lab.answer(pressed)).message)


async def test_the_queue_tells_order_and_reasons(lab, thread, trainer):
    empty = await lab.slash(lab.bob, lab.lobby, "queue")
    await lab.said(empty, "Nothing trains")
    await _start(lab, thread)
    await trainer.claim()
    said = await lab.said(await lab.slash(lab.bob, lab.lobby, "queue"), "a member's training")
    assert "lisaxl_v1" not in said, "another member's business"
    await lab.said(await lab.slash(lab.alice, lab.lobby, "queue"), "lisaxl_v1")


async def test_only_the_owner_trains(lab, thread):
    card = await lab.card(thread, "train")
    await lab.said(await lab.press(lab.bob, card, "train"), "somebody else")
    await lab.said(await lab.slash(lab.bob, lab.lobby, "train"), "no dataset here")


async def test_an_archived_thread_is_opened_for_the_card(lab, thread, trainer):
    card = await _start(lab, thread)
    attempt = await trainer.claim()
    await lab.bot.get_channel(thread.id).edit(archived=True)
    attempt.step(9, epoch=9)
    await lab.until_card(thread, card.id, "Epoch 9/60")


def _post(thread, words):
    return next((message for message in thread.history() if words in message.content), None)
