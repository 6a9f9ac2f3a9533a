"""Jobs that share a cache: the second encodes nothing, and its file is the same."""

from dataclasses import replace

from safetensors.torch import load_file

from tests.trainer.jobs import bodies, open_channel, tiny_job
from trainer.contract.cache import CacheOptions
from trainer.contract.events import Caching, Checkpoint, Failed
from trainer.contract.exits import Exit
from trainer.contract.folder import JobFolder, sources_from
from trainer.job import run_job


def trained(root, base, cache=None):
    """Trains a job of its own over the same pictures; returns its weights and how many pictures it told of."""
    channel = open_channel(tiny_job(root, base, epochs=1, checkpoint_every_epochs=1, flip=True, targets="attention"))
    assert run_job(channel, device="cpu", cache=cache) == Exit.FINISHED
    (kept,) = bodies(channel, Checkpoint)
    return load_file(root / "jobs" / "job1" / "attempts" / "1" / kept.file), len(bodies(channel, Caching))


def test_a_second_job_encodes_nothing_and_its_file_is_the_same(tmp_path, small_sdxl, encodings):
    cache = CacheOptions(tmp_path / "cache")
    first, told = trained(tmp_path / "a", small_sdxl, cache)
    assert (told, len(encodings)) == (3, 6), "three pictures, both ways round"
    second, told = trained(tmp_path / "b", small_sdxl, cache)
    assert (told, len(encodings)) == (3, 6)
    assert all(tensor.equal(second[name]) for name, tensor in first.items())


def test_a_job_is_trained_with_the_vae_it_names(tmp_path, small_sdxl):
    job = tiny_job(tmp_path, small_sdxl)
    spec = replace(job.spec(), job_id="job2", vae=str(tmp_path / "nowhere"))
    files = {path.name: path for path in (job.path / "dataset").iterdir()}
    channel = open_channel(JobFolder.create(tmp_path / "jobs", spec, sources_from(files)))
    assert run_job(channel, device="cpu") == Exit.FAILED
    (failed,) = bodies(channel, Failed)
    assert failed.code == "base-model"
    assert "The VAE 'nowhere' is not there" in failed.message
