"""The whole of Services over a data folder, with a clock, a Discord and a trainer that do what a test says."""

import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from bot.config import Config, PathsConfig, TrainingConfig, WebConfig
from bot.errors import MessageGone, PostRefused, PostUnclear
from bot.services.all import Services
from bot.services.posting.messages import Drawing, Outgoing
from bot.store.datasets import NewDataset, insert_dataset, set_thread
from bot.store.jobs import get_job
from bot.store.pictures import NewPicture, insert_batch, insert_picture
from bot.store.rows import Dataset, Job
from tests.wire.scripted_trainer import ScriptedAttempt
from trainer.contract.channel import Desired
from trainer.contract.events import Failed, Finished, Heartbeat, Paused, Resumed, State
from trainer.contract.inbox import Inbox, ServiceInfo

OWNER, OTHER = 110000000000000011, 110000000000000022
GUILD, CHANNEL = 770000000000000077, 880000000000000088
START = 1_790_000_000.0


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Message:
    """A message in the fake Discord."""

    id: int
    channel_id: int
    content: str = ""
    file: str = ""
    alt: str = ""
    mention: int | None = None
    silent: bool = False
    at: float = 0.0
    card: Drawing | None = None
    edits: int = 0

    @property
    def text(self) -> str:
        """Everything a card says, or the content."""
        if self.card is None:
            return self.content
        return "\n".join(item.content for item in self.card.view.walk_children() if hasattr(item, "content"))

    @property
    def buttons(self) -> list[str]:
        """Custom ids of a card's buttons."""
        return [item.custom_id for item in self.card.view.walk_children() if getattr(item, "custom_id", None)]


@dataclass
class FakeDiscord:
    """A Poster that can lose answers, fail and refuse; messages outlive every restart of the bot."""

    clock: Clock
    messages: dict[int, Message] = field(default_factory=dict)
    nonces: dict[str, int] = field(default_factory=dict)
    last_id: int = 1000
    lose: int = 0
    """So many next sends arrive, but the answer does not."""
    fail: int = 0
    """So many next calls fail before they arrive."""
    refuse: set[int] = field(default_factory=set)
    """Channels that refuse everything."""
    limit: int = 10 * 1024 * 1024
    dedupe: bool = False
    """Discord's enforce_nonce: only for a few minutes, so most tests go without it."""

    async def send(self, channel_id: int, message: Outgoing) -> int:
        file = message.file
        return self._arrive(
            channel_id,
            message.nonce,
            content=message.content,
            file=file.name if file else "",
            alt=file.description if file else "",
            mention=message.mention,
            silent=message.silent,
        )

    async def show(self, channel_id: int, drawing: Drawing, nonce: str) -> int:
        return self._arrive(channel_id, nonce, card=drawing, silent=True)

    async def edit(self, channel_id: int, message_id: int, drawing: Drawing) -> None:
        self._check(channel_id)
        if message_id not in self.messages:
            raise MessageGone("it was deleted")
        self.messages[message_id].card = drawing
        self.messages[message_id].edits += 1

    async def delete(self, channel_id: int, message_id: int) -> None:
        self._check(channel_id)
        self.messages.pop(message_id, None)

    async def find(self, channel_id: int, marker: str, after: float) -> int | None:
        self._check(channel_id)
        for message in reversed(self.messages.values()):
            told = [message.content, message.file, *(message.buttons if message.card else [])]
            if message.channel_id == channel_id and message.at >= after and any(marker in text for text in told):
                return message.id
        return None

    async def upload_limit(self, guild_id: int) -> int:
        return self.limit

    def posts(self) -> list[Message]:
        """Plain messages, oldest first."""
        return [message for message in self.messages.values() if message.card is None]

    def cards(self) -> list[Message]:
        """Cards, oldest first."""
        return [message for message in self.messages.values() if message.card is not None]

    def _check(self, channel_id: int) -> None:
        if channel_id in self.refuse:
            raise PostRefused("Missing Access")
        if self.fail:
            self.fail -= 1
            raise PostUnclear("no answer")

    def _arrive(self, channel_id: int, nonce: str, **values: object) -> int:
        self._check(channel_id)
        assert len(nonce) <= 25, "Discord refuses longer nonces"
        if self.dedupe and nonce in self.nonces:
            return self.nonces[nonce]
        self.last_id += 1
        message = Message(self.last_id, channel_id, at=self.clock(), **values)
        self.messages[message.id] = message
        self.nonces[nonce] = message.id
        if self.lose:
            self.lose -= 1
            raise PostUnclear("the connection was lost")
        return message.id


class Attempt(ScriptedAttempt):
    """One attempt, told event by event."""

    def wish(self) -> Desired:
        """What the bot wants now."""
        return self.channel.desired()

    def state(self, step: int) -> None:
        """A resume state."""
        self.channel.append(State(epoch=step, step=step))

    def resumed(self, step: int) -> None:
        """Going on from an earlier attempt."""
        self.channel.append(Resumed(epoch=step, step=step, from_attempt=self.channel.attempt - 1))

    def heartbeat(self) -> None:
        """Still alive."""
        self.channel.append(Heartbeat())

    def pause(self, reason: str, step: int = 0) -> None:
        """Ended with a state."""
        self._end(Paused(reason=reason, step=step, message="paused"))

    def fail(self, *, retry: bool, message: str = "It broke. Try again.") -> None:
        """Ended in an error."""
        self._end(Failed(code="crashed" if retry else "bad-picture", message=message, retry=retry))

    def stopped(self, step: int = 0, data: bytes = b"") -> None:
        """Ended by request, with what was trained so far."""
        name = f"lora/epoch-{step:03}.safetensors" if data else ""
        if data:
            self._keep(name, data)
        self._end(
            Finished(
                reason="stopped",
                epoch=step,
                step=step,
                file=name,
                sha256=hashlib.sha256(data).hexdigest() if data else "",
                bytes=len(data),
                training_seconds=1.0,
            )
        )

    def _end(self, body: Paused | Failed | Finished) -> None:
        self.channel.append(body)
        self._inbox.release(self._assignment)


class Service:
    """A trainer service: holds its lock until it dies."""

    def __init__(self, folder: Path) -> None:
        self.inbox = Inbox(folder)
        self._life = contextlib.ExitStack()
        self.start()

    def start(self) -> None:
        """Begin to serve."""
        self._life.enter_context(self.inbox.serve())
        self.inbox.announce(ServiceInfo(os.getpid(), "cpu", "scripted", 0, "1", START, ""))

    def die(self) -> None:
        """The lock is free; what was claimed stays claimed."""
        self._life.close()

    def claim(self) -> Attempt:
        """Begin with what the bot has assigned."""
        (assignment,) = self.inbox.waiting()
        assert self.inbox.claim(assignment)
        return Attempt(self.inbox, assignment)


class Lab:
    """A bot's data folder with everything around it; `restart` is a new bot over the same folder."""

    def __init__(self, root: Path, services: tuple[str, ...] = ("gpu0",)) -> None:
        self.clock = Clock()
        self.discord = FakeDiscord(self.clock)
        self.config = Config(
            paths=PathsConfig(data=root / "data"),
            training=TrainingConfig(services=services, overrides={"epochs": 10, "checkpoint_every_epochs": 5}),
            web=WebConfig(port=0),
        )
        self.services: Services = None
        self._trainers: list[Service] = []

    async def open(self) -> Services:
        """Start the bot (without its loops: a test turns them)."""
        self.services = await Services.open(self.config, None, self.clock, self.discord)
        return self.services

    async def restart(self) -> Services:
        """End the bot as a crash would, and start a new one."""
        await self.services.web.close()
        await self.services.store.close()
        return await self.open()

    async def close(self) -> None:
        """End everything."""
        for trainer in self._trainers:
            trainer.die()
        await self.services.close()

    def serve(self, name: str = "gpu0") -> Service:
        """Start a trainer service."""
        trainer = Service(self.config.paths.inboxes / name)
        self._trainers.append(trainer)
        return trainer

    async def dataset(self, trigger: str = "lisaxl", owner: int = OWNER, pictures: int = 6) -> Dataset:
        """A dataset with pictures and captions, ready to train; its thread is its id + 500."""
        folder = self.config.paths.pictures
        folder.mkdir(parents=True, exist_ok=True)
        new = NewDataset(
            guild_id=GUILD,
            channel_id=CHANNEL,
            owner_id=owner,
            name=f"{trigger} of {owner}",
            trigger=trigger,
            class_word="woman",
            kind="person",
        )
        async with self.services.store.transaction() as tx:
            made = await insert_dataset(tx, new, "open", self.clock())
            await set_thread(tx, made.id, 500 + made.id)
            batch = await insert_batch(tx, made.id, owner, self.clock(), "message:1")
            for number in range(pictures):
                data = f"{trigger} {owner} {number}".encode()
                file = f"{hashlib.sha256(data).hexdigest()}.png"
                (folder / file).write_bytes(data)
                caption = f"{trigger}, woman, tag{number}"
                await insert_picture(tx, batch, NewPicture(file, file[:64], f"{number}.png", 512, 512, caption, ()))
            await tx.execute("UPDATE picture SET tagged = 1")
        return made

    async def submit(self, trigger: str = "lisaxl", owner: int = OWNER, **more: object) -> Job:
        """Make a dataset and start its training."""
        dataset = await self.dataset(trigger, owner)
        return await self.services.jobs.training.submit(dataset.id, owner, **more)

    async def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, then one pass of every loop."""
        self.clock.now += seconds
        await self.services.jobs.dispatch.round()
        await self.services.outbox.send_due()
        await self.services.cards.draw_due()

    async def next_attempt(self, trainer: Service) -> Attempt:
        """Turn until the trainer has something to begin with, past the wait after a loss."""
        await self.turn()
        await self.turn(60)
        return trainer.claim()

    async def job(self, job_id: str) -> Job:
        """The job's row now."""
        async with self.services.store.transaction() as tx:
            found = await get_job(tx, job_id)
        assert found is not None
        return found

    def posted(self, words: str) -> list[Message]:
        """Posts whose content holds these words."""
        return [message for message in self.discord.posts() if words in message.content]
