"""`python -m bot demo --once` as a newcomer runs it, and everything it promises to leave."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from tests.trainer.jobs import trained_weights
from tests.trainer.support.unet_answer import unet_answer
from trainer.contract.config import TrainConfig
from trainer.contract.directory import verifies
from trainer.contract.events import Checkpoint, Finished, Sample
from trainer.contract.folder import JobFolder
from trainer.model.base import load_base
from trainer.model.lora import attach_lora, load_lora_state

pytestmark = pytest.mark.slow


def play(out: Path, seconds: int = 900) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bot", "demo", "--once", "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)


def test_the_demo_keeps_its_promises(tmp_path):
    """Played once, since it takes a minute; each function below checks one promise."""
    out = tmp_path / "out"
    result = play(out)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    [folder] = (out / "data" / "jobs").iterdir()
    job = JobFolder(folder)
    the_job_was_trained_whole_in_one_attempt(job)
    the_file_holds_what_was_trained(out, job)
    what_the_folder_promises_is_there(out, job, result.stdout)
    the_transcript_can_be_read_without_the_demo(out)
    every_caption_begins_with_trigger_and_class_once(job)


def bodies(job, kind):
    return [event.body for event in job.all_events(1) if isinstance(event.body, kind)]


def the_job_was_trained_whole_in_one_attempt(job):
    config = job.spec().config
    assert job.attempts() == [1]
    [finished] = bodies(job, Finished)
    assert (finished.reason, finished.epoch) == ("complete", config.epochs)
    epochs = list(range(config.checkpoint_every_epochs, config.epochs + 1, config.checkpoint_every_epochs))
    assert [body.epoch for body in bodies(job, Checkpoint)] == epochs
    assert [body.epoch for body in bodies(job, Sample)] == epochs


def the_file_holds_what_was_trained(out, job):
    """Loaded by diffusers in fp32 it gives the trained model's output; the base alone gives another."""
    config: TrainConfig = job.spec().config
    base = out / "props" / "base"
    trained = load_base(str(base), device=torch.device("cpu"), dtype=torch.float32)
    plain = unet_answer(trained.unet)
    attach_lora(trained, config, config.seed)
    state = max((job.attempt(1) / "state").iterdir())
    assert verifies(state, int(state.name[5:]))
    weights = trained_weights(state)
    load_lora_state(trained, {name: tensor.half().float() for name, tensor in weights.items()})
    pipe = StableDiffusionXLPipeline.from_pretrained(
        base, dtype=torch.float32, add_watermarker=False, local_files_only=True
    )
    pipe.load_lora_weights(out / "lisaxl_v1.safetensors")
    answer = unet_answer(trained.unet)
    assert (unet_answer(pipe.unet.eval()) - answer).abs().max() <= 1e-5
    assert (answer - plain).abs().max() >= 100 * 1e-5


def what_the_folder_promises_is_there(out, job, said):
    grids = sorted((out / "samples").iterdir())
    assert [grid.name for grid in grids] == [f"epoch-{body.epoch:03d}-grid.webp" for body in bodies(job, Sample)]
    for grid in grids:
        with Image.open(grid) as picture:
            picture.load()
    assert json.loads((out / "job" / "job.json").read_text())["name"] == "lisaxl_v1"
    assert "lisaxl_v1 is finished" in said


def the_transcript_can_be_read_without_the_demo(out):
    page = (out / "transcript.html").read_text("utf-8")
    named = set(re.findall(r'(?:src|href)="(media/[^"]+)"', page))
    assert named, "no picture in the transcript"
    assert all((out / name).is_file() for name in named)
    assert "holiday.jpg" in page
    assert "is damaged or cut short" in page
    assert "is the same as picture 1" in page
    assert "Epoch 20 of 20" in page
    assert "is finished" in page
    assert not re.search(r"https?://", page.replace("http://127.0.0.1", "")), "the page needs the network"


def every_caption_begins_with_trigger_and_class_once(job):
    captions = [picture.caption for picture in job.spec().pictures]
    assert len(captions) == 12
    assert all(caption.startswith("lisaxl, woman, ") and caption.count("lisaxl") == 1 for caption in captions)
    assert sum(caption.endswith((", looking at the viewer", ", portrait")) for caption in captions) == 2


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    result = play(tmp_path, 60)
    assert result.returncode == 1
    assert "not from an earlier demo" in result.stderr
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
