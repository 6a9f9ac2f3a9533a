"""Which modules get a LoRA, on SDXL in its real size, built without memory for weights."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.trainer.support.single_file import ldm_name
from trainer.contract.config import TrainConfig
from trainer.contract.estimates import file_bytes
from trainer.formats.kohya_names import kohya_name, module_path
from trainer.formats.single_file import sdxl_config_folder
from trainer.model.lora_targets import is_spatial, text_targets, unet_targets

KOHYA_MODULES = Path(__file__).parents[3] / "../shared/facts/kohya-sdxl-modules.tsv"
"""Every module sd-scripts trains, with its shapes at rank 16, made with sd-scripts itself."""
LOCON = TrainConfig(conv_rank=8)


@pytest.fixture(scope="module")
def unet():
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(sdxl_config_folder() / "unet"))


@pytest.fixture(scope="module")
def encoders():
    kinds = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    with torch.device("meta"):
        return {part: kind(CLIPTextConfig.from_pretrained(sdxl_config_folder() / part)) for part, kind in kinds.items()}


def text_names(part, encoder):
    return {
        kohya_name(f"{part}.text_model.{path.removeprefix('text_model.')}", 2): encoder.get_submodule(path)
        for path in text_targets(encoder)
    }


def test_counts(unet, encoders):
    assert len(unet_targets(unet, TrainConfig())) == 722
    assert len(unet_targets(unet, TrainConfig(targets="attention"))) == 560
    assert len(text_targets(encoders["text_encoder"])) == 72
    assert len(text_targets(encoders["text_encoder_2"])) == 192


def test_names_and_shapes_are_those_sd_scripts_makes(unet, encoders):
    if not KOHYA_MODULES.exists():
        pytest.skip("the list of kohya's own modules is not here")
    rows = [line.split("\t") for line in KOHYA_MODULES.read_text().splitlines()[1:]]
    modules = {kohya_name(f"unet.{path}", 2): unet.get_submodule(path) for path in unet_targets(unet, TrainConfig())}
    for part, encoder in encoders.items():
        modules |= text_names(part, encoder)
    shapes = {name: (f"16x{layer.in_features}", f"{layer.out_features}x16") for name, layer in modules.items()}
    assert shapes == {name: (down, up) for name, down, up in rows}
    assert len(shapes) == 986


def test_a_rank_for_convolutions_adds_what_sd_scripts_adds(unet):
    """17 residual blocks with 2 convolutions and a time projection each, 11 shortcuts, 2 + 2 samplers."""
    paths = unet_targets(unet, LOCON)
    added = set(paths) - set(unet_targets(unet, TrainConfig()))
    assert len(paths) == 788
    layers = {path: unet.get_submodule(path) for path in added}
    assert sum(is_spatial(layer) for layer in layers.values()) == 17 * 2 + 4
    assert sum(isinstance(layer, nn.Linear) for layer in layers.values()) == 17
    assert sum(path.endswith("conv_shortcut") for path in added) == 11
    assert not {"conv_in", "conv_out", "time_embedding.linear_1", "add_embedding.linear_1"} & set(paths)
    attention = TrainConfig(targets="attention", conv_rank=8)
    assert len(unet_targets(unet, attention)) == 560 + 66


@pytest.mark.parametrize("changes", [{}, {"targets": "attention", "conv_rank": 8}, {"conv_rank": 4}], ids=str)
def test_a_files_size_is_estimated_from_these_modules(unet, encoders, changes):
    config = TrainConfig(**changes, rank=16, text_encoder_1=True, text_encoder_2=True, file_precision="fp16")
    layers = [unet.get_submodule(path) for path in unet_targets(unet, config)]
    layers += [encoder.get_submodule(path) for encoder in encoders.values() for path in text_targets(encoder)]
    ranks = [config.conv_rank if is_spatial(layer) else config.rank for layer in layers]
    widths = [layer.weight[0].numel() + len(layer.weight) for layer in layers]
    assert file_bytes(config) == 2 * sum(rank * width for rank, width in zip(ranks, widths, strict=True))


def test_all_788_have_the_name_of_their_weight_in_a_single_file(unet):
    """`ldm_name` is proven by diffusers' own loader of single files; ComfyUI builds its names from those weights."""
    for path in unet_targets(unet, LOCON):
        name = kohya_name(f"unet.{path}", 2)
        assert name == "lora_unet_" + ldm_name(f"{path}.weight").removesuffix(".weight").replace(".", "_")
        assert module_path(name, 2) == f"unet.{path}"
