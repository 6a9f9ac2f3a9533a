"""`python -m bot demo`: the real bot in simcord, a scene, and a page on which it can be read and used."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from simcord.builders import ChannelHandle
from tqdm import tqdm

from bot.app import Lorelei
from bot.demo.harness import live
from bot.demo.page import open_page, show
from bot.demo.scene import Played, Scene, SceneError
from bot.demo.stage import Stage, set_stage
from bot.demo.transcript import write_transcript
from bot.runners.embedded import stop_embedded
from bot.store.rows import Job
from trainer.contract.folder import JobFolder
from trainer.contract.inbox import Inbox

Say = Callable[[str], None]


@dataclass(slots=True)
class Bar:
    """The terminal's progress bar while a job trains."""

    _bar: tqdm[None] | None = field(default=None, repr=False)

    def update(self, job: Job) -> None:
        """Show what the job's card shows."""
        shown = job.shown
        if not shown.get("step"):
            return
        if self._bar is None:
            self._bar = tqdm(total=int(shown["steps"]), desc=f"  training {job.name}", unit="step", leave=True)
        epoch = f"epoch {shown.get('epoch')}/{shown.get('epochs')}, loss {shown.get('loss', 0):.4f}"
        self._bar.set_postfix_str(epoch, refresh=False)
        self._bar.update(int(shown["step"]) - self._bar.n)

    def close(self) -> None:
        """End the line."""
        if self._bar is not None:
            self._bar.close()


async def demo(out: Path, *, once: bool, port: int, say: Say) -> None:
    """Play the scene into `out`; without `once` the page stays open until it is ended or Ctrl-C.

    Raises LoreleiError when the models cannot be made or the scene gets stuck.
    """
    task = asyncio.current_task()
    assert task is not None  # inside a coroutine there always is one
    with contextlib.suppress(NotImplementedError):  # elsewhere than on Unix
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    say(f"setting the stage in {out}/ …")
    stage = await set_stage(out)
    bot = Lorelei(stage.config())
    try:
        async with live(bot) as env, AsyncExitStack() as stack:
            bar = Bar()
            scene = Scene(env, bot, stage, say)
            turn: Callable[[ChannelHandle], None] = lambda _thread: None  # noqa: E731
            preview = None
            if not once:
                preview = await stack.enter_async_context(open_page(env, scene.lobby, scene.member, port))
                turn = lambda thread: show(preview, thread)  # noqa: E731
                say(f"watch it here: {preview.url}")
            try:
                played = await scene.play(turn, bar.update)
            finally:
                bar.close()
            await _keep(stage, played)
            _tell(stage, played, say)
            if preview is not None:
                say(f"\nthe page stays open; write, upload, press buttons (Ctrl-C ends it): {preview.url}")
                with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C, SIGTERM: what the last line asked for
                    await preview.wait_closed()
    finally:  # the embedded trainer outlives a bot by design; the demo's own must not outlive the demo
        for service in stage.config().training.services:
            await stop_embedded(Inbox(stage.config().paths.inboxes / service))


async def _keep(stage: Stage, played: Played) -> None:
    """Put what a reader wants to see at the top of the demo's folder."""
    job = played.job
    if job.state != "finished":
        raise SceneError(f"the demo's training ended as {job.state}: {job.error}")
    channels = [(str(channel.name), channel.history()) for channel in (played.lobby, played.thread)]
    await write_transcript(stage.out / "transcript.html", channels)
    config = stage.config()
    shutil.copy2(config.paths.loras / job.lora_file, stage.out / job.lora_file)
    shutil.copytree(config.paths.jobs / job.id, stage.out / "job", ignore=shutil.ignore_patterns("work"))
    samples = JobFolder(config.paths.jobs / job.id).attempt(job.attempt) / "samples"
    (stage.out / "samples").mkdir()
    for grid in sorted(samples.glob("*grid*")):
        shutil.copy2(grid, stage.out / "samples" / grid.name)


def _tell(stage: Stage, played: Played, say: Say) -> None:
    job = played.job
    link = next(
        (
            found[0]
            for message in reversed(played.thread.history())
            if (found := re.search(r"https?://\S+", message.content))
        ),
        None,
    )
    say(f"\n{job.name} is finished: {stage.out / job.lora_file} ({job.lora_bytes / 1e6:.1f} MB)")
    if link:
        say(f"  the link mira got: {link}")
    say(f"  sample grids: {stage.out / 'samples'}\n  job folder:   {stage.out / 'job'}")
    say(f"  conversation: {stage.out / 'transcript.html'}")
