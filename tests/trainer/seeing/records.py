"""Histories made up, and TensorBoard's files read back without TensorBoard."""

import math
import struct
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog

from trainer.seeing.history import History, Mark, Point


def point(step, *, epoch=1, loss=0.2, smoothed=0.1, rates=None):
    return Point(step, epoch, loss, smoothed, {"unet": 1e-4} if rates is None else rates, 5.0, 10**9, 1000.0 + step)


def run(epochs=10, steps=10, validated=True, groups=("unet",)):
    """A history whose losses fall, with a checkpoint every fifth epoch."""
    history = History()
    for number in range(epochs * steps):
        step, epoch = number + 1, number // steps + 1
        falling = 0.1 + 0.1 * math.exp(-step / 30)
        rates = {group: 1e-4 / (place + 1) for place, group in enumerate(groups)}
        history.add(point(step, epoch=epoch, loss=falling * (1 + step % 3 / 3), smoothed=falling, rates=rates))
        if step % steps == 0 and validated:
            history.add_validation(Mark(step, epoch, falling + 0.01))
        if step % (5 * steps) == 0:
            history.add_checkpoint(Mark(step, epoch))
    return history


def records(data: bytes):
    """The events of one file; one that is cut short is left out, as TensorBoard does."""
    while len(data) >= 12:
        (length,) = struct.unpack("<Q", data[:8])
        if len(data) < 16 + length:
            return
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def shown(folder: Path) -> dict[str, dict[int, object]]:
    """Values by tag and step as TensorBoard shows them: a session's start purges everything from its step on.

    A step with two values is an error.
    """
    found: dict[str, dict[int, object]] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        for event in records(file.read_bytes()):
            if event.session_log.status == SessionLog.START:
                found = {tag: {s: v for s, v in steps.items() if s < event.step} for tag, steps in found.items()}
            for value in event.summary.value:
                steps = found.setdefault(value.tag, {})
                assert event.step not in steps, (value.tag, event.step)
                kind = value.WhichOneof("value")
                steps[event.step] = value.simple_value if kind == "simple_value" else value.image
    return {tag: steps for tag, steps in found.items() if steps}
