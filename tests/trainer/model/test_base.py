import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from trainer.errors import BadBase
from trainer.model.base import load_base

CPU = torch.device("cpu")


def load(base, dtype=torch.float32, **more):
    return load_base(str(base), device=CPU, dtype=dtype, **more)


@pytest.fixture
def folder(tiny_sdxl, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(tiny_sdxl, tmp_path / "model")


def test_a_folder_is_frozen_and_ready(tiny_sdxl):
    base = load(tiny_sdxl)
    for module in (base.unet, base.vae, base.text_encoder, base.text_encoder_2):
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())
    assert (base.prediction_type, base.name, base.sha256) == ("epsilon", tiny_sdxl.name, "")
    assert base.scheduler_config["beta_schedule"] == "scaled_linear"


def test_the_vae_stays_in_fp32(tiny_sdxl):
    base = load(tiny_sdxl, torch.bfloat16)
    assert (base.unet.dtype, base.text_encoder.dtype, base.text_encoder_2.dtype) == (torch.bfloat16,) * 3
    assert base.vae.dtype == torch.float32


def test_the_vae_of_a_single_file_stays_in_fp32_with_all_its_bits(tiny_sdxl, tiny_file):
    base = load(tiny_file, torch.bfloat16, single_file_config=tiny_sdxl)
    assert base.unet.dtype == torch.bfloat16
    expected = load(tiny_sdxl).vae.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in base.vae.state_dict().items())


def test_a_single_file_marked_as_v_prediction_is_trained_as_such(tiny_sdxl, tiny_file, tmp_path):
    path = tmp_path / "noob.safetensors"
    save_file({**load_file(tiny_file), "v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, path)
    base = load(path, single_file_config=tiny_sdxl)
    assert base.prediction_type == "v_prediction"
    assert base.scheduler_config["rescale_betas_zero_snr"] is True


def test_fp16_files_alone_are_enough(folder):
    expected = load(folder).unet.state_dict()
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        [file] = (folder / part).glob("*.safetensors")
        file.rename(file.with_name(f"{file.stem}.fp16.safetensors"))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in load(folder).unet.state_dict().items())


def refused(base, words):
    with pytest.raises(BadBase, match=words) as caught:
        load(base)
    assert str(base.parent) not in str(caught.value)


def test_what_is_not_there(tmp_path):
    refused(tmp_path / "no.safetensors", "is not there")


# diffusers itself passes huggingface_hub an argument that the latter calls deprecated.
@pytest.mark.filterwarnings("ignore:The `local_dir_use_symlinks` argument:UserWarning")
def test_a_hub_model_that_is_not_on_this_machine_while_offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadBase, match="'some-unknown/model' cannot be loaded"):
        load("some-unknown/model")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("StableDiffusionPipeline", "is StableDiffusionPipeline, not SDXL"),
        ("\x1b[31mStable", "is of an unknown kind, not SDXL"),
        (["StableDiffusionXLPipeline"], "is of an unknown kind, not SDXL"),
    ],
)
def test_another_kind_of_model(tmp_path, kind, words):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    refused(tmp_path, words)


def test_a_folder_without_an_index(tmp_path):
    refused(tmp_path, "is no diffusers model")


def test_latents_scaled_in_another_way_than_sdxls(folder):
    """Playground 2.5 calls itself SDXL, and would be trained wrongly without a word."""
    config = json.loads((folder / "vae" / "config.json").read_text())
    (folder / "vae" / "config.json").write_text(json.dumps({**config, "latents_mean": [0.0, 0.0, 0.0, 0.0]}))
    refused(folder, "scales its latents in another way")


def test_a_missing_part(folder):
    shutil.rmtree(folder / "text_encoder_2")
    refused(folder, "lacks text_encoder_2")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "text_encoder_2"])
def test_weights_that_are_missing_are_not_made_up(folder, part):
    [weights] = (folder / part).glob("*.safetensors")
    tensors = load_file(weights)
    del tensors[min(tensors)]
    save_file(tensors, weights, {"format": "pt"})
    refused(folder, "'model' cannot be loaded")


def test_a_tokenizer_without_words_is_none(folder):
    """transformers makes an empty vocabulary of an empty folder."""
    for file in (folder / "tokenizer_2").iterdir():
        file.unlink()
    refused(folder, "'model' cannot be loaded")


@pytest.mark.parametrize(
    ("file", "text"),
    [("scheduler/scheduler_config.json", "[]"), ("tokenizer/tokenizer.json", "5"), ("vae/config.json", "{")],
)
def test_a_damaged_description(folder, file, text):
    (folder / file).write_text(text)
    refused(folder, "'model' cannot be loaded")


@pytest.mark.parametrize("damage", ["cut", "pickle only", "other shapes"])
def test_damaged_weights(folder, damage):
    [weights] = (folder / "unet").glob("*.safetensors")
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif damage == "other shapes":
        save_file({name: torch.zeros(3) for name in load_file(weights)}, weights)
    else:
        torch.save(load_file(weights), weights.with_name("diffusion_pytorch_model.bin"))
        weights.unlink()
    refused(folder, "'model' cannot be loaded")


def test_an_inpainting_unet(folder):
    config = json.loads((folder / "unet" / "config.json").read_text())
    [weights] = (folder / "unet").glob("*.safetensors")
    tensors = load_file(weights)
    tensors["conv_in.weight"] = torch.zeros(16, 9, 3, 3)
    save_file(tensors, weights, {"format": "pt"})
    (folder / "unet" / "config.json").write_text(json.dumps({**config, "in_channels": 9}))
    refused(folder, "inpainting")


def test_a_pickle_under_another_name(tmp_path):
    path = tmp_path / "model.safetensors"
    torch.save({"a": torch.zeros(3)}, path)
    refused(path, "pickle")


def test_a_single_file_that_is_something_else(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"lora_unet_mid_block.lora_down.weight": torch.zeros(3)}, path)
    refused(path, "is a LoRA file")


def test_a_single_file_that_is_cut_or_lacks_weights(tiny_sdxl, tiny_file, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(tiny_file.read_bytes()[:-5])
    refused(path, "cut short")
    tensors = load_file(tiny_file)
    for lost in ("first_stage_model.", "conditioner.embedders.1.model.ln_final.weight"):
        save_file({name: tensor for name, tensor in tensors.items() if not name.startswith(lost)}, path)
        with pytest.raises(BadBase, match=r"cannot be loaded|lacks weights of its text_encoder_2"):
            load(path, single_file_config=tiny_sdxl)
