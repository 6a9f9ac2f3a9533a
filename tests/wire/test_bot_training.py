"""A job over the wire, in good and bad weather; the trainer's side is played by the test."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import aiohttp
import pytest

from bot.app import Lorelei
from bot.config import Config, TaggerConfig
from bot.store.outbox import posts_of
from tests.wire import messages, threads
from tests.wire.lorelei import Training, running_bot, with_control
from tests.wire.test_bot_datasets import jpegs
from tests.wire.world import FILE_LIMIT

MESSAGES = "/channels/*/messages"
ONE_MESSAGE = "/channels/*/messages/*"


@pytest.fixture
def config(config: Config, tmp_path: Path) -> Config:
    """Without a tagger: captions are not what these tests are about, and its process takes a second to start."""
    return dataclasses.replace(config, tagger=TaggerConfig(model=str(tmp_path / "none")))


@pytest.fixture
async def training(server, bot, alice, workshop, trainer) -> Training:
    """A job that has begun."""
    _, card = await workshop.create_dataset(alice)
    await workshop.hand_over(alice, card, jpegs(1, 2))
    return await workshop.start_training(alice, card, trainer)


def count(training: Training, text: str) -> int:
    """Messages of the thread with this text."""
    return sum(text in message.text for message in training.thread.messages.values())


async def all_sent(bot: Lorelei, training: Training) -> None:
    """Wait until the bot knows of every post of the job that Discord has it."""
    while True:
        async with bot.services.store.transaction() as tx:
            posts = await posts_of(tx, training.attempt.spec.job_id)
        if {post.kind for post in posts if post.state == "sent"} == {"sample", "finished"}:
            return
        await asyncio.sleep(0.05)


async def test_a_job_from_start_to_file(server, alice, training, workshop):
    for step in (1, 2, 3):
        training.attempt.step(step)
        await server.world.wait_for(lambda step=step: f"step {step}/" in training.card.text)
    training.attempt.sample(5)
    grid = await workshop.seen(training.thread, "Epoch 5 of 80")
    assert grid.silent
    assert grid.files[0].size == (64, 64)
    training.attempt.finish(80, b"lora" * 100)
    end = await workshop.seen(training.thread, "is finished")
    assert end.text.startswith(alice.mention)
    assert end.mentions == [alice.user]
    assert not end.silent
    assert [(file.name, file.data) for file in end.files] == [("bobbyxl_v1.safetensors", b"lora" * 100)]
    await server.world.wait_for(lambda: "**Finished**" in training.card.text)
    assert training.card.silent


async def test_a_file_over_discords_limit_becomes_a_link_that_works(server, training, workshop):
    data = b"lora" * (FILE_LIMIT // 4 + 1)
    training.attempt.step(1)
    training.attempt.finish(80, data)
    end = await workshop.seen(training.thread, "is finished")
    assert end.files == []
    link = end.text.partition("](")[2].partition(")")[0]
    async with aiohttp.ClientSession() as session, session.get(link) as answer:
        assert await answer.read() == data


async def test_a_limit_lower_than_the_bot_believes_makes_it_a_link_too(server, training, workshop):
    server.world.file_limit = 1000
    training.attempt.step(1)
    training.attempt.finish(80, bytes(2000))
    end = await workshop.seen(training.thread, "is finished")
    assert end.files == []
    assert "](http" in end.text
    assert "40005" in server.world.violations.pop()
    assert server.world.violations == []


async def test_429_is_waited_out_and_502_tried_again_each_post_once(server, training, workshop):
    limited = server.faults.rate_limit("PATCH", ONE_MESSAGE, times=2)
    training.attempt.step(1)
    await server.world.wait_for(lambda: "step 1/" in training.card.text)
    assert limited.spent
    broken = server.faults.fail("POST", MESSAGES, status=502)
    training.attempt.sample(5)
    await workshop.seen(training.thread, "Epoch 5 of 80")
    assert broken.spent
    training.attempt.finish(80, b"lora")
    await workshop.seen(training.thread, "is finished")
    assert count(training, "Epoch 5 of 80") == 1


@pytest.mark.parametrize("weather", ["response-lost", "502-after-acceptance"])
async def test_what_discord_accepted_without_saying_so_is_not_posted_twice(server, bot, training, weather):
    """Of a lost response the bot learns, and looks for its marker in the history; after a 502 discord.py itself sends
    the same nonce again, and Discord drops it."""
    if weather == "response-lost":
        server.world.nonce_seconds = 0.0
        broken = server.faults.lose_response("POST", MESSAGES, times=2)
    else:
        broken = server.faults.fail("POST", MESSAGES, status=502, times=2, accepted=True)
    training.attempt.step(1)
    training.attempt.sample(5)
    training.attempt.finish(80, b"lora")
    await all_sent(bot, training)
    assert broken.spent
    assert count(training, "Epoch 5 of 80") == 1
    assert count(training, "is finished") == 1


async def test_a_lost_card_is_found_again_not_posted_twice(server, bot, alice, workshop, trainer):
    server.world.nonce_seconds = 0.0
    lost = server.faults.lose_response("POST", MESSAGES, times=2)
    _, card = await workshop.create_dataset(alice)
    assert lost.hits
    server.faults.clear()
    await workshop.hand_over(alice, card, jpegs(1))
    await server.world.wait_for(lambda: "**1 picture**" in card.text)
    cards = [m for m in card.channel.messages.values() if "Trigger word" in m.text]
    assert cards == [card]


async def test_the_gateway_cut_in_mid_job_loses_neither_progress_nor_presses(server, alice, training):
    for cut in (server.gateway.drop, server.gateway.close, server.gateway.ask_reconnect):
        resumes = server.gateway.sessions[0].resumes
        await cut()
        training.attempt.step(resumes + 1)
        await server.world.wait_for(lambda n=resumes: f"step {n + 1}/" in training.card.text)
        await server.world.wait_for(lambda n=resumes: server.gateway.sessions[0].resumes == n + 1)
    assert server.gateway.identifies == 1
    await alice.click(training.card, "Refresh")
    question = await alice.click(training.card, "Stop")
    await alice.click(question.original, "Stop it")
    await server.world.wait_for(lambda: training.attempt.channel.desired().wish == "stop")


async def test_a_session_that_cannot_be_resumed_is_begun_anew(server, alice, training):
    await server.gateway.invalidate()
    await server.world.wait_for(lambda: server.gateway.identifies == 2 and server.gateway.connected)
    training.attempt.step(1)
    await server.world.wait_for(lambda: "step 1/" in training.card.text)
    refreshed = await alice.click(training.card, "Refresh")
    assert refreshed.original is training.card
    assert server.world.command_syncs == 1


async def test_a_thread_deleted_in_mid_job_costs_few_calls_and_no_file(server, bot, training):
    thread = f"/channels/{training.thread.id}"
    threads.delete_channel(server.world, training.thread)
    before = len(server.calls)
    for step in range(1, 6):
        training.attempt.step(step)
    training.attempt.finish(80, b"lora")
    await server.world.wait_for(bot.config.paths.loras.joinpath("bobbyxl_v1.safetensors").exists)
    await server.world.wait_for(lambda: any(c.path == f"{thread}/messages" for c in server.calls[before:]))
    assert len(server.calls) - before < 20


async def test_an_archived_thread_is_woken_for_an_edit(server, training):
    threads.set_archived(server.world, training.thread, archived=True)
    training.attempt.step(1)
    await server.world.wait_for(lambda: "step 1/" in training.card.text)
    assert not training.thread.archived


async def test_a_deleted_card_comes_back(server, training, workshop):
    messages.delete(server.world, training.card)
    training.attempt.step(1)
    card = await workshop.seen(training.thread, "step 1/")
    assert card.id != training.card.id
    assert with_control(training.thread, "Stop") is card


async def test_buttons_and_job_go_on_with_a_new_bot(server, config, alice, workshop, trainer):
    async with running_bot(server, config):
        _, card = await workshop.create_dataset(alice)
        await workshop.hand_over(alice, card, jpegs(1, 2))
        training = await workshop.start_training(alice, card, trainer)
        training.attempt.step(1)
        await server.world.wait_for(lambda: "step 1/" in training.card.text)
    training.attempt.step(2)
    training.attempt.sample(5)
    async with running_bot(server, config):
        await server.world.wait_for(lambda: "step 2/" in training.card.text)
        await workshop.seen(training.thread, "Epoch 5 of 80")
        refreshed = await alice.click(training.card, "Refresh")
        assert refreshed.original is training.card
        training.attempt.finish(80, b"lora")
        await workshop.seen(training.thread, "is finished")
    assert count(training, "Epoch 5 of 80") == 1
    assert sum("v1:job:" in str(m.components) for m in training.thread.messages.values()) == 1


async def test_one_slow_edit_holds_up_no_other_card(server, alice, training, workshop):
    other = await workshop.create_dataset(alice, "Rex")
    held = server.faults.hold("PATCH", f"/channels/{other[0].id}/messages/*")
    await workshop.hand_over(alice, other[1], jpegs(3))
    await server.world.wait_for(lambda: held.spent, what="the edit that is held")
    training.attempt.step(1)
    await server.world.wait_for(lambda: "step 1/" in training.card.text)
    held.gate.set()
    await server.world.wait_for(lambda: "**1 picture**" in other[1].text)
