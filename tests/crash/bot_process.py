"""`python -m bot run` as a process of its own, on a loopback Discord; started, killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.wire.discord_server import DiscordServer
from trainer.contract.events import Claimed, Step
from trainer.contract.folder import JobFolder
from trainer.contract.inbox import Inbox

CONFIG = """
[paths]
data = "{data}"

[intake]
message_content = true
min_side = 64

[tagger]
model = "{tagger}"
threads = 1

[training]
base = "{base}"
embedded_trainer = true
device = "cpu"

[training.overrides]
epochs = 20
checkpoint_every_epochs = 5
resolution = 64
bucket_step = 32
rank = 2
alpha = 1.0
precision = "fp32"
sample_count = 1
sample_steps = 2

[web]
port = 0

[progress]
edit_seconds = 0.2
poll_seconds = 0.1
"""


class BotProcess:
    """The bot of one data folder, one process after the other."""

    def __init__(self, server: DiscordServer, folder: Path, *, base: Path, tagger: Path) -> None:
        self._server = server
        self._folder = folder
        self.data = folder / "data"
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG.format(data=self.data, tagger=tagger, base=base), "utf-8")
        self._process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> str:
        """What the bot's processes have said so far."""
        return (self._folder / "bot.log").read_text("utf-8")

    async def start(self) -> None:
        """Start it, and wait until Discord has it."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        secret = {"LORELEI_TOKEN": self._server.world.token, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = (sys.executable, "-m", "bot", "run", "--config", str(self.config))
        before = self._server.gateway.identifies
        with (self._folder / "bot.log").open("ab") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                *command, cwd=self._folder, env=kept | secret | self._server.environment, stdout=log, stderr=log
            )
        world, gateway = self._server.world, self._server.gateway
        await world.wait_for(
            lambda: process.returncode is not None or gateway.identifies > before, 180, "the bot to come online"
        )
        assert process.returncode is None, self.log

    async def kill(self) -> None:
        """kill -9, and wait until Discord has noticed."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        await self._server.world.wait_for(lambda: not self._server.gateway.connected, what="the connection to end")

    async def stop(self) -> int:
        """SIGTERM, as systemd does; returns the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()

    # --- what goes on beside it -------------------------------------------------------------------------------------
    @property
    def inbox(self) -> Inbox:
        """The embedded trainer's inbox."""
        return Inbox(self.data / "inboxes" / "gpu0")

    @property
    def job(self) -> JobFolder:
        """The one job there is."""
        (folder,) = (path for path in (self.data / "jobs").iterdir() if not path.name.startswith("."))
        return JobFolder(folder)

    def attempts(self) -> list[int]:
        """Attempts of the job so far."""
        return self.job.attempts()

    def step(self) -> int:
        """The last step the trainer has told of."""
        events, _ = self.job.read_events(1, 0)
        return max((event.body.step for event in events if isinstance(event.body, Step)), default=0)

    def trainer_pid(self) -> int:
        """The process that trains."""
        events, _ = self.job.read_events(1, 0)
        return next(event.body.pid for event in events if isinstance(event.body, Claimed))

    async def end_trainer(self) -> None:
        """End the embedded trainer service, which outlives the bot on purpose."""
        info = self.inbox.service()
        if info is not None and self.inbox.is_served():
            os.kill(info.pid, signal.SIGTERM)
            await self._server.world.wait_for(lambda: not self.inbox.is_served(), what="the trainer service to end")
