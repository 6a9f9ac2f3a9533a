"""Samples of a run: drawn with the job's own settings, whatever text its prompts hold."""

from dataclasses import replace

import pytest
from PIL import Image

from tests.trainer.jobs import open_channel, tiny_job
from trainer.contract.directory import DirectoryChannel
from trainer.contract.folder import JobFolder
from trainer.job import run_job
from trainer.sampling.draw import Drawing, draw_encoded, encode
from trainer.training import keeper


def test_samples_are_drawn_as_the_job_says(small_sdxl, tmp_path, monkeypatch):
    plain = tiny_job(tmp_path / "plain", small_sdxl)
    settings = {"sample_count": 3, "sample_steps": 2, "sample_guidance": 3.5, "sample_sampler": "euler a"}
    prompts = ("lisaxl, (smile:1.2)", "<lora:nobody:oops> [((lisaxl BREAK " + "cat " * 60)
    spec = replace(
        plain.spec(),
        config=plain.spec().config.with_overrides({**settings, "epochs": 1, "checkpoint_every_epochs": 1}),
        sample_prompts=prompts,
        negative_prompt="hat",
    )
    job = JobFolder.create(tmp_path / "jobs", spec, lambda name: plain.path / "dataset" / name)
    asked = []

    def reads(base, prompts, drawing, begin):
        asked.append(prompts)
        return encode(base, prompts, drawing, begin)

    def draws(base, parts, seeds, drawing, begin):
        asked.append((list(seeds), drawing))
        return draw_encoded(base, parts, seeds, drawing, begin)

    monkeypatch.setattr(keeper, "encode", reads)
    monkeypatch.setattr(keeper, "draw_encoded", draws)
    job.open_attempt(1)
    channel = DirectoryChannel(job.path, 1)
    assert run_job(channel, device="cpu", service="test") == 0
    [drawn, (seeds, drawing)] = asked
    assert (drawn, seeds) == ((*prompts, prompts[0]), [5, 6, 7])
    assert drawing == Drawing(size=(64, 64), steps=2, guidance=3.5, sampler="euler a", negative="hat")
    samples = sorted((job.attempt(1) / "samples").iterdir())
    assert len(samples) == 4
    with Image.open(samples[0]) as picture:
        assert picture.size == (64, 64)


@pytest.mark.parametrize(("settings", "times"), [({}, 1), ({"text_encoder_1": True}, 2)])
def test_prompts_are_read_once_unless_a_text_encoder_is_trained(small_sdxl, tmp_path, monkeypatch, settings, times):
    read = []

    def reads(base, *arguments):
        read.append(arguments)
        return encode(base, *arguments)

    monkeypatch.setattr(keeper, "encode", reads)
    samples = {"sample_count": 1, "sample_steps": 1, "checkpoint_every_epochs": 1}
    channel = open_channel(tiny_job(tmp_path, small_sdxl, **samples, **settings))
    assert run_job(channel, device="cpu") == 0
    assert len(read) == times
