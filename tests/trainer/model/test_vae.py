"""Another VAE: every form it comes in, and everything that is none."""

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from trainer.errors import BadBase
from trainer.model.base import load_base
from trainer.model.vae import load_vae

CPU = torch.device("cpu")


@pytest.fixture
def other(tiny_sdxl, tmp_path):
    """A folder with a VAE whose decoder answers otherwise."""
    vae = AutoencoderKL.from_pretrained(tiny_sdxl, subfolder="vae")
    with torch.no_grad():
        vae.decoder.conv_out.bias.fill_(0.5)
    vae.save_pretrained(tmp_path / "other")
    return tmp_path / "other"


def load(tiny_sdxl, vae):
    return load_base(str(tiny_sdxl), device=CPU, dtype=torch.bfloat16, vae=str(vae), single_file_config=tiny_sdxl)


def bias(base):
    return base.vae.decoder.conv_out.bias


def test_a_vaes_folder_takes_the_place_of_the_bases_own(tiny_sdxl, other):
    base = load(tiny_sdxl, other)
    assert (bias(base) == 0.5).all()
    assert bias(base).dtype == torch.float32
    assert not any(weight.requires_grad for weight in base.vae.parameters())
    assert not base.vae.training
    assert not (bias(load(tiny_sdxl, "")) == 0.5).any()


def test_a_whole_models_folder_or_file_gives_its_vae(tiny_sdxl, tiny_file, other, tmp_path):
    own = AutoencoderKL.from_pretrained(tiny_sdxl, subfolder="vae")
    expected = own.decoder.conv_out.bias.detach().clone()
    changed = AutoencoderKL.from_pretrained(other)
    for whole in (tiny_sdxl, tiny_file):
        assert load_vae(str(whole), changed, tiny_sdxl).decoder.conv_out.bias.equal(expected)
    alone = {
        name.removeprefix("first_stage_model."): tensor + 1
        for name, tensor in load_file(tiny_file).items()
        if name.startswith("first_stage_model.")
    }
    save_file(alone, tmp_path / "vae.safetensors")
    loaded = load_vae(str(tmp_path / "vae.safetensors"), own, tiny_sdxl)
    assert loaded.decoder.conv_out.bias.equal(expected + 1)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("nowhere", "is not there"),
        ("empty", "holds no VAE"),
        ("text", "cannot be used"),
        ("lora", "is a LoRA file"),
        ("scale", "not of SDXL's kind"),
    ],
)
def test_what_is_no_vae_for_sdxl_is_refused(tiny_sdxl, other, tmp_path, wrong, problem):
    path = tmp_path / wrong
    if wrong == "empty":
        path.mkdir()
    elif wrong == "text":
        path.write_text("<!DOCTYPE html>")
    elif wrong == "lora":
        save_file({"lora_unet_x.alpha": torch.ones(())}, path)
    elif wrong == "scale":
        config = other / "config.json"
        config.write_text(config.read_text().replace("0.13025", "0.18215"))
        path = other
    own = AutoencoderKL.from_pretrained(tiny_sdxl, subfolder="vae")
    with pytest.raises(BadBase, match=problem):
        load_vae(str(path), own)


def test_a_damaged_vae_is_refused_with_the_base(tiny_sdxl, other):
    (other / "diffusion_pytorch_model.safetensors").write_bytes(b"x")
    with pytest.raises(BadBase, match="'other' cannot be loaded"):
        load(tiny_sdxl, other)
