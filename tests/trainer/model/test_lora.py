from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from trainer.contract.config import TrainConfig
from trainer.formats.kohya import kohya_name
from trainer.formats.single_file import sdxl_config_folder
from trainer.model.lora import attach_lora, load_lora_state, lora_state, lora_weight, target_modules

KOHYA_MODULES = Path(__file__).parents[3] / "../shared/facts/kohya-sdxl-modules.tsv"
CONFIG = TrainConfig(rank=3, alpha=1.5)


@pytest.fixture(scope="module")
def sdxl_unet():
    """SDXL's UNet in its real size, without memory for weights."""
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(sdxl_config_folder() / "unet"))


@pytest.fixture
def unet(tiny_sdxl):
    return UNet2DConditionModel.from_pretrained(tiny_sdxl, subfolder="unet").eval()


def output(unet):
    chance = torch.Generator().manual_seed(0)
    pooled_width = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
    text = torch.randn(1, 77, unet.config.cross_attention_dim, generator=chance)
    pooled = torch.randn(1, pooled_width, generator=chance)
    with torch.no_grad():
        return unet(
            torch.randn(1, 4, 8, 8, generator=chance),
            torch.tensor([500]),
            encoder_hidden_states=text,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": torch.ones(1, 6)},
        ).sample


def fill(unet):
    """Give B some weight, so that the LoRA does something."""
    for name, tensor in lora_state(unet).items():
        if "lora_B" in name:
            tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)) * 0.1)


def test_target_counts_on_sdxl(sdxl_unet):
    assert len(target_modules(sdxl_unet, "kohya")) == 722
    assert len(target_modules(sdxl_unet, "attention")) == 560


@pytest.mark.skipif(not KOHYA_MODULES.exists(), reason="the list of kohya's own modules is not here")
def test_targets_are_kohyas_own_modules(sdxl_unet):
    lines = KOHYA_MODULES.read_text().splitlines()[1:]
    theirs = {line.split("\t")[0] for line in lines if line.startswith("lora_unet_")}
    assert {kohya_name(path, 2) for path in target_modules(sdxl_unet, "kohya")} == theirs


def test_a_fresh_lora_changes_nothing_and_alone_is_trained(unet):
    before = output(unet)
    weights = attach_lora(unet, CONFIG, 7)
    assert output(unet).equal(before)
    trained = {id(parameter) for parameter in unet.parameters() if parameter.requires_grad}
    assert trained == {id(parameter) for parameter in weights.values()}
    assert weights.keys() == lora_state(unet).keys()


def test_the_start_depends_on_the_seed_alone(unet, tiny_sdxl):
    attach_lora(unet, CONFIG, 7)
    first = lora_state(unet)
    torch.manual_seed(99)
    twin = UNet2DConditionModel.from_pretrained(tiny_sdxl, subfolder="unet")
    attach_lora(twin, CONFIG, 7)
    assert all(tensor.equal(lora_state(twin)[name]) for name, tensor in first.items())
    other = UNet2DConditionModel.from_pretrained(tiny_sdxl, subfolder="unet")
    attach_lora(other, CONFIG, 8)
    assert not all(tensor.equal(lora_state(other)[name]) for name, tensor in first.items())
    for name, tensor in first.items():
        if "lora_A" in name:  # kaiming-uniform with a = sqrt(5): within 1 / sqrt(in)
            assert 0 < tensor.abs().max() <= tensor.shape[1] ** -0.5


def test_the_output_is_that_of_merged_weights(unet, tiny_sdxl):
    """alpha / rank B A added to each W by hand gives the same picture."""
    attach_lora(unet, CONFIG, 7)
    fill(unet)
    merged = UNet2DConditionModel.from_pretrained(tiny_sdxl, subfolder="unet").eval()
    state = lora_state(unet)
    for path in target_modules(merged, "kohya"):
        delta = state[f"{path}.lora_B.weight"] @ state[f"{path}.lora_A.weight"]
        merged.get_submodule(path).weight.data += 1.5 / 3 * delta
    assert (output(unet) - output(merged)).abs().max() < 1e-5


def test_weight_scales_the_lora_and_is_put_back(unet):
    before = output(unet)
    attach_lora(unet, CONFIG, 7)
    fill(unet)
    full = output(unet)
    with lora_weight(unet, 0.0):
        assert (output(unet) - before).abs().max() < 1e-6
    with lora_weight(unet, 0.5):
        assert (output(unet) - before).abs().max() > 1e-4
        assert not output(unet).equal(full)
    assert output(unet).equal(full)


def test_a_state_goes_back_in(unet, tiny_sdxl):
    attach_lora(unet, CONFIG, 7)
    fill(unet)
    twin = UNet2DConditionModel.from_pretrained(tiny_sdxl, subfolder="unet").eval()
    attach_lora(twin, CONFIG, 1)
    load_lora_state(twin, lora_state(unet))
    assert output(twin).equal(output(unet))


def test_another_loras_state_is_refused_and_changes_nothing(unet, tiny_sdxl):
    attach_lora(unet, CONFIG, 7)
    other = UNet2DConditionModel.from_pretrained(tiny_sdxl, subfolder="unet")
    attach_lora(other, TrainConfig(rank=4), 7)
    before = {name: tensor.clone() for name, tensor in lora_state(unet).items()}
    with pytest.raises(ValueError, match="differ in name or shape"):
        load_lora_state(unet, lora_state(other))
    assert all(tensor.equal(before[name]) for name, tensor in lora_state(unet).items())


def test_full_bf16_keeps_the_weights_in_bf16(unet):
    attach_lora(unet, CONFIG, 7, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in lora_state(unet).values()} == {torch.bfloat16}
