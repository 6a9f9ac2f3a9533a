"""The real bot against the loopback Discord, and what a member does with it first."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.app import Lorelei
from bot.config import Config, IntakeConfig, PathsConfig, ProgressConfig, TaggerConfig, TrainingConfig, WebConfig
from tests.wire.actors import Actor
from tests.wire.discord_server import DiscordServer
from tests.wire.messages import Upload
from tests.wire.scripted_trainer import ScriptedAttempt, ScriptedTrainer
from tests.wire.world import Channel, Message


def wire_config(data: Path, tagger: Path) -> Config:
    """A host's settings with small limits, quick loops, and everything under `data`."""
    training = {"sample_count": 1, "checkpoint_every_epochs": 5}
    return dataclasses.replace(
        Config(),
        paths=PathsConfig(data=data),
        intake=IntakeConfig(message_content=True, min_side=64, max_pictures=12),
        tagger=TaggerConfig(model=str(tagger), threads=1),
        training=TrainingConfig(base="tiny", overrides=training),
        web=WebConfig(port=0),
        progress=ProgressConfig(edit_seconds=0.05, poll_seconds=0.05),
    )


@asynccontextmanager
async def running_bot(server: DiscordServer, config: Config) -> AsyncIterator[Lorelei]:
    """The bot, connected and ready; closed at the end, and what it raised is raised here."""
    bot = Lorelei(config)
    # Ready as soon as the one guild is there; two seconds of waiting for more would be spent in every test.
    bot._connection.guild_ready_timeout = 0.05
    running = asyncio.create_task(bot.start(server.world.token))
    await server.world.wait_for(lambda: bot.is_ready() or running.done(), what="the bot to be ready")
    try:
        if running.done():
            await running
        yield bot
    finally:
        await bot.close()
        await running


@dataclasses.dataclass(frozen=True)
class Training:
    """A job under way: its thread, its card, and the trainer's side of it."""

    thread: Channel
    card: Message
    attempt: ScriptedAttempt


class Workshop:
    """What members do again and again, with the waits that a person's eyes do."""

    def __init__(self, server: DiscordServer) -> None:
        self._server = server
        self._world = server.world

    async def create_dataset(self, owner: Actor, name: str = "Bobby", kind: str = "object") -> tuple[Channel, Message]:
        """The dataset's thread and its card."""
        before = set(self._world.channels)
        await owner.slash("dataset create", name=name, trigger=f"{name.lower()}xl", class_word="dog", kind=kind)
        thread = await self._world.wait_for(
            lambda: next((c for c in self._world.threads if c.id not in before), None), what="the dataset's thread"
        )
        return thread, await self.card(thread, "Add pictures")

    async def card(self, thread: Channel, control: str) -> Message:
        """The newest message of the thread with this button."""
        return await self._world.wait_for(lambda: with_control(thread, control), what=f"a card with {control!r}")

    async def hand_over(self, owner: Actor, card: Message, files: list[Upload]) -> Message:
        """Pictures through the modal of the dataset's card; returns the batch's card."""
        before = len(card.channel.messages)
        opened = await owner.click(card, "Add pictures")
        await owner.submit(opened, {"pictures": files})
        await self._world.wait_for(lambda: len(card.channel.messages) > before, what="the batch's card")
        return await self.card(card.channel, "Edit")

    async def start_training(self, owner: Actor, card: Message, trainer: ScriptedTrainer) -> Training:
        """Train and Start pressed, the attempt claimed, the job's card there."""
        plan = await owner.click(card, "Train")
        assert plan.original is not None
        await owner.click(plan.original, "Start")
        attempt = await trainer.claim()
        job_card = await self.card(card.channel, "Stop")
        return Training(card.channel, job_card, attempt)

    async def seen(self, channel: Channel, text: str) -> Message:
        """The newest message of the channel with this text, once it is there."""
        return await self._world.wait_for(
            lambda: next((m for m in reversed(list(channel.messages.values())) if text in m.text), None),
            what=f"{text!r} in {channel.name}",
        )


def with_control(channel: Channel, control: str) -> Message | None:
    """The channel's newest message with a button of this label."""
    for message in reversed(list(channel.messages.values())):
        if any(part.get("label") == control for part in message.walk()):
            return message
    return None
