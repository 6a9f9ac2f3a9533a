"""How long a job's files take to write, tried out by the real keeper in a job folder of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from PIL import Image

from trainer.contract.config import TrainConfig
from trainer.contract.directory import DirectoryChannel
from trainer.contract.folder import JobFolder
from trainer.contract.spec import JobSpec, PictureSpec
from trainer.formats.metadata import TrainingProgress
from trainer.model.base import BaseModel
from trainer.sampling.grid import grid, save_webp
from trainer.seeing.history import History, Point
from trainer.seeing.viewer import Viewer
from trainer.training.background import Background
from trainer.training.keeper import Keeper
from trainer.training.learner import Learner
from trainer.training.report import Reporter
from trainer.training.state import Position

_PROMPT = "trigger"


def try_writing(base: BaseModel, learner: Learner, config: TrainConfig, picture: Path) -> tuple[float, float]:
    """Seconds that a LoRA file and a resume state of the learner take, each with the loss plot drawn behind it.

    The learner has taken a step, so that its optimizer remembers something; `config` is its own. The job folder comes
    to lie beside `picture`, which is named by its sha256. Raises ChannelError, and what is no number NanLoss.
    """
    channel = _channel(picture)
    report = Reporter(channel)
    with Background(report) as background, closing(_viewer(channel, background)) as viewer:
        keeper = Keeper(
            channel=channel,
            report=report,
            background=background,
            spec=channel.spec(),
            base=base,
            learner=learner,
            viewer=viewer,
            progress=_progress,
            state_step=0,
        )
        here = Position(step=1, started_at=0.0)

        def write_state() -> None:
            keeper.state(here, config)
            viewer.plot()

        file = _seconds(lambda: keeper.checkpoint("trial", 1, here, config), keeper)
        return file, _seconds(write_state, keeper)


def try_posting(picture: Path, count: int) -> float:
    """Seconds that the files of so many samples take, and the picture of all of them. Raises ChannelError."""
    with Image.open(picture) as opened:
        drawn = [opened.convert("RGB")] * count
    begun = time.perf_counter()
    for number, image in enumerate([*drawn, grid(drawn, [_PROMPT] * count)]):
        save_webp(picture.with_name(f"{number}.webp"), image)
    return time.perf_counter() - begun


def _seconds(ask: Callable[[], None], keeper: Keeper) -> float:
    """Until what is asked of the keeper is safe on disk."""
    begun = time.perf_counter()
    ask()
    keeper.finish()
    return time.perf_counter() - begun


def _channel(picture: Path) -> DirectoryChannel:
    """The first attempt of a job of this picture, beside it."""
    spec = JobSpec(
        job_id="trial",
        name="trial",
        base="stand-in",
        trigger=_PROMPT,
        class_word="",
        kind="object",
        pictures=(PictureSpec(file=picture.name, caption=_PROMPT),),
        config=TrainConfig(),
        preset="trial",
        sample_prompts=(_PROMPT,),
        created_at=0.0,
    )
    job = JobFolder.create(picture.parent, spec, lambda _: picture)
    job.open_attempt(1)
    return DirectoryChannel(job.path, 1)


def _viewer(channel: DirectoryChannel, background: Background) -> Viewer:
    """With something to draw."""
    point = Point(step=1, epoch=1, loss=0.1, smoothed=0.1, rates={}, images_per_second=1.0, vram_bytes=0, at=0.0)
    return Viewer(channel, "trial", History([point]), background)


def _progress(position: Position, _config: TrainConfig) -> TrainingProgress:
    return TrainingProgress(
        epoch=position.epoch, step=position.step, steps=1, batches_per_epoch=1, started_at=0.0, saved_at=0.0
    )
