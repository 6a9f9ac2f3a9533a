"""kill -9 of the real bot in mid-training: the job goes on, the card goes on, nothing is said twice."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.bot_process import BotProcess
from tests.trainer.conftest import tiny_sdxl, tiny_tagger  # noqa: F401 - fixtures
from tests.wire.actors import Actor
from tests.wire.discord_server import DiscordServer, running_server
from tests.wire.lorelei import Workshop
from tests.wire.test_bot_datasets import jpegs
from tests.wire.world import Channel

LONG = 300.0
"""Seconds for what takes some on a quiet machine: a trainer starts and trains beside other tests."""
GRIDS = tuple(f"Epoch {epoch} of 20" for epoch in (5, 10, 15, 20))


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    """Discord, which is there before, between and after the bots."""
    async with running_server() as server:
        server.world.ack_seconds = 10.0  # processes start and train beside each other on two cores
        yield server
        assert server.world.violations == []


@pytest.fixture
async def bot(server: DiscordServer, tmp_path: Path, tiny_sdxl: Path, tiny_tagger: Path) -> AsyncIterator[BotProcess]:  # noqa: F811
    """The bot's process, running; whatever is left of it and its trainer is ended."""
    bot = BotProcess(server, tmp_path, base=tiny_sdxl, tagger=tiny_tagger)
    await bot.start()
    yield bot
    await bot.stop()
    await bot.end_trainer()


def posts(thread: Channel, text: str) -> int:
    return sum(text in message.text for message in thread.messages.values())


async def test_a_bot_killed_in_mid_training_goes_on_and_repeats_nothing(server, bot):
    """It dies right after Discord took the first samples, before it could hear so; Discord forgets its nonce."""
    world, alice, workshop = server.world, Actor(server, "alice"), Workshop(server)
    _, dataset_card = await workshop.create_dataset(alice)
    await workshop.hand_over(alice, dataset_card, jpegs(1, 2, 3))
    plan = await alice.click(dataset_card, "Train")
    lost = server.faults.lose_response(
        "POST", "/channels/*/messages", when=lambda call: "Epoch 5 " in str(call.body.get("content"))
    )
    await alice.click(plan.original, "Start")
    card = await workshop.card(dataset_card.channel, "Stop")
    await world.wait_for(lambda: lost.spent, LONG, "the first samples")
    await bot.kill()
    world.nonce_seconds = 0.0

    killed_at = bot.step()
    await world.wait_for(lambda: bot.step() > killed_at, LONG, "training to go on without the bot")
    os.kill(bot.trainer_pid(), signal.SIGSTOP)
    try:
        await bot.start()
        await world.wait_for(lambda: f"step {bot.step()}/" in card.text, LONG, "the card to catch up")
        assert "**Training**" in card.text
    finally:
        os.kill(bot.trainer_pid(), signal.SIGCONT)

    end = await world.wait_for(lambda: _message(card.channel, "is finished"), LONG, "the end")
    await world.wait_for(lambda: "**Finished**" in card.text, LONG, "the card's end")
    assert bot.attempts() == [1], "the trainer was never interrupted"
    assert [posts(card.channel, text) for text in (*GRIDS, "is finished")] == [1] * 5
    assert sum("v1:job:" in str(m.components) for m in card.channel.messages.values()) == 1, "one card all along"
    assert end.files[0].name == "bobbyxl_v1.safetensors"
    assert world.command_syncs == 1
    refreshed = await alice.click(card, "Refresh")
    assert refreshed.original is card, "buttons of the dead bot work with the new one"
    assert await bot.stop() == 0, bot.log


def _message(channel: Channel, text: str):
    return next((message for message in channel.messages.values() if text in message.text), None)
