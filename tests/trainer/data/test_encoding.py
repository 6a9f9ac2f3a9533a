import hashlib

import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from trainer.data.buckets import Bucket, fit
from trainer.data.latents import encode_latent
from trainer.data.pictures import to_pixels
from trainer.data.texts import TextCache
from trainer.errors import BadPicture


@pytest.fixture
def vae(tiny_sdxl):
    return AutoencoderKL.from_pretrained(tiny_sdxl, subfolder="vae").eval()


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "new.png"
    Image.linear_gradient("L").convert("RGB").resize((80, 64)).save(path)
    return path.rename(tmp_path / f"{hashlib.sha256(path.read_bytes()).hexdigest()}.png")


FIT = fit(80, 64, Bucket(64, 64))


def test_a_latent_is_mean_and_deviation_of_the_posterior(vae, picture):
    latent = encode_latent(vae, picture, FIT)
    assert (latent.shape, latent.dtype) == ((2, 4, 8, 8), torch.float32)
    with torch.no_grad(), Image.open(picture) as image:
        posterior = vae.encode(to_pixels(image, FIT)[None]).latent_dist
    assert torch.equal(latent, torch.stack([posterior.mean[0], posterior.std[0]]))
    assert encode_latent(vae, picture, fit(80, 64, Bucket(64, 32))).shape == (2, 4, 4, 8)


def test_a_latent_that_is_no_number_names_the_picture(vae, picture):
    with torch.no_grad():
        vae.encoder.conv_in.weight.fill_(torch.nan)
    with pytest.raises(BadPicture, match=picture.name[:12]):
        encode_latent(vae, picture, FIT)


def test_captions_known_beforehand_are_never_encoded_again_however_many_they_are():
    asked = []

    def encode(prompts):
        asked.extend(prompts)
        return torch.zeros(1, 77, 2), torch.zeros(1, 3)

    cache = TextCache(encode, kept=1)
    captions = [str(number) for number in range(5)]
    for caption in [*captions, "0"]:
        cache.keep(caption)
    cache.embeddings(captions)
    cache.embeddings(captions)
    assert asked == captions


def test_each_text_is_encoded_once_and_the_oldest_forgotten():
    asked = []

    def encode(prompts):
        asked.extend(prompts)
        return torch.full((1, 77, 2), float(len(asked))), torch.full((1, 3), float(len(asked)))

    cache = TextCache(encode, kept=2)
    text, pooled = cache.embeddings(["a", "b", "a"])
    assert text[:, 0, 0].tolist() == pooled[:, 0].tolist() == [1.0, 2.0, 1.0]
    cache.embeddings(["c"])
    assert asked == ["a", "b", "c"]
    cache.embeddings(["a"])
    assert asked == ["a", "b", "c"]
    cache.embeddings(["b"])
    assert asked == ["a", "b", "c", "b"]
