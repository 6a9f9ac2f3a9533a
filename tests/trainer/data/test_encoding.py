"""Latents: what they are, in which number format, and when they come from the disk."""

import hashlib
import os
from dataclasses import replace

import PIL
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from trainer.contract.cache import CacheOptions, forget, forget_job, group
from trainer.contract.durable import write_atomic
from trainer.data.buckets import Bucket, fit
from trainer.data.latent_cache import LatentCache
from trainer.data.latents import LatentEncoder
from trainer.data.pictures import to_pixels
from trainer.errors import BadPicture


@pytest.fixture
def vae(tiny_sdxl):
    return AutoencoderKL.from_pretrained(tiny_sdxl, subfolder="vae").eval()


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "new.png"
    Image.linear_gradient("L").convert("RGB").rotate(30).resize((80, 64)).save(path)
    return path.rename(tmp_path / f"{hashlib.sha256(path.read_bytes()).hexdigest()}.png")


FIT = fit(80, 64, Bucket(64, 64))


def test_a_latent_is_mean_and_deviation_of_the_posterior(vae, picture):
    latent = LatentEncoder(vae, "fp32").encode(picture, FIT)
    assert (latent.shape, latent.dtype) == ((2, 4, 8, 8), torch.float32)
    with torch.no_grad(), Image.open(picture) as image:
        posterior = vae.encode(to_pixels(image, FIT)[None]).latent_dist
    assert torch.equal(latent, torch.stack([posterior.mean[0], posterior.std[0]]))
    assert LatentEncoder(vae, "fp32").encode(picture, fit(80, 64, Bucket(64, 32))).shape == (2, 4, 4, 8)


def test_the_mirrored_pictures_latent_is_not_the_mirrored_latent(vae, picture):
    encoder = LatentEncoder(vae, "fp32")
    plain, mirrored = encoder.encode(picture, FIT), encoder.encode(picture, FIT.mirror())
    assert not plain.equal(mirrored)
    assert not plain.flip(-1).equal(mirrored)


@pytest.mark.parametrize(("precision", "error"), [("bf16", 0.05), ("fp16", 0.01)])
def test_other_number_formats_are_used_and_leave_the_vae_as_it_is(vae, picture, precision, error):
    exact, short = (LatentEncoder(vae, one).encode(picture, FIT) for one in ("fp32", precision))
    assert short.dtype == torch.float32
    assert 0 < float((short - exact).abs().max()) < error * float(exact.abs().max())
    assert {weight.dtype for weight in vae.parameters()} == {torch.float32}


def test_a_latent_that_is_no_number_names_the_picture(vae, picture):
    with torch.no_grad():
        vae.encoder.conv_in.weight.mul_(1e6)
    assert LatentEncoder(vae, "fp32").encode(picture, FIT).isfinite().all()
    with pytest.raises(BadPicture, match=rf"{picture.name[:12]} cannot .* in fp16 .*vae_precision fp32"):
        LatentEncoder(vae, "fp16").encode(picture, FIT)
    with torch.no_grad():
        vae.encoder.conv_in.weight.fill_(torch.nan)
    with pytest.raises(BadPicture, match=picture.name[:12]):
        LatentEncoder(vae, "fp32").encode(picture, FIT)


# --- on disk --------------------------------------------------------------------------------------------------------
@pytest.fixture
def options(tmp_path):
    return CacheOptions(tmp_path / "cache")


def entries(options):
    return sorted(path for path in options.folder.rglob("*") if path.is_file())


def test_a_later_job_finds_the_latent_bit_for_bit(vae, picture, options, encodings):
    first = LatentEncoder(vae, "fp32", LatentCache(options)).encode(picture, FIT)
    again = LatentEncoder(vae, "fp32", LatentCache(options)).encode(picture, FIT)
    assert again.equal(first)
    assert again.equal(LatentEncoder(vae, "fp32").encode(picture, FIT))
    assert len(encodings) == 2
    assert [path.parent for path in entries(options)] == [group(options.folder, picture.stem)]


def test_whatever_changes_the_latent_changes_its_place(vae, picture, options, encodings, monkeypatch):
    def encode(fitted=FIT, precision="fp32"):
        LatentEncoder(vae, precision, LatentCache(options)).encode(picture, fitted)

    encode()
    encode(FIT.mirror())
    encode(fit(80, 64, Bucket(64, 32)))
    encode(replace(FIT, crop=(0, 3)))
    encode(precision="bf16")
    with torch.no_grad():
        vae.encoder.conv_out.bias[0] += 1
    encode()
    for library in (torch, PIL):
        monkeypatch.setattr(library, "__version__", "another")
        encode()
    assert len(encodings) == len(entries(options)) == 8


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "shape"])
def test_a_damaged_file_is_replaced(vae, picture, options, encodings, damage):
    cache = LatentCache(options)
    latent = LatentEncoder(vae, "fp32", cache).encode(picture, FIT)
    (path,) = entries(options)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[:-100])
    elif damage == "flipped":
        data[-100] ^= 1
        path.write_bytes(data)
    elif damage == "other":
        path.write_bytes(b"no safetensors")
    else:
        cache.put(picture.stem, path.stem, latent[:, :, :4])
    assert LatentEncoder(vae, "fp32", cache).encode(picture, FIT).equal(latent)
    assert len(encodings) == 2
    assert LatentEncoder(vae, "fp32", cache).encode(picture, FIT).equal(latent)
    assert len(encodings) == 2


def test_what_was_not_used_for_longest_goes_first(options, monkeypatch):
    latent = torch.zeros(2, 4, 8, 8)
    cache = LatentCache(options)
    for number in range(4):
        cache.put("a" * 63 + str(number), "key", latent)
    for age, path in enumerate(reversed(entries(options))):
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    assert cache.get("a" * 63 + "0", "key", latent.shape) is not None  # the oldest is used once more
    size = entries(options)[0].stat().st_size
    LatentCache(replace(options, limit=2 * size)).trim()
    assert [path.parent.name[-1] for path in entries(options)] == ["0", "3"]
    assert not group(options.folder, "a" * 63 + "1").exists(), "no empty folder stays"


def test_a_disk_that_refuses_costs_an_encoding_and_no_more(vae, picture, tmp_path, encodings):
    (tmp_path / "file").write_bytes(b"")
    cache = LatentCache(CacheOptions(tmp_path / "file"))
    for _ in range(2):
        LatentEncoder(vae, "fp32", cache).encode(picture, FIT)
    cache.trim()
    assert len(encodings) == 2


def test_a_cache_that_another_process_empties_meanwhile_costs_no_more(vae, picture, options, encodings, monkeypatch):
    cache = LatentCache(options)

    def emptied(path, _data):
        forget(options.folder, [picture.stem])
        assert not path.parent.exists()
        write_atomic(path, _data)

    monkeypatch.setattr("trainer.data.latent_cache.write_atomic", emptied)
    for _ in range(2):
        assert LatentEncoder(vae, "fp32", cache).encode(picture, FIT).isfinite().all()
    assert len(encodings) == 2
    monkeypatch.undo()
    cache.put(picture.stem, "key", torch.zeros(2, 4, 8, 8))
    listed = list(cache._entries())
    forget(options.folder, [picture.stem])
    monkeypatch.setattr(cache, "_entries", lambda: iter(listed))
    monkeypatch.setattr(cache, "_limit", 0)
    cache.trim()
    assert cache.get(picture.stem, "key", (2, 4, 8, 8)) is None


def test_a_forgotten_picture_leaves_nothing(vae, picture, options, encodings):
    encoder = LatentEncoder(vae, "fp32", LatentCache(options))
    for fitted in (FIT, FIT.mirror()):
        encoder.encode(picture, fitted)
    LatentCache(options).put("b" * 64, "key", torch.zeros(2, 4, 8, 8))
    (options.folder / "latents" / ".forgotten-left").mkdir()
    (options.folder / "latents" / ".forgotten-left" / "x").touch()
    for _ in range(2):
        forget(options.folder, [picture.stem, "c" * 64])
    assert [path.parent.name for path in entries(options)] == ["b" * 64]
    forget(options.folder / "nowhere", [picture.stem])
    encoder.encode(picture, FIT)
    assert len(encodings) == 3


# --- a job deleted under its trainer --------------------------------------------------------------------------------
@pytest.fixture
def job(picture, tmp_path):
    (tmp_path / "job" / "dataset").mkdir(parents=True)
    return tmp_path / "job"


@pytest.fixture
def own(picture, job):
    return picture.rename(job / "dataset" / picture.name)


@pytest.mark.parametrize("late", [False, True], ids=["before the entry is written", "after"])
def test_a_trainer_leaves_no_latent_of_a_job_deleted_meanwhile(vae, job, own, options, monkeypatch, late):
    def overtaken(path, data):
        if late:
            write_atomic(path, data)
        forget_job(options.folder, job)
        if not late:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)

    monkeypatch.setattr("trainer.data.latent_cache.write_atomic", overtaken)
    assert LatentEncoder(vae, "fp32", LatentCache(options)).encode(own, FIT).isfinite().all()
    assert entries(options) == []
    assert list(job.iterdir()) == []


def test_the_pictures_of_a_job_go_before_their_latents(vae, job, own, options, monkeypatch):
    """Or else one encoded in between would be kept; what was cut short is ended by the next call."""
    LatentEncoder(vae, "fp32", LatentCache(options)).encode(own, FIT)

    def cut_short(*_):
        assert not own.exists()
        raise OSError("cut short")

    with monkeypatch.context() as patched:
        patched.setattr("trainer.contract.cache.forget", cut_short)
        with pytest.raises(OSError, match="cut short"):
            forget_job(options.folder, job)
    assert len(entries(options)) == 1
    for _ in range(2):
        forget_job(options.folder, job)
    assert entries(options) == []
    assert list(job.iterdir()) == []


def test_a_cache_that_cannot_forget_is_told_to_the_log(vae, own, options, monkeypatch, caplog):
    def refused(*_):
        raise PermissionError("no")

    monkeypatch.setattr("trainer.data.latent_cache.forget", refused)
    monkeypatch.setattr("trainer.data.latent_cache.write_atomic", lambda path, _: own.unlink())
    LatentEncoder(vae, "fp32", LatentCache(options)).encode(own, FIT)
    assert "could not be removed" in caplog.text
