"""The command line: it answers at once, refuses in one sentence, trains, pauses and goes on."""

import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.trainer.contract.jobs import ENDS, EVERY_KIND, make_job
from tests.trainer.polling import until
from trainer.__main__ import expected_errors_in_short, main
from trainer.cli.parser import build_parser
from trainer.cli.progress import ProgressBar
from trainer.cli.signals import stop_on_signals
from trainer.contract.directory import DirectoryChannel
from trainer.contract.events import Caching, Heartbeat, Paused, Preparing, Resumed, Step
from trainer.contract.exits import Exit
from trainer.contract.folder import JobFolder
from trainer.contract.inbox import Inbox, attempt_lock
from trainer.errors import BadBase

SMALL = ("resolution=64", "sample_count=1", "sample_steps=2", "rank=2", "alpha=2", "targets=attention")


def settings(*more):
    return [argument for setting in (*SMALL, *more) for argument in ("--set", setting)]


@pytest.mark.parametrize("set_by_host", [None, "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"])
def test_memory_on_a_gpu_grows_in_place_unless_the_host_says_otherwise(monkeypatch, tmp_path, set_by_host):
    names = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
    for name in names:
        monkeypatch.setenv(name, "")  # whatever becomes of it is put back
        monkeypatch.delenv(name)
    if set_by_host:
        monkeypatch.setenv(set_by_host, "backend:native")
    assert main(["inspect", str(tmp_path / "nothing")]) == Exit.USAGE
    settings = {name: os.environ[name] for name in names if name in os.environ}
    assert settings == ({set_by_host: "backend:native"} if set_by_host else {names[0]: "expandable_segments:True"})


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (64, 64), colour).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def train_arguments(pictures, tmp_path):
    arguments = ["train", "--images", str(pictures), "--trigger", "lisaxl", "--class-word", "woman"]
    return [*arguments, "--out", str(tmp_path / "out"), "--device", "cpu"]


# --- help and refusals ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", [[], ["train"], ["run"], ["serve"], ["inspect"]])
def test_help_names_every_argument(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([*command, "--help"])
    assert exit_.value.code == 0
    assert "usage: python -m trainer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "/nowhere"], Exit.USAGE, "not a job folder"),
        (["run", "https://bot.example/jobs/1"], Exit.USAGE, "behind an address cannot be run yet"),
        (["inspect", "/nowhere.safetensors"], Exit.USAGE, "nowhere.safetensors"),
        (["serve", "/dev/null/inbox"], Exit.FAILED, "cannot make the inbox"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_on_stderr(arguments, code, words, capsys):
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("lorelei-trainer: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--base", "/nowhere"], "no base model at /nowhere"),
        (["--base", "a/b", "--set", "epohs=3"], "did you mean 'epochs'"),
        (["--base", "a/b", "--set", "rank=0"], "rank: must be between 1 and 1024"),
        (["--base", "a/b", "--epochs", "0"], "epochs: must be between"),
        (["--base", "a/b", "--preset", "fase"], "did you mean 'face'"),
        (["--base", "a/b", "--images", "/nowhere"], "cannot read the folder"),
        (["--base", "a/b", "--name", "???"], "--name"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_made(train_arguments, more, words, capsys, tmp_path):
    assert main([*train_arguments, *more]) == Exit.USAGE
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("out/jobs/*"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["run", "x", "--attempt", "0"],
        ["run", "x", "--device", "gpu"],
        ["serve", "x", "--poll", "nan"],
        ["serve", "x", "--poll", "0"],
    ],
)
def test_wrong_arguments_are_refused_by_the_parser(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        build_parser().parse_args(arguments)
    assert exit_.value.code == Exit.USAGE
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_the_traceback_is_there_for_who_asks(how, monkeypatch, capsys):
    if how == "environment":
        monkeypatch.setenv("LORELEI_DEBUG", "1")
    assert main(["run", "/nowhere", *(["--debug"] if how == "flag" else [])]) == Exit.USAGE
    assert "Traceback" in capsys.readouterr().err


def test_a_job_that_is_being_trained_is_not_started_again(tmp_path, capsys):
    job = make_job(tmp_path)
    job.open_attempt(1)
    with attempt_lock(job.path, 1):
        assert main(["run", str(job.path)]) == Exit.FAILED
    assert "another process" in capsys.readouterr().err
    assert job.attempts() == [1], "no attempt was opened that would have pushed the other one out"


def test_an_attempt_nobody_opened_is_not_run(tmp_path, capsys):
    job = make_job(tmp_path)
    assert main(["run", str(job.path), "--attempt", "3"]) == Exit.FAILED
    assert "lorelei-trainer: " in capsys.readouterr().err


def test_an_empty_inbox_is_served_at_once(tmp_path):
    assert main(["serve", str(tmp_path / "inbox"), "--once", "--device", "cpu"]) == Exit.FINISHED
    assert Inbox(tmp_path / "inbox").service().device == "cpu"


# --- training -------------------------------------------------------------------------------------------------------
def test_pictures_in_a_lora_file_out(train_arguments, pictures, tiny_sdxl, tmp_path, capsys):
    (pictures / "broken.jpg").write_bytes(b"x")
    arguments = [*train_arguments, "--base", str(tiny_sdxl), "--epochs", "2", "--batch", "2", *settings()]
    assert main(arguments) == Exit.FINISHED
    out = capsys.readouterr().out
    file = tmp_path / "out" / "lisaxl_v1.safetensors"
    assert f"Finished: {file}" in out
    assert "broken.jpg is no picture" in out
    assert "Samples: " in out
    assert "<lora:lisaxl_v1:0.9>" in out
    assert all(name.startswith("lora_unet_") for name in load_file(file))
    assert (tmp_path / "out" / "jobs" / "lisaxl_v1" / "attempts" / "1" / "samples").iterdir()
    assert main(["inspect", str(file)]) == Exit.FINISHED
    shown = capsys.readouterr().out
    assert "lisaxl_v1" in shown


def test_a_failed_training_says_why_once_and_without_a_traceback(train_arguments, tmp_path, tiny_sdxl, capsys):
    shutil.copytree(tiny_sdxl, tmp_path / "model")
    [weights] = (tmp_path / "model" / "unet").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    assert main([*train_arguments, "--base", str(tmp_path / "model"), *settings()]) == Exit.FAILED
    last = DirectoryChannel(tmp_path / "out" / "jobs" / "lisaxl_v1", 1).events()[-1].body
    assert last.code == "base-model"
    captured = capsys.readouterr()
    assert captured.out.count(last.message) == 1
    assert "Traceback" not in captured.out + captured.err


def logged(error):
    """What the terminal gets to see of an error in the log."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(expected_errors_in_short)
    log = logging.Logger("a log of its own")
    log.addHandler(handler)
    try:
        raise error
    except Exception:
        log.exception("the attempt failed")
    return out.getvalue()


def test_of_an_expected_error_only_the_cause_is_logged():
    assert logged(BadBase("It cannot be loaded.")) == ""
    error = BadBase("It cannot be loaded.")
    error.__cause__ = OSError("unet has no weights\nand more")
    assert logged(error) == "the reason: OSError: unet has no weights\n"
    assert "Traceback" in logged(ZeroDivisionError())


def test_a_reader_who_leaves_early_is_no_error(tmp_path):
    file = tmp_path / "x.safetensors"
    save_file({f"{number}.lora_down.weight": torch.zeros(1, 1) for number in range(3)}, file, {"x": "y"})
    command = f"'{sys.executable}' -m trainer inspect '{file}' | true; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=120)
    assert "Traceback" not in ended.stderr
    assert int(ended.stdout) in (0, 128 + signal.SIGPIPE)


def test_a_signal_pauses_and_run_goes_on(train_arguments, tiny_sdxl, tmp_path, capsys):
    """SIGTERM to this very process, as soon as the first step is in the log."""
    job = JobFolder(tmp_path / "out" / "jobs" / "lisaxl_v1")

    def interrupt():
        log = job.attempt(1) / "events.jsonl"
        until(lambda: log.exists() and b'"kind":"step"' in log.read_bytes(), "the first step")
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    arguments = [*train_arguments, "--base", str(tiny_sdxl), "--epochs", "9999", *settings("sample_count=0")]
    assert main(arguments) == Exit.PAUSED
    thread.join()
    captured = capsys.readouterr()
    assert f"Go on with: python -m trainer run {job.path}" in captured.out
    last = DirectoryChannel(job.path, 1).events()[-1].body
    assert isinstance(last, Paused)
    assert last.reason == "shutdown"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "the handlers are put back"

    def stop_it():
        log = job.attempt(2) / "events.jsonl"
        until(lambda: log.exists() and b'"kind":"step"' in log.read_bytes(), "the next step")
        job.set_desired("stop", 2)

    thread = threading.Thread(target=stop_it)
    thread.start()
    assert main(["run", str(job.path), "--out", str(tmp_path / "out"), "--device", "cpu"]) == Exit.FINISHED
    thread.join()
    events = [event.body for event in DirectoryChannel(job.path, 2).events()]
    assert any(isinstance(body, Resumed) and body.step == last.step for body in events)
    assert (tmp_path / "out" / "lisaxl_v1.safetensors").exists()


def test_a_stop_before_the_first_step_leaves_no_file(tmp_path, tiny_sdxl, capsys):
    job = make_job(tmp_path, base=str(tiny_sdxl))
    job.open_attempt(1)
    job.set_desired("stop", 1)
    assert main(["run", str(job.path), "--attempt", "1", "--device", "cpu"]) == Exit.FINISHED
    assert "Stopped before the first step" in capsys.readouterr().out


def test_a_process_whose_service_is_gone_does_not_train(tmp_path, tiny_sdxl):
    job = make_job(tmp_path, base=str(tiny_sdxl))
    job.open_attempt(1)
    command = [sys.executable, "-m", "trainer", "run", str(job.path), "--attempt", "1", "--parent", "1"]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert ended.returncode in (-signal.SIGTERM, Exit.PAUSED)
    assert not [event for event in DirectoryChannel(job.path, 1).events() if event.body.kind == "step"]


# --- what is shown --------------------------------------------------------------------------------------------------
def step(number, epoch=1):
    return Step(
        epoch=epoch,
        epochs=3,
        step=number,
        steps=30,
        loss=0.5,
        smoothed_loss=0.25,
        learning_rate=1e-4,
        seconds_per_step=1.5,
        images_per_second=2.0,
        vram_bytes=0,
        eta_seconds=90.0,
    )


def show(bodies, said):
    bar = ProgressBar(said.append)
    for body in bodies:
        bar.show(body)
    bar.close()


def test_a_terminal_gets_one_bar_with_epoch_time_rate_and_loss(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    said = []
    show([Preparing(doing="loading the base model"), step(1), Heartbeat(), *EVERY_KIND, step(30, 3)], said)
    assert said[0] == "Loading the base model …"
    shown = capsys.readouterr()
    for part in ("Epoch 1/3", "Epoch 3/3", "30/30", "01:30 left", "1.50 s/it", "loss 0.2500", "100%"):
        assert part in shown.err
    assert "Checkpoint of epoch 1: lora/epoch-001.safetensors" in shown.out, "worth a line of its own, above the bar"


def test_a_pipe_gets_a_line_an_epoch():
    said = []
    show([step(1), step(2), step(11, 2), Caching(done=1, total=2), Caching(done=2, total=2)], said)
    assert len(said) == 3
    assert said[0] == "Epoch 1 of 3: step 1 of 30, 01:30 left, 1.50 s/it, loss 0.2500"
    assert said[2] == "Encoding pictures: 2 of 2"


@pytest.mark.parametrize("end", ENDS[::2], ids=lambda end: end.kind)
def test_a_bad_end_is_said_in_its_own_words(end):
    said = []
    show([end], said)
    assert said == [end.message]


def test_a_missing_package_is_named_with_the_cure(monkeypatch, capsys, tmp_path):
    for module in ("trainer.cli.run", "trainer.cli.progress"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["run", str(tmp_path)]) == Exit.USAGE
    assert "pip install 'lorelei[trainer]'" in capsys.readouterr().err


def test_a_second_ctrl_c_leaves_at_once():
    told = []
    with stop_on_signals(lambda: told.append(1)) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert told == [1]
