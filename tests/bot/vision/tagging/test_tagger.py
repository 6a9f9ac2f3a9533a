"""The tagger's process: started when needed, ended when idle, started again after a crash; errors are sentences."""

import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal

import onnx
import pytest
from PIL import Image

from bot.config import TaggerConfig
from bot.errors import TaggerError
from bot.rules.captions.kaomoji import shown_tag
from bot.vision.tagging import tagger as tagger_module
from bot.vision.tagging.tagger import Tagger
from tests.bot.conftest import encoded, make_picture
from trainer.toy.tiny_tagger import LABELS


@pytest.fixture
async def tagger(tiny_tagger):
    opened = Tagger(TaggerConfig(model=str(tiny_tagger), threads=1))
    yield opened
    await opened.close()


@pytest.fixture
def paths(tmp_path):
    """Eleven pictures: more than one batch."""
    found = []
    for seed in range(11):
        found.append(tmp_path / f"{seed}.jpg")
        found[-1].write_bytes(make_picture((80, 60), seed))
    return found


async def test_every_picture_is_tagged_in_order(tagger, paths, tmp_path):
    for name in ("red", "blue"):
        (tmp_path / name).write_bytes(encoded(Image.new("RGB", (64, 64), name), "PNG"))
    results = await tagger.tag([tmp_path / "blue", *paths, tmp_path / "red"])
    assert len(results) == 13
    assert "blue theme" in [tag for tag, _ in results[0].general]
    names = [tag for tag, _ in results[-1].general]
    assert "red theme" in names
    assert "blue theme" not in names
    assert results[-1].rating == "general"
    order = [shown_tag(name) for name, *_ in LABELS]
    assert names == sorted(names, key=order.index)


async def test_nothing_runs_until_it_is_needed(tagger, paths):
    assert tagger.pid is None
    await tagger.tag(paths[:1])
    assert tagger.pid is not None


async def test_one_model_is_held_at_a_time(tagger, tiny_tagger, tmp_path, paths):
    other = shutil.copytree(tiny_tagger, tmp_path / "other")
    first = await tagger.tag(paths[:1])
    before = tagger.pid
    assert await tagger.tag(paths[:1], model=str(other)) == first
    assert tagger.pid not in (None, before)
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


async def test_a_crash_is_an_error_once_and_then_over(tagger, paths):
    first = await tagger.tag(paths[:1])
    os.kill(tagger.pid, signal.SIGKILL)
    with contextlib.suppress(TaggerError):  # not raised where the end of the process is known already
        await tagger.tag(paths[:1])
    assert await tagger.tag(paths[:1]) == first


async def test_a_worker_that_dies_while_asked_is_an_error(monkeypatch, tagger, paths):
    monkeypatch.setattr(
        "bot.workers.line_worker.worker_command", lambda *_: ["/bin/sh", "-c", "echo '{}'; read question"]
    )
    with pytest.raises(TaggerError, match="ended unexpectedly; the next pictures start it again"):
        await tagger.tag(paths[:1])
    assert tagger.pid is None


async def test_a_file_that_is_gone_or_damaged_costs_only_itself(tagger, paths, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    gone = tmp_path / "gone.jpg"
    results = await tagger.tag([paths[0], bad, gone, paths[1]])
    assert [result is None for result in results] == [False, True, True, False]
    assert await tagger.tag([gone]) == [None]


async def test_calls_at_the_same_time_get_their_own_answers(tagger, paths):
    alone = [(await tagger.tag([path]))[0] for path in paths[:4]]
    together = await asyncio.gather(*(tagger.tag([path]) for path in paths[:4]))
    assert [results[0] for results in together] == alone


async def test_one_picture_is_answered_between_the_chunks_of_a_hundred(tiny_tagger, paths, monkeypatch):
    tagger = Tagger(TaggerConfig(model=str(tiny_tagger), threads=1))
    gate, asked = asyncio.Event(), []

    async def ready(model):
        return model

    async def ask(process, chunk, cut):
        asked.append((process, len(chunk)))
        await gate.wait()
        return [None] * len(chunk)

    monkeypatch.setattr(tagger, "_worker_of", ready)
    monkeypatch.setattr("bot.vision.tagging.tagger._ask", ask)
    many = asyncio.create_task(tagger.tag(paths[:1] * 100, model="m"))
    await asyncio.sleep(0)
    one = asyncio.create_task(tagger.tag(paths[:1], model="m"))
    other = asyncio.create_task(tagger.tag(paths[:1], model="other"))
    await asyncio.sleep(0)
    gate.set()
    assert await one == [None]
    assert not many.done()
    assert await other == [None]
    assert not many.done()
    assert len(await many) == 100
    assert asked == [("m", 32), ("m", 1), ("other", 1), ("m", 32), ("m", 32), ("m", 4)]


async def test_chunks_are_small_while_others_wait(tagger, paths, monkeypatch):
    sizes = []
    whole = tagger_module._ask

    async def ask(process, chunk, cut):
        sizes.append(len(chunk))
        return await whole(process, chunk, cut)

    monkeypatch.setattr(tagger_module, "_ask", ask)
    one, two = await asyncio.gather(tagger.tag(paths * 4), tagger.tag(paths * 4))
    assert sizes == [32, 8, 8, 8, 4, 28], "the first has begun alone, and the last is alone again"
    assert one == two == await tagger.tag(paths) * 4


async def test_a_tagger_that_was_closed_starts_no_process(tagger, paths):
    await tagger.close()
    with pytest.raises(TaggerError, match="being stopped"):
        await tagger.tag(paths[:1])
    assert tagger.pid is None


async def test_a_cancelled_call_does_not_answer_the_next(tagger, paths):
    expected = await tagger.tag([paths[0]])
    call = asyncio.create_task(tagger.tag(paths))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await tagger.tag([paths[0]]) == expected


@pytest.mark.parametrize("broken", ["missing", "csv", "model", "labels"])
async def test_a_model_that_cannot_be_loaded_is_said_so(tiny_tagger, tmp_path, paths, broken, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "model"
    if broken != "missing":
        shutil.copytree(tiny_tagger, folder)
    if broken == "csv":
        (folder / "selected_tags.csv").unlink()
    if broken == "model":
        (folder / "model.onnx").write_bytes(b"not a model")
    if broken == "labels":
        with (folder / "selected_tags.csv").open("a") as file:
            file.write("7,one_more,0,1\n")
    tagger = Tagger(TaggerConfig(model=str(folder) if broken != "missing" else "nobody/no-such-tagger", threads=1))
    with pytest.raises(TaggerError, match="cannot be loaded") as error:
        await tagger.tag(paths[:1])
    assert "Captions keep trigger and class word" in str(error.value)
    assert "Traceback" not in str(error.value)
    await tagger.close()


async def test_a_model_whose_batch_is_one_gives_the_same_tags(tagger, tiny_tagger, tmp_path, paths):
    """The v2 exports take one picture at a time."""
    expected = await tagger.tag(paths)
    folder = shutil.copytree(tiny_tagger, tmp_path / "one")
    model = onnx.load(folder / "model.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, folder / "model.onnx")
    single = Tagger(dataclasses.replace(TaggerConfig(threads=1), model=str(folder)))
    found = await single.tag(paths)
    await single.close()
    assert [each.rating for each in found] == [each.rating for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert [tag for tag, _ in one.general] == [tag for tag, _ in other.general]
