"""What the demo plays with: a fresh data folder, a small base model, a small tagger, pictures of a subject."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from bot.config import (
    Config,
    IntakeConfig,
    PathsConfig,
    ProgressConfig,
    TaggerConfig,
    TrainingConfig,
    WebConfig,
)
from bot.errors import LoreleiError

TRAINING = {
    "resolution": 128,
    "bucket_step": 32,
    "batch_size": 4,
    "epochs": 20,
    "checkpoint_every_epochs": 5,
    "rank": 16,
    "alpha": 16.0,
    "learning_rate": 2e-3,
    "sample_steps": 20,
    "sample_guidance": 4.0,
}
"""The demo's `[training] overrides`: what fits a small base model and a few minutes of CPU time."""


class StageError(LoreleiError):
    """The demo's models or pictures could not be made."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything of one demo lies."""

    out: Path

    @property
    def props(self) -> Path:
        """Base model, tagger and pictures."""
        return self.out / "props"

    @property
    def data(self) -> Path:
        """The bot's data folder."""
        return self.out / "data"

    def pictures(self) -> list[tuple[str, bytes]]:
        """The subject's pictures as (file name, bytes)."""
        return [(path.name, path.read_bytes()) for path in sorted((self.props / "pictures").iterdir())]

    def config(self) -> Config:
        """The settings a host would write, for this stage; message content on, as the thread's posts need it."""
        return Config(
            paths=PathsConfig(data=self.data),
            intake=IntakeConfig(message_content=True),
            tagger=TaggerConfig(model=str(self.props / "tagger")),
            training=TrainingConfig(
                base=str(self.props / "base"), overrides=TRAINING, embedded_trainer=True, device="cpu"
            ),
            web=WebConfig(port=0),
            progress=ProgressConfig(edit_seconds=2.0, poll_seconds=0.5),
        )


async def set_stage(out: Path) -> Stage:
    """Empty `out` and have the trainer's side make the props; raises StageError with the maker's last words."""
    stage = Stage(out.resolve())
    if stage.out.exists() and not (stage.out / ".lorelei-demo").exists() and any(stage.out.iterdir()):
        raise StageError(f"{out} is not empty and not from an earlier demo; name another folder with --out")
    shutil.rmtree(stage.out, ignore_errors=True)
    stage.props.mkdir(parents=True)
    (stage.out / ".lorelei-demo").touch()
    maker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trainer.toy.stage", str(stage.props)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    words, _ = await maker.communicate()
    if maker.returncode:
        last = words.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise StageError(f"the demo's models could not be made: {' '.join(last) or maker.returncode}")
    return stage
