"""TensorBoard's files: what they show, whole after a crash, and without doubles after a resume."""

import io

import pytest
from PIL import Image

from tests.trainer.seeing.records import point, records, run, shown
from trainer.seeing import board as board_module
from trainer.seeing.board import Board
from trainer.seeing.history import History, Mark


def test_scalars_and_samples_are_shown_by_their_tags(tmp_path):
    board = Board(tmp_path, History())
    board.point(point(3, loss=0.5, smoothed=0.25, rates={"unet": 1e-4, "text_encoder": 5e-5}))
    board.validation(Mark(10, 2, 0.125), 1000.0)
    board.samples([Image.new("RGB", (48, 32), "red"), Image.new("RGB", (32, 32), "blue")], 10)
    board.close()
    found = shown(tmp_path)
    pictures = {tag: steps.pop(10) for tag, steps in found.items() if tag.startswith("sample/")}
    assert {tag: steps for tag, steps in found.items() if steps} == {
        "loss/step": {3: 0.5},
        "loss/smoothed": {3: 0.25},
        "loss/validation": {10: 0.125},
        "learning rate/unet": {3: pytest.approx(1e-4)},
        "learning rate/text_encoder": {3: pytest.approx(5e-5)},
        "speed/images per second": {3: 5.0},
        "memory/GB": {3: 1.0},
    }
    assert [(picture.width, picture.height) for picture in pictures.values()] == [(48, 32), (32, 32)]
    with Image.open(io.BytesIO(pictures["sample/1"].encoded_image_string)) as picture:
        red, green, _ = picture.getpixel((20, 20))
    assert red > 200 > 60 > green


def test_a_resumed_run_shows_every_step_once(tmp_path):
    """The first process reported up to step 8 and died; its newest state is of step 5."""
    before = History()
    first = Board(tmp_path, before)
    for step in range(1, 9):
        if step <= 5:
            before.add(point(step, loss=1.0))
        first.point(point(step, loss=1.0))
    first.close()
    [torn] = tmp_path.iterdir()
    torn.write_bytes(torn.read_bytes()[:-7])
    second = Board(tmp_path, before)
    for step in range(6, 11):
        second.point(point(step, loss=2.0))
    second.close()
    assert shown(tmp_path)["loss/step"] == {step: 1.0 if step <= 5 else 2.0 for step in range(1, 11)}


def test_another_attempts_folder_shows_the_whole_run(tmp_path):
    history = run(epochs=5)
    Board(tmp_path, history).close()
    found = shown(tmp_path)
    assert list(found["loss/smoothed"]) == list(range(1, 51))
    assert list(found["loss/validation"]) == [10, 20, 30, 40, 50]


def test_what_was_shown_a_while_ago_is_on_disk(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(board_module.time, "monotonic", lambda: now[0])
    board = Board(tmp_path, History())
    [file] = tmp_path.iterdir()
    for now[0], step in ((1.0, 1), (board_module.FLUSH_SECONDS, 2)):
        board.point(point(step))
    assert [event.step for event in records(file.read_bytes()) if event.summary.value][-1] == 2
    board.close()
