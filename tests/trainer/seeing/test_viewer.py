"""What a run shows of itself never ends it, and stays what the run was."""

import errno
import logging
from contextlib import ExitStack, closing, contextmanager

import pytest
from PIL import Image

from tests.trainer.contract.jobs import EVERY_KIND, make_job
from tests.trainer.seeing.records import run, shown
from trainer.contract.directory import DirectoryChannel
from trainer.contract.errors import ChannelError, StaleAttempt
from trainer.contract.events import Step, Validated
from trainer.seeing import board, viewer
from trainer.seeing.history import History
from trainer.seeing.viewer import Viewer
from trainer.training.background import Background
from trainer.training.report import Reporter

STEP = next(body for body in EVERY_KIND if isinstance(body, Step))
RATES = {"unet": 1e-4}
NO_ROOM = OSError(errno.ENOSPC, "No space left on device")


def opened(tmp_path, channel=DirectoryChannel):
    job = make_job(tmp_path)
    job.open_attempt(1)
    return job, channel(job.path, 1)


@contextmanager
def viewing(channel, history=None):
    """A viewer of a run; at the end all it shows is written."""
    with ExitStack() as stack:
        background = Background(Reporter(channel))
        shows = stack.enter_context(closing(Viewer(channel, "lisaxl_v1", history or History(), background)))
        stack.enter_context(background)
        yield shows


def show_everything(shows):
    """All that a run ever shows."""
    shows.step(STEP, RATES)
    shows.validated(Validated(epoch=1, step=3, loss=0.125))
    shows.samples([Image.new("RGB", (8, 8))], 3)
    shows.checkpoint(3, 1)
    shows.plot()


def test_everything_is_shown_and_remembered(tmp_path):
    job, channel = opened(tmp_path)
    with viewing(channel) as shows:
        show_everything(shows)
    found = shown(job.attempt(1) / "tensorboard")
    assert found["loss/smoothed"] == {3: 0.25}
    assert found["loss/validation"] == {3: 0.125}
    assert list(found["sample/1"]) == [3]
    with Image.open(job.attempt(1) / "loss.png") as plot:
        assert plot.format == "PNG"
    told = (shows.history.points, shows.history.checkpoints, shows.history.validations)
    assert [len(part) for part in told] == [1, 1, 1]


class NoRoomForPictures(DirectoryChannel):
    def put_file(self, name, source):
        raise ChannelError(f"cannot keep {name}") from NO_ROOM


class NoRoomForFolders(DirectoryChannel):
    @property
    def tensorboard(self):
        raise ChannelError("cannot make tensorboard") from NO_ROOM


@pytest.mark.parametrize("channel", [NoRoomForPictures, NoRoomForFolders])
def test_a_full_disk_is_a_warning(tmp_path, caplog, channel):
    _, full = opened(tmp_path, channel)
    with caplog.at_level(logging.WARNING), viewing(full) as shows:
        show_everything(shows)
    assert "could not be kept" in caplog.text or "nothing is written for TensorBoard" in caplog.text


def test_a_disk_that_fills_up_ends_tensorboard_and_nothing_else(tmp_path, caplog, monkeypatch):
    job, channel = opened(tmp_path)

    def refuse(_):
        raise NO_ROOM

    with caplog.at_level(logging.WARNING), viewing(channel) as shows:
        shows.step(STEP, RATES)
        monkeypatch.setattr(board.RecordWriter, "flush", refuse)
        show_everything(shows)
        show_everything(shows)
    assert caplog.text.count("nothing more is written for TensorBoard") == 1
    assert (job.attempt(1) / "loss.png").exists()


def test_without_its_package_there_is_no_tensorboard_but_a_plot(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(viewer, "find_spec", lambda _: None)
    job, channel = opened(tmp_path)
    with viewing(channel) as shows:
        show_everything(shows)
    assert "lorelei[trainer]" in caplog.text
    assert not (job.attempt(1) / "tensorboard").exists()
    assert (job.attempt(1) / "loss.png").exists()


def test_what_cannot_be_drawn_or_imported_is_a_warning_too(tmp_path, caplog, monkeypatch):
    """tensorboardX raises TypeError when protobuf is too new for it, a font may be absent, a number beyond a scale."""

    def fail(*_):
        raise TypeError("Descriptors cannot be created directly")

    _, channel = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(viewer, "draw_plot", fail)
        patch.setattr(board.Board, "__init__", fail)
        with viewing(channel) as shows:
            show_everything(shows)
    assert "the loss plot could not be kept" in caplog.text
    assert "nothing is written for TensorBoard" in caplog.text
    monkeypatch.setattr(board.Board, "samples", fail)
    with viewing(channel) as shows:
        show_everything(shows)
    assert "nothing more is written for TensorBoard" in caplog.text


def test_a_replaced_attempt_is_no_full_disk(tmp_path):
    job, channel = opened(tmp_path)
    job.open_attempt(2)
    with pytest.raises(StaleAttempt), viewing(channel, run()) as shows:
        shows.plot()


def test_nothing_trained_has_no_plot(tmp_path):
    job, channel = opened(tmp_path)
    with viewing(channel) as shows:
        shows.plot()
    assert not (job.attempt(1) / "loss.png").exists()
