"""A trainer service whose every event the test decides: the contract's own inbox and channel, without torch."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bot.conftest import make_picture
from trainer.contract.directory import DirectoryChannel
from trainer.contract.events import Checkpoint, Claimed, Finished, Preparing, Sample, Step
from trainer.contract.inbox import Assignment, Inbox, ServiceInfo
from trainer.contract.spec import JobSpec


class ScriptedAttempt:
    """One attempt, claimed; the methods tell the bot what a real trainer would."""

    def __init__(self, inbox: Inbox, assignment: Assignment) -> None:
        self._inbox = inbox
        self._assignment = assignment
        self.channel = DirectoryChannel(assignment.folder, assignment.attempt)
        self.spec: JobSpec = self.channel.spec()
        self.channel.append(Claimed(service="gpu0", pid=os.getpid(), device="cpu", version="1"))
        self.channel.append(Preparing(doing="loading the base model"))

    def step(self, step: int, epoch: int = 1, loss: float = 0.1) -> None:
        """Progress after an optimizer step."""
        config = self.spec.config
        self.channel.append(
            Step(
                epoch=epoch,
                epochs=config.epochs,
                step=step,
                steps=config.epochs,
                loss=loss,
                smoothed_loss=loss,
                learning_rate=config.learning_rate,
                seconds_per_step=1.0,
                images_per_second=1.0,
                vram_bytes=0,
                eta_seconds=float(config.epochs - step),
            )
        )

    def sample(self, epoch: int) -> None:
        """A sample grid."""
        name = f"samples/epoch-{epoch:03}.jpg"
        self._keep(name, make_picture((64, 64), seed=epoch))
        self.channel.append(Sample(epoch=epoch, step=epoch, files=(name,), grid=name, prompts=self.spec.sample_prompts))

    def finish(self, epoch: int, data: bytes, message: str = "") -> None:
        """The last LoRA file, its events, and the assignment given back."""
        name = f"lora/epoch-{epoch:03}.safetensors"
        self._keep(name, data)
        sha256 = hashlib.sha256(data).hexdigest()
        self.channel.append(Checkpoint(epoch=epoch, step=epoch, file=name, sha256=sha256, bytes=len(data)))
        self.channel.append(
            Finished(
                reason="complete",
                epoch=epoch,
                step=epoch,
                file=name,
                sha256=sha256,
                bytes=len(data),
                training_seconds=1.0,
                message=message,
            )
        )
        self._inbox.release(self._assignment)

    def _keep(self, name: str, data: bytes) -> None:
        source = self.channel.workspace / Path(name).name
        source.write_bytes(data)
        self.channel.put_file(name, source)


class ScriptedTrainer:
    """Serves one inbox."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def claim(self, timeout: float = 30.0) -> ScriptedAttempt:
        """The next assignment, once the bot has made one."""
        deadline = time.monotonic() + timeout
        while not (waiting := self._inbox.waiting()):
            assert time.monotonic() < deadline, "the bot assigned nothing"
            await asyncio.sleep(0.02)
        assert self._inbox.claim(waiting[0])
        return ScriptedAttempt(self._inbox, waiting[0])


@asynccontextmanager
async def serving(inbox_folder: Path) -> AsyncIterator[ScriptedTrainer]:
    """Hold the service's lock, so that the bot sees it running."""
    inbox = Inbox(inbox_folder)
    with inbox.serve():
        inbox.announce(ServiceInfo(os.getpid(), "cpu", "scripted", 0, "1", time.time(), ""))
        yield ScriptedTrainer(inbox)
