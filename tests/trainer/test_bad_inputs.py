"""Whatever is wrong with what a training is given: one clear sentence, an event with a code, and an exit code."""

import errno
import hashlib
import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from tests.trainer.jobs import draw_pictures, open_channel, tiny_job
from trainer.__main__ import main
from trainer.contract.directory import DirectoryChannel
from trainer.contract.events import Failed, Finished, Paused
from trainer.contract.exits import Exit
from trainer.job import run_job
from trainer.training import keeper


# --- what is wrong: each spoils a job of the tiny SDXL, which is returned ---------------------------------------------
def edited(**changes):
    """Values of job.json changed by hand; `config` is merged."""

    def spoil(root, base, _patch):
        job = tiny_job(root, base)
        spec = json.loads((job.path / "job.json").read_text())
        spec["config"] |= changes.get("config", {})
        spec |= {name: value for name, value in changes.items() if name != "config"}
        (job.path / "job.json").write_text(json.dumps(spec))
        return job

    return spoil


def with_empty_caption(root, base, _patch):
    job = tiny_job(root, base)
    spec = json.loads((job.path / "job.json").read_text())
    spec["pictures"][1]["caption"] = "  "
    (job.path / "job.json").write_text(json.dumps(spec))
    return job


def with_picture(data):
    """One more picture, of these bytes."""

    def spoil(root, base, _patch):
        files = draw_pictures(root / "pictures")
        whole = next(iter(files.values())).read_bytes()
        path = root / "pictures" / "bad.png"
        path.write_bytes(data(whole))
        return tiny_job(root, base, pictures={**files, f"{hashlib.sha256(path.read_bytes()).hexdigest()}.png": path})

    return spoil


def with_base(make):
    """Another base, written by `make(folder)`."""

    def spoil(root, _base, _patch):
        return tiny_job(root, make(root))

    return spoil


def folder_of(pipeline):
    def make(root):
        (root / "model").mkdir()
        (root / "model" / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
        return root / "model"

    return with_base(make)


def file_of(**tensors):
    """A single file with these tensors, `__` for a dot."""

    def make(root):
        named = {name.replace("__", "."): torch.zeros(shape) for name, shape in tensors.items()}
        save_file(named, root / "model.safetensors")
        return root / "model.safetensors"

    return with_base(make)


def truncated(root):
    header = json.dumps({"x": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}).encode()
    (root / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 100)
    return root / "model.safetensors"


def pickled(root):
    torch.save({"state_dict": {}}, root / "model.safetensors")
    return root / "model.safetensors"


def diverging(root, base, _patch):
    return tiny_job(root, base, epochs=200, learning_rate=1.0, alpha=4000.0, max_grad_norm=0.0)


def without_room(root, base, patch):
    """No room for a LoRA file; what was trained so far is in a state."""

    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    patch.setattr(keeper, "save_lora", full)
    return tiny_job(root, base, state_every_seconds=0.0)


SD1 = {"model__diffusion_model__input_blocks__0__0__weight": (8, 4, 3, 3)}
FLUX = {"double_blocks__0__img_attn__qkv__weight": (4, 4), "img_in__weight": (4, 4)}

CASES = {
    "an unknown setting": (edited(config={"epohs": 3}), "bad-job", "did you mean 'epochs'"),
    "a setting of the wrong kind": (edited(config={"rank": "many"}), "bad-job", "rank: must be a whole number"),
    "a learning rate of 0": (edited(config={"learning_rate": 0}), "bad-job", "learning_rate: must be between"),
    "a field nobody knows": (edited(presset="face"), "bad-job", "did you mean 'preset'"),
    "a batch larger than the pictures": (edited(config={"batch_size": 64}), "bad-job", "more than the 4 pictures"),
    "an empty caption": (with_empty_caption, "bad-job", "empty caption"),
    "a picture that is none": (with_picture(lambda _: b"\x89PNG\r\n\x1a\n but no more"), "bad-picture", "Picture "),
    "a picture cut short": (with_picture(lambda whole: whole[: len(whole) // 2]), "bad-picture", "Picture "),
    "a folder of SD 1.5": (folder_of("StableDiffusionPipeline"), "base-model", "StableDiffusionPipeline, not SDXL"),
    "a folder of Flux": (folder_of("FluxPipeline"), "base-model", "FluxPipeline, not SDXL"),
    "a file of SD 1.5": (file_of(**SD1), "base-model", "choose an SDXL checkpoint"),
    "a file of Flux": (file_of(**FLUX), "base-model", "is a Flux model; choose an SDXL checkpoint"),
    "a file cut short": (with_base(truncated), "base-model", "model.safetensors"),
    "a pickle renamed": (with_base(pickled), "base-model", "pickle"),
    "a base that is not there": (with_base(lambda root: root / "nowhere"), "base-model", "'nowhere' is not there"),
    "a loss that is no number": (diverging, "nan-loss", "learning rate below 1"),
    "a full disk": (without_room, "disk-full", "once the host has made room"),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path, tiny_sdxl, monkeypatch):
    spoil, code, words = CASES[request.param]
    return spoil(tmp_path, tiny_sdxl, monkeypatch), code, words


def test_it_ends_in_one_sentence_an_event_and_an_exit_code(case, tmp_path):
    job, code, words = case
    channel = open_channel(job)
    ended = run_job(channel, device="cpu")
    last = channel.events()[-1].body
    if isinstance(last, Paused):
        assert (ended, last.reason) == (Exit.PAUSED, code)
    else:
        assert isinstance(last, Failed)
        assert (ended, last.code, last.retry) == (Exit.FAILED, code, False)
    assert words in last.message
    assert "\n" not in last.message
    assert last.message.endswith(".")
    assert last.message[0].isupper()
    assert str(tmp_path) not in last.message, "members read it: no path of the machine"
    assert list((job.attempt(1) / "lora").iterdir()) == [], "no rubbish is kept"


def test_after_a_full_disk_nothing_is_lost(tiny_sdxl, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        job = without_room(tmp_path, tiny_sdxl, patch)
        assert run_job(open_channel(job), device="cpu") == Exit.PAUSED
    [(step, _, _), *_] = DirectoryChannel(job.path, 1).states()
    assert DirectoryChannel(job.path, 1).events()[-1].body.step == step == 4
    second = open_channel(job, 2)
    assert run_job(second, device="cpu") == Exit.FINISHED
    assert [event.body.kind for event in second.events()].count("step") == 0, "all its steps were done"
    assert isinstance(second.events()[-1].body, Finished)


@pytest.mark.parametrize(
    ("name", "words"),
    [("an unknown setting", "did you mean 'epochs'"), ("an empty caption", "empty caption")],
)
def test_on_the_command_line_a_job_that_is_none_starts_nothing(name, words, tmp_path, tiny_sdxl, monkeypatch, capsys):
    job = CASES[name][0](tmp_path, tiny_sdxl, monkeypatch)
    assert main(["run", str(job.path), "--device", "cpu"]) == Exit.USAGE
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert job.attempts() == []


@pytest.mark.parametrize("name", ["a file of Flux", "a pickle renamed"])
def test_on_the_command_line_a_job_that_fails_says_why_once(name, tmp_path, tiny_sdxl, monkeypatch, capsys):
    job = CASES[name][0](tmp_path, tiny_sdxl, monkeypatch)
    assert main(["run", str(job.path), "--device", "cpu"]) == Exit.FAILED
    message = DirectoryChannel(job.path, 1).events()[-1].body.message
    captured = capsys.readouterr()
    assert captured.out.count(message) == 1
    assert "Traceback" not in captured.out + captured.err
