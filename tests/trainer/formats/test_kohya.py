"""kohya's names: exact for SDXL, reversible, and refused where there is none."""

import random
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import LoraFileError
from trainer.formats.kohya import kohya_name, kohya_tensors, module_path, peft_tensors
from trainer.formats.single_file import sdxl_config_folder

FACTS = Path(__file__).parents[3] / "../shared/facts/kohya-sdxl-modules.tsv"


@pytest.fixture(scope="module")
def sdxl_linears() -> dict[str, torch.nn.Linear]:
    """Every linear layer in the transformers of the full-size SDXL UNet, without weights."""
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(sdxl_config_folder() / "unet"))
    return {
        name: module
        for name, module in unet.named_modules()
        if isinstance(module, torch.nn.Linear) and ".attentions." in name
    }


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("down_blocks.1.attentions.0.proj_in", "lora_unet_input_blocks_4_1_proj_in"),
        (
            "down_blocks.2.attentions.1.transformer_blocks.9.ff.net.0.proj",
            "lora_unet_input_blocks_8_1_transformer_blocks_9_ff_net_0_proj",
        ),
        (
            "mid_block.attentions.0.transformer_blocks.3.attn2.to_out.0",
            "lora_unet_middle_block_1_transformer_blocks_3_attn2_to_out_0",
        ),
        (
            "up_blocks.0.attentions.2.transformer_blocks.0.attn1.to_q",
            "lora_unet_output_blocks_2_1_transformer_blocks_0_attn1_to_q",
        ),
        ("up_blocks.1.attentions.2.proj_out", "lora_unet_output_blocks_5_1_proj_out"),
    ],
)
def test_known_names(module, name):
    assert kohya_name(module, 2) == name
    assert module_path(name, 2) == module


def test_sdxl_has_kohyas_722_modules(sdxl_linears):
    names = {kohya_name(module, 2) for module in sdxl_linears}
    assert len(names) == len(sdxl_linears) == 722


@pytest.mark.skipif(not FACTS.is_file(), reason="the list made with sd-scripts itself is not at hand")
def test_names_and_shapes_are_those_sd_scripts_makes(sdxl_linears):
    rows = [line.split("\t") for line in FACTS.read_text().splitlines()[1:]]
    expected = {name: (down, up) for name, down, up in rows if name.startswith("lora_unet_")}
    shapes = {
        kohya_name(module, 2): (f"16x{linear.in_features}", f"{linear.out_features}x16")
        for module, linear in sdxl_linears.items()
    }
    assert shapes == expected


inners = st.one_of(
    st.sampled_from(["proj_in", "proj_out"]),
    st.builds(
        "transformer_blocks.{}.{}".format,
        st.integers(0, 99),
        st.one_of(
            st.builds(
                "attn{}.{}".format, st.sampled_from([1, 2]), st.sampled_from(["to_q", "to_k", "to_v", "to_out.0"])
            ),
            st.sampled_from(["ff.net.0.proj", "ff.net.2"]),
        ),
    ),
)


@given(
    layers=st.integers(1, 4),
    way=st.sampled_from(["down", "up", "mid"]),
    block=st.integers(0, 5),
    inner=inners,
    data=st.data(),
)
def test_names_are_reversible_at_any_depth(layers, way, block, inner, data):
    if way == "mid":
        module = f"mid_block.attentions.0.{inner}"
    else:
        attention = data.draw(st.integers(0, layers - 1 if way == "down" else layers))
        module = f"{way}_blocks.{block}.attentions.{attention}.{inner}"
    assert module_path(kohya_name(module, layers), layers) == module


@pytest.mark.parametrize(
    "module",
    [
        "conv_in",
        "down_blocks.0.resnets.0.conv1",
        "down_blocks.1.attentions.0.norm",
        "down_blocks.1.attentions.0.transformer_blocks.0.attn3.to_q",
        "base_model.model.down_blocks.1.attentions.0.proj_in",
        "down_blocks.1.attentions.0.proj_in.lora_A",
        "",
    ],
)
def test_a_module_without_a_name_is_refused(module):
    with pytest.raises(LoraFileError, match="no place"):
        kohya_name(module, 2)


@pytest.mark.parametrize(
    "name", ["lora_te1_text_model_encoder_layers_0_mlp_fc1", "lora_unet_input_blocks_4_2_proj_in", "x"]
)
def test_a_name_that_is_not_kohyas_unet_is_refused(name):
    with pytest.raises(LoraFileError, match="not a module"):
        module_path(name, 2)


def lora_state(modules, rank=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for module in modules:
        state[f"{module}.lora_A.weight"] = torch.randn(rank, 6, generator=generator)
        state[f"{module}.lora_B.weight"] = torch.randn(8, rank, generator=generator)
    return state


MODULES = [
    "down_blocks.1.attentions.0.proj_in",
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0",
    "up_blocks.0.attentions.2.transformer_blocks.0.ff.net.2",
]


def test_tensors_come_back_with_alpha():
    state = lora_state(MODULES)
    tensors = kohya_tensors(state, alpha=1.5, layers_per_block=2, dtype=torch.float32)
    assert len(tensors) == 3 * len(MODULES)
    assert all(tensors[name].shape == () for name in tensors if name.endswith(".alpha"))
    back, alpha = peft_tensors(tensors, layers_per_block=2)
    assert alpha == 1.5
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_alpha_is_not_rounded_with_the_weights():
    tensors = kohya_tensors(lora_state(MODULES), alpha=92.3, layers_per_block=2, dtype=torch.bfloat16)
    _, alpha = peft_tensors(tensors, layers_per_block=2)
    assert alpha == pytest.approx(92.3, rel=1e-6)


def test_the_order_of_the_input_does_not_matter():
    state = lora_state(MODULES)
    shuffled = list(state.items())
    random.Random(1).shuffle(shuffled)
    one, two = (kohya_tensors(dict(s), alpha=1, layers_per_block=2, dtype=torch.float16) for s in (state, shuffled))
    assert list(one) == list(two) == sorted(one)


def test_a_file_without_alpha_has_the_strength_one():
    tensors = kohya_tensors(lora_state(MODULES, rank=4), alpha=2, layers_per_block=2, dtype=torch.float32)
    _, alpha = peft_tensors({n: t for n, t in tensors.items() if not n.endswith("alpha")}, layers_per_block=2)
    assert alpha == 4


def test_linears_stored_as_1x1_convolutions_are_read():
    tensors = kohya_tensors(lora_state(MODULES), alpha=2, layers_per_block=2, dtype=torch.float32)
    as_conv = {name: t[:, :, None, None] if t.dim() == 2 else t for name, t in tensors.items()}
    state, _ = peft_tensors(as_conv, layers_per_block=2)
    assert all(tensor.dim() == 2 for tensor in state.values())


def test_half_a_pair_is_refused_both_ways():
    state = lora_state(MODULES)
    del state[f"{MODULES[0]}.lora_B.weight"]
    with pytest.raises(LoraFileError, match="lacks one"):
        kohya_tensors(state, alpha=1, layers_per_block=2, dtype=torch.float32)
    tensors = kohya_tensors(lora_state(MODULES), alpha=1, layers_per_block=2, dtype=torch.float32)
    with pytest.raises(LoraFileError, match="lacks one"):
        peft_tensors(
            {n: t for n, t in tensors.items() if not n.endswith("4_1_proj_in.lora_up.weight")}, layers_per_block=2
        )


def test_mixed_ranks_text_encoders_and_strangers_are_refused():
    tensors = kohya_tensors(lora_state(MODULES), alpha=1, layers_per_block=2, dtype=torch.float32)
    other = kohya_tensors(lora_state(MODULES[:1], rank=2), alpha=1, layers_per_block=2, dtype=torch.float32)
    te = {"lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.zeros(4, 4)}
    for extra, message in ((other, "differ"), (te, "not a module"), ({"weight": torch.zeros(1)}, "'weight'")):
        with pytest.raises(LoraFileError, match=message):
            peft_tensors({**tensors, **extra}, layers_per_block=2)
    with pytest.raises(LoraFileError, match="nothing"):
        peft_tensors({}, layers_per_block=2)


def test_a_key_that_is_no_lora_matrix_is_refused():
    with pytest.raises(LoraFileError, match="not a LoRA matrix"):
        kohya_tensors({"conv_in.weight": torch.zeros(1)}, alpha=1, layers_per_block=2, dtype=torch.float32)
