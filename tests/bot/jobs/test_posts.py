"""Posts and cards on their way to Discord: nothing lost, nothing doubled, whatever is lost on the way."""

import logging

import pytest

from bot.errors import PostRefused
from bot.services.posting.cards import ROLL_OVER_SECONDS
from bot.store.cards import get_card, mark_dirty, move_cards
from bot.store.jobs import move_jobs
from bot.store.outbox import add_post, move_posts, posts_of

LORA = b"the weights" * 100


async def _finish(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    trainer.claim().finish(10, LORA)
    return job


@pytest.mark.parametrize("lost", [1, 2, 4])
async def test_a_post_whose_answer_was_lost_is_found_and_not_sent_again(lab, lost):
    job = await _finish(lab)
    lab.discord.lose = lost
    for _ in range(lost + 2):
        await lab.turn(400)
    assert len(lab.posted("is finished")) == 1
    assert len(lab.discord.cards()) == 1
    async with lab.services.store.transaction() as tx:
        (post,) = await posts_of(tx, job.id)
    assert (post.state, post.message_id) == ("sent", lab.posted("is finished")[0].id)


async def test_a_post_that_never_arrived_is_sent_again(lab):
    await _finish(lab)
    lab.discord.fail = 7
    for _ in range(10):
        await lab.turn(400)
    assert len(lab.posted("is finished")) == 1


async def test_a_lost_answer_and_a_restart_are_one_post(lab):
    await _finish(lab)
    lab.discord.lose = 1
    await lab.turn()
    await lab.restart()
    await lab.turn()
    await lab.turn(400)
    assert len(lab.posted("is finished")) == 1


async def test_while_discord_is_away_tries_get_rarer(lab):
    await _finish(lab)
    lab.discord.fail = 10**9
    await lab.services.jobs.dispatch.round()
    before = lab.discord.fail
    for _ in range(600):
        await lab.services.outbox.send_due()
        lab.clock.now += 1
    assert 5 <= before - lab.discord.fail <= 12


async def test_a_clear_refusal_is_given_up_and_shown_on_the_card(lab):
    job = await _finish(lab)
    await lab.services.jobs.dispatch.round()
    lab.discord.refuse.add(job.thread_id)
    await lab.services.outbox.send_due()
    lab.discord.refuse.clear()
    await lab.turn(30)
    assert lab.posted("is finished") == []
    assert "could not be sent: Missing Access" in lab.discord.cards()[0].text


async def test_posts_of_one_channel_keep_their_order(lab):
    trainer = lab.serve()
    await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.sample(5)
    attempt.sample(10)
    attempt.finish(10, LORA)
    lab.discord.fail = 1
    for _ in range(4):
        await lab.turn(10)
    assert [post.content.split("\n")[0][-20:] for post in lab.discord.posts()] == [
        "och 5 of 10 · step 5",
        "h 10 of 10 · step 10",
        "10 epochs, 10 steps.",
    ]


async def test_a_file_over_the_limit_becomes_a_link(lab):
    lab.discord.limit = 100
    job = await _finish(lab)
    await lab.turn()
    (done,) = lab.posted("is finished")
    assert done.file == ""
    assert f"/d/{job.id}?e=" in done.content
    assert "works for 72 hours" in done.content
    assert "only on the computer I run on" in done.content, "127.0.0.1 is nobody else's"
    assert len(done.content) < 2000


async def test_without_a_web_server_the_post_says_so(lab):
    lab.discord.limit = 100
    await lab.services.web.close()
    await _finish(lab)
    await lab.turn()
    assert "the download page is down" in lab.posted("is finished")[0].content


async def test_a_post_of_a_deleted_job_is_dropped(lab):
    async with lab.services.store.transaction() as tx:
        post_id = await add_post(tx, 5, "finished", None, {}, lab.clock())
    await lab.turn()
    assert lab.discord.messages == {}
    async with lab.services.store.transaction() as tx:
        rows = list(await tx.execute_fetchall("SELECT state FROM outbox WHERE id = ?", (post_id,)))
    assert rows[0]["state"] == "given-up"


async def test_progress_is_drawn_every_ten_seconds_and_state_changes_at_once(lab):
    trainer = lab.serve()
    await lab.submit()
    await lab.turn()
    (card,) = lab.discord.cards()
    attempt = trainer.claim()
    for step in range(1, 21):
        attempt.step(step)
        await lab.turn(1)
    assert card.edits in (2, 3)
    edits = card.edits
    attempt.finish(10, LORA)
    await lab.turn(1)
    assert card.edits == edits + 1
    assert "Finished" in card.text


async def test_the_newest_state_wins(lab):
    trainer = lab.serve()
    await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    for step in range(1, 8):
        attempt.step(step)
    await lab.turn(20)
    (card,) = lab.discord.cards()
    assert "step 7/" in card.text
    assert card.edits == 1
    await lab.turn(20)
    assert card.edits == 1, "nothing changed, nothing drawn"


async def test_a_deleted_card_comes_back(lab):
    job = await lab.submit()
    await lab.turn()
    (card,) = lab.discord.cards()
    lab.discord.messages.clear()
    async with lab.services.store.transaction() as tx:
        await mark_dirty(tx, "job", job.id)
    await lab.turn(20)
    (again,) = lab.discord.cards()
    assert again.id != card.id or again is not card
    async with lab.services.store.transaction() as tx:
        assert (await get_card(tx, "job", job.id)).message_id == again.id


@pytest.mark.parametrize("crash", [False, True])
async def test_a_card_whose_answer_was_lost_is_one_card(lab, crash):
    await lab.submit()
    lab.discord.lose = 1
    await lab.turn()
    if crash:
        await lab.restart()
    await lab.turn(400)
    await lab.turn(400)
    assert len(lab.discord.cards()) == 1


@pytest.mark.parametrize("lost", [0, 1])
async def test_an_old_card_moves_to_a_new_message(lab, lost):
    job = await lab.submit()
    await lab.turn()
    (old,) = lab.discord.cards()
    lab.clock.now += ROLL_OVER_SECONDS
    async with lab.services.store.transaction() as tx:
        await mark_dirty(tx, "job", job.id)
    lab.discord.lose = lost
    await lab.turn()
    await lab.turn(400)
    (new,) = lab.discord.cards()
    assert new.id != old.id


async def test_a_change_while_the_card_is_drawn_is_drawn_too(lab):
    job = await lab.submit()
    original = lab.discord.show

    async def slow(channel_id, drawing, nonce):
        async with lab.services.store.transaction() as tx:
            await mark_dirty(tx, "job", job.id)
        return await original(channel_id, drawing, nonce)

    lab.discord.show = slow
    await lab.turn()
    async with lab.services.store.transaction() as tx:
        assert (await get_card(tx, "job", job.id)).dirty > 0
    await lab.turn(20)
    async with lab.services.store.transaction() as tx:
        assert (await get_card(tx, "job", job.id)).dirty == 0


async def test_a_sample_whose_picture_is_gone_is_told_in_words(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.sample(5)
    await lab.services.jobs.dispatch.round()
    (lab.config.paths.jobs / job.id / "attempts/1/samples/epoch-005.jpg").unlink()
    await lab.turn()
    (post,) = lab.posted("Epoch 5 of 10")
    assert post.file == ""


async def test_a_sample_outside_its_attempt_is_never_read(lab):
    trainer = lab.serve()
    await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    secret = lab.config.paths.data / "links.secret"
    from trainer.contract.events import Sample

    attempt.channel.append(Sample(epoch=5, step=5, files=(), grid="../../../../links.secret", prompts=()))
    assert secret.exists()
    await lab.turn()
    (post,) = lab.posted("Epoch 5 of 10")
    assert post.file == ""


async def test_a_resumed_attempt_does_not_post_its_samples_again(lab):
    trainer = lab.serve()
    await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.state(4)
    attempt.sample(5)
    attempt.fail(retry=True)
    await lab.turn()
    second = trainer.claim()
    second.resumed(4)
    second.sample(5)
    await lab.turn()
    assert len(lab.posted("Epoch 5 of 10")) == 1


async def test_what_a_deleted_thread_would_have_said_is_said_in_the_new_one(lab):
    job = await _finish(lab)
    lab.discord.refuse.add(job.thread_id)
    await lab.turn()
    assert lab.posted("is finished") == []
    async with lab.services.store.transaction() as tx:
        await move_cards(tx, job.thread_id, 9001)
        await move_jobs(tx, job.thread_id, 9001)
        await move_posts(tx, job.thread_id, 9001)
    await lab.turn()
    assert [post.channel_id for post in lab.posted("is finished")] == [9001]
    assert [card.channel_id for card in lab.discord.cards() if card.channel_id == 9001] == [9001]


async def test_a_file_that_discord_finds_too_large_becomes_a_link(lab):
    """The limit the bot knows may be out of date: boosts end."""
    job = await _finish(lab)
    send = lab.discord.send

    async def strict(channel_id, message):
        if message.file is not None:
            raise PostRefused("413")
        return await send(channel_id, message)

    lab.discord.send = strict
    await lab.turn()
    (done,) = lab.posted("is finished")
    assert f"/d/{job.id}" in done.content


async def test_a_card_that_is_refused_is_not_asked_for_at_every_change(lab, caplog):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    lab.discord.refuse.add(job.thread_id)
    attempt = trainer.claim()
    for step in range(1, 61):
        attempt.step(step)
        await lab.turn(10)
    assert 3 < caplog.text.count("is left as it is") < 12


@pytest.mark.parametrize(("state", "told"), [("deleting", False), ("open", True)])
async def test_what_goes_with_its_dataset_is_no_error(lab, caplog, state, told):
    """The thread goes first, the rows last: a card or post drawn in between finds no channel, and that is no news."""
    job = await _finish(lab)
    await lab.turn()
    async with lab.services.store.transaction() as tx:
        # The lab's jobs hang at a dataset that has no thread of its own.
        await tx.execute(
            "UPDATE dataset SET state = ?, thread_id = ? WHERE id = ?", (state, job.thread_id, job.dataset_id)
        )
        await mark_dirty(tx, "job", job.id, urgent=True)
        await add_post(tx, job.thread_id, "finished", job.id, {}, lab.clock())
    lab.discord.refuse.add(job.thread_id)
    await lab.turn()
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert any("is left as it is" in error for error in errors) == told
    assert any("is given up" in error for error in errors) == told
