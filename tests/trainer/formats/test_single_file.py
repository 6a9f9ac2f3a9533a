"""A single file in the original layout: told apart, and loaded without a network."""

import pytest
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from trainer.errors import LoraFileError
from trainer.formats.clip_bpe import clip_tokenizer
from trainer.formats.identify import identify, what_is
from trainer.formats.single_file import sdxl_config_folder, single_file_arguments
from trainer.model.base import load_base


def millions(model):
    return round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2)


def test_the_configs_are_those_of_sdxl():
    """The sizes of the published model, counted without its weights."""
    folder = sdxl_config_folder()
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae"))
        one = CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder"))
        two = CLIPTextModelWithProjection(CLIPTextConfig.from_pretrained(folder / "text_encoder_2"))
    assert [millions(model) for model in (unet, vae, one, two)] == [2567.46, 83.65, 123.06, 694.66]
    assert vae.config.scaling_factor == 0.13025
    scheduler = EulerDiscreteScheduler.from_pretrained(folder / "scheduler")
    assert (scheduler.config.beta_schedule, scheduler.config.prediction_type) == ("scaled_linear", "epsilon")


def test_the_tokenizer_is_clips():
    tokenizer = clip_tokenizer("!")
    assert len(tokenizer) == 49408
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer.pad_token_id == 0
    assert tokenizer("A  Photo\nof a CAT").input_ids == tokenizer("a photo of a cat").input_ids


def test_the_arguments_bring_clips_tokenizers_unless_the_folder_has_its_own(tiny_sdxl):
    arguments = single_file_arguments()
    assert arguments["local_files_only"] is True
    assert arguments["tokenizer"].pad_token_id == 49407
    assert arguments["tokenizer_2"].pad_token_id == 0
    assert "tokenizer" not in single_file_arguments(tiny_sdxl)


def test_a_single_file_loads_as_the_folder_it_was_made_from(tiny_file, tiny_sdxl, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = load_base(str(tiny_sdxl), device=torch.device("cpu"), dtype=torch.float32)
    file = load_base(str(tiny_file), device=torch.device("cpu"), dtype=torch.float32, single_file_config=tiny_sdxl)
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        ours, theirs = getattr(file, part).state_dict(), getattr(folder, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), part
    assert file.prediction_type == "epsilon"
    assert file.sha256
    assert file.name == "tiny"


def test_without_a_config_of_its_own_it_is_read_as_sdxl_base(tiny_file):
    """The tiny weights do not fit SDXL's configs, which shows that those were used, offline."""
    with pytest.raises((ValueError, RuntimeError)):
        StableDiffusionXLPipeline.from_single_file(str(tiny_file), **single_file_arguments())


def save(path, *names, shape=(4, 4, 3, 3)):
    save_file({name: torch.zeros(shape) for name in names}, path)
    return path


UNET = "model.diffusion_model.input_blocks.0.0.weight"
TEXT = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias"


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ([UNET, TEXT], "sdxl"),
        ([UNET, TEXT.replace("embedders.1", "embedders.0")], "sdxl-refiner"),
        ([UNET, "cond_stage_model.transformer.text_model.final_layer_norm.bias"], "sd1"),
        ([UNET, "cond_stage_model.model.transformer.resblocks.0.ln_1.bias"], "sd2"),
        (["model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight"], "sd3"),
        (["model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale"], "flux"),
        (["double_blocks.0.img_attn.proj.weight"], "flux"),
        (["lora_unet_input_blocks_4_1_proj_in.lora_down.weight"], "lora"),
        (["unet.down_blocks.1.attentions.0.proj_in.lora_A.weight"], "lora"),
        (["unet.down_blocks.1.attentions.0.proj_in.lora.down.weight"], "lora"),
        (["first_stage_model.decoder.conv_in.weight"], "vae"),
        (["decoder.conv_in.weight", "encoder.conv_in.weight"], "vae"),
        (["down_blocks.0.resnets.0.conv1.weight", "conv_in.weight"], "part"),
        (["text_model.embeddings.token_embedding.weight"], "part"),
        ([UNET], "unknown"),
        (["weight"], "unknown"),
    ],
)
def test_a_file_is_told_by_its_header(tmp_path, names, kind):
    path = save(tmp_path / "model.safetensors", *names)
    assert identify(path).kind == kind
    assert what_is(path)


def test_an_inpainting_model_is_not_a_base(tmp_path):
    path = save(tmp_path / "model.safetensors", UNET, TEXT, shape=(4, 9, 3, 3))
    assert identify(path).kind == "sdxl-inpainting"


def test_the_whole_tiny_file_is_sdxl(tiny_file):
    checkpoint = identify(tiny_file)
    assert (checkpoint.kind, checkpoint.v_prediction, checkpoint.zero_terminal_snr) == ("sdxl", False, False)
    assert what_is(tiny_file) == "an SDXL checkpoint"


def test_the_mark_of_v_prediction_is_seen(tmp_path):
    checkpoint = identify(save(tmp_path / "model.safetensors", UNET, TEXT, "v_pred", "ztsnr"))
    assert checkpoint.v_prediction
    assert checkpoint.zero_terminal_snr


def test_a_pickle_is_not_looked_into(tmp_path):
    torch.save({UNET: torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(LoraFileError, match="pickle"):
        what_is(tmp_path / "model.safetensors")
