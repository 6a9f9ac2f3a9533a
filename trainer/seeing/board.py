"""TensorBoard: `tensorboard --logdir JOB_FOLDER/attempts` shows every attempt as a run.

The records are tensorboardX's, but not its SummaryWriter: that hands them to a thread over a queue of ten, and once the
thread has died of a full disk, the training waits for room in the queue for ever. Here an error is raised where it
happens.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

from trainer.seeing.history import History, Mark, Point

FLUSH_SECONDS = 10.0
"""What was written is on disk this much later at most; each flush waits for the disk (fsync)."""
QUALITY = 90
"""Of the JPEG samples; TensorBoard keeps every one, and PNG would be ten times as large."""


class Board:
    """The event file of one attempt; every method raises OSError when the disk refuses."""

    def __init__(self, folder: Path, history: History) -> None:
        """Begin a file with what the run has shown so far.

        The session's start purges whatever an earlier process wrote into the same folder: all of it is in the history
        up to the state gone on from, and the rest did not happen.
        """
        now = time.time()
        self._writer = RecordWriter(str(folder / f"events.out.tfevents.{now:.6f}"))
        self._flushed_at = time.monotonic()
        self._write(Event(wall_time=now, file_version="brain.Event:2"))
        self._write(Event(step=0, wall_time=now, session_log=SessionLog(status=SessionLog.START)))
        for point in history.points:
            self.point(point)
        for mark in history.validations:
            self.validation(mark, now)
        self.flush()

    def point(self, point: Point) -> None:
        """A reported step."""
        self._scalar("loss/step", point.loss, point.step, point.at)
        self._scalar("loss/smoothed", point.smoothed, point.step, point.at)
        for group, rate in point.rates.items():
            self._scalar(f"learning rate/{group}", rate, point.step, point.at)
        self._scalar("speed/images per second", point.images_per_second, point.step, point.at)
        self._scalar("memory/GB", point.vram_bytes / 1e9, point.step, point.at)
        if time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()

    def validation(self, mark: Mark, at: float) -> None:
        """The loss on the pictures held back."""
        if mark.loss is not None:
            self._scalar("loss/validation", mark.loss, mark.step, at)

    def samples(self, pictures: Sequence[Image.Image], step: int) -> None:
        """Pictures drawn now, each under its number, so that TensorBoard's slider goes through the epochs."""
        for number, picture in enumerate(pictures, start=1):
            data = io.BytesIO()
            picture.convert("RGB").save(data, "JPEG", quality=QUALITY)
            shown = Summary.Image(
                height=picture.height, width=picture.width, colorspace=3, encoded_image_string=data.getvalue()
            )
            self._value(Summary.Value(tag=f"sample/{number}", image=shown), step, time.time())
        self.flush()

    def flush(self) -> None:
        """All that was written is on disk."""
        self._writer.flush()
        self._flushed_at = time.monotonic()

    def close(self) -> None:
        """No more is written; what the disk refuses now is lost."""
        for end in (self._writer.flush, self._writer.close):
            with suppress(OSError):
                end()

    def _scalar(self, tag: str, value: float, step: int, at: float) -> None:
        self._value(Summary.Value(tag=tag, simple_value=value), step, at)

    def _value(self, value: Summary.Value, step: int, at: float) -> None:
        self._write(Event(step=step, wall_time=at, summary=Summary(value=[value])))

    def _write(self, event: Event) -> None:
        self._writer.write(event.SerializeToString())
