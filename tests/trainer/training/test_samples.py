"""Samples of a run: drawn with the job's own settings, whatever text its prompts hold."""

from dataclasses import replace

from PIL import Image

from tests.trainer.jobs import tiny_job
from trainer.contract.directory import DirectoryChannel
from trainer.contract.folder import JobFolder
from trainer.job import run_job
from trainer.sampling.draw import Drawing, draw
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

    def spy(base, prompts, seeds, drawing, begin):
        asked.append((prompts, list(seeds), drawing))
        return draw(base, prompts, seeds, drawing, begin)

    monkeypatch.setattr(keeper, "draw", spy)
    job.open_attempt(1)
    channel = DirectoryChannel(job.path, 1)
    assert run_job(channel, device="cpu", service="test") == 0
    [(drawn, seeds, drawing)] = asked
    assert (drawn, seeds) == ((*prompts, prompts[0]), [5, 6, 7])
    assert drawing == Drawing(size=(64, 64), steps=2, guidance=3.5, sampler="euler a", negative="hat")
    samples = sorted((job.attempt(1) / "samples").iterdir())
    assert len(samples) == 4
    with Image.open(samples[0]) as picture:
        assert picture.size == (64, 64)
