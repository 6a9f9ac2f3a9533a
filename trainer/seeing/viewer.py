"""What a run shows of itself beside its events: TensorBoard and the loss plot. Neither may ever end a training.

The history is the training's and changes at once; files are drawn and written in the background, from copies.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from PIL import Image

from trainer.contract.channel import JobChannel
from trainer.contract.errors import StaleAttempt
from trainer.contract.events import Step, Validated
from trainer.seeing.history import History, Mark, Point
from trainer.seeing.plot import draw_plot
from trainer.training.background import Background

if TYPE_CHECKING:
    from trainer.seeing.board import Board

PLOT = "loss.png"
_log = logging.getLogger(__name__)


class Viewer:
    """Keeps the history, and shows it; whatever goes wrong in that is a warning, and only StaleAttempt passes."""

    def __init__(self, channel: JobChannel, name: str, history: History, background: Background) -> None:
        """`name` is the training's, for the plot; `history` is what earlier attempts have shown."""
        self.history = history
        self._channel = channel
        self._name = name
        self._background = background
        self._board = _board(channel, history)

    def step(self, body: Step, rates: Mapping[str, float]) -> None:
        """A reported step, with the learning rate of each group of weights."""
        point = Point.of(body, rates, time.time())
        self.history.add(point)
        self._on_board(lambda board: board.point(point))

    def validated(self, body: Validated) -> None:
        """The loss on the pictures held back."""
        mark = Mark(body.step, body.epoch, body.loss)
        self.history.add_validation(mark)
        now = time.time()
        self._on_board(lambda board: board.validation(mark, now))

    def samples(self, pictures: Sequence[Image.Image], step: int) -> None:
        """Pictures drawn now, which are being kept already."""
        self._on_board(lambda board: board.samples(pictures, step))

    def checkpoint(self, step: int, epoch: int) -> None:
        """A LoRA file is being kept: the plot is drawn anew once it is."""
        self.history.add_checkpoint(Mark(step, epoch))
        self.plot()

    def plot(self) -> None:
        """Draw the plot anew, if there is anything to draw."""
        if self.history.points:
            self._background.put(partial(self._plot, self.history.copy()), "note")

    def close(self) -> None:
        """Nothing more is shown; called once nothing more is written in the background."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def _on_board(self, show: Callable[[Board], None]) -> None:
        self._background.put(partial(self._show, show), "note")

    # --- in the background ------------------------------------------------------------------------------------------
    def _plot(self, history: History) -> None:
        try:
            path = self._channel.workspace / PLOT
            draw_plot(history, self._name).save(path)
            self._channel.put_file(PLOT, path)
            path.unlink()
        except StaleAttempt:
            raise
        except Exception as error:  # noqa: BLE001 - a disk, a font, a number: no picture is worth a training
            _log.warning("the loss plot could not be kept: %s", error)

    def _show(self, show: Callable[[Board], None]) -> None:
        if self._board is None:
            return
        try:
            show(self._board)
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("nothing more is written for TensorBoard: %s", error)
            self.close()


def _board(channel: JobChannel, history: History) -> Board | None:
    """A board, where tensorboardX is installed and the disk takes it."""
    if find_spec("tensorboardX") is None:
        _log.warning("there will be nothing for TensorBoard: install it with pip install 'lorelei[trainer]'")
        return None
    try:
        from trainer.seeing.board import Board

        return Board(channel.tensorboard, history)
    except StaleAttempt:
        raise
    except Exception as error:  # noqa: BLE001 - also an import: tensorboardX and protobuf do not always fit together
        _log.warning("nothing is written for TensorBoard: %s", error)
        return None
