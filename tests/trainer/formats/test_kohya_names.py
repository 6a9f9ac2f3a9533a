"""kohya's names: exact, reversible, and refused where there is none. Whole lists: model/test_lora_targets.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import LoraFileError
from trainer.formats.kohya_names import kohya_name, module_path

KNOWN = {
    "unet.down_blocks.1.attentions.0.proj_in": "lora_unet_input_blocks_4_1_proj_in",
    "unet.down_blocks.2.attentions.1.transformer_blocks.9.ff.net.0.proj": (
        "lora_unet_input_blocks_8_1_transformer_blocks_9_ff_net_0_proj"
    ),
    "unet.mid_block.attentions.0.transformer_blocks.3.attn2.to_out.0": (
        "lora_unet_middle_block_1_transformer_blocks_3_attn2_to_out_0"
    ),
    "unet.up_blocks.0.attentions.2.transformer_blocks.0.attn1.to_q": (
        "lora_unet_output_blocks_2_1_transformer_blocks_0_attn1_to_q"
    ),
    "unet.up_blocks.1.attentions.2.proj_out": "lora_unet_output_blocks_5_1_proj_out",
    "unet.down_blocks.0.resnets.0.conv1": "lora_unet_input_blocks_1_0_in_layers_2",
    "unet.down_blocks.1.resnets.0.conv_shortcut": "lora_unet_input_blocks_4_0_skip_connection",
    "unet.down_blocks.0.downsamplers.0.conv": "lora_unet_input_blocks_3_0_op",
    "unet.mid_block.resnets.1.time_emb_proj": "lora_unet_middle_block_2_emb_layers_1",
    "unet.up_blocks.2.resnets.2.conv2": "lora_unet_output_blocks_8_0_out_layers_3",
    "unet.up_blocks.1.upsamplers.0.conv": "lora_unet_output_blocks_5_2_conv",
    "text_encoder.text_model.encoder.layers.11.self_attn.out_proj": (
        "lora_te1_text_model_encoder_layers_11_self_attn_out_proj"
    ),
    "text_encoder_2.text_model.encoder.layers.31.mlp.fc2": "lora_te2_text_model_encoder_layers_31_mlp_fc2",
}


@pytest.mark.parametrize(("module", "name"), KNOWN.items())
def test_known_names(module, name):
    assert kohya_name(module, 2) == name
    assert module_path(name, 2) == module


attention = st.one_of(
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
resnet = st.sampled_from(["conv1", "conv2", "time_emb_proj", "conv_shortcut"])


@given(
    layers=st.integers(1, 4),
    way=st.sampled_from(["down", "up", "mid"]),
    block=st.integers(0, 5),
    kind=st.sampled_from(["attentions", "resnets", "samplers"]),
    data=st.data(),
)
def test_names_are_reversible_at_any_depth(layers, way, block, kind, data):
    if kind == "samplers":
        way = "up" if way == "mid" else way
        module = f"unet.{way}_blocks.{block}.{way}samplers.0.conv"
    else:
        inner = data.draw(attention if kind == "attentions" else resnet)
        if way == "mid":
            place = f"mid_block.{kind}.{0 if kind == 'attentions' else data.draw(st.integers(0, 1))}"
        else:
            place = f"{way}_blocks.{block}.{kind}.{data.draw(st.integers(0, layers - 1 if way == 'down' else layers))}"
        module = f"unet.{place}.{inner}"
    assert module_path(kohya_name(module, layers), layers) == module


@pytest.mark.parametrize(
    "module",
    [
        "unet.conv_in",
        "unet.down_blocks.0.resnets.2.conv1",
        "unet.down_blocks.0.resnets.0.norm1",
        "unet.down_blocks.0.upsamplers.0.conv",
        "unet.down_blocks.1.attentions.0.norm",
        "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn3.to_q",
        "unet.base_model.model.down_blocks.1.attentions.0.proj_in",
        "unet.down_blocks.1.attentions.0.proj_in.lora_A",
        "down_blocks.1.attentions.0.proj_in",
        "text_encoder.encoder.layers.0.mlp.fc1",
        "text_encoder_2.text_projection",
        "text_encoder_3.text_model.encoder.layers.0.mlp.fc1",
        "unet",
        "",
    ],
)
def test_a_module_without_a_name_is_refused(module):
    with pytest.raises(LoraFileError, match="no place"):
        kohya_name(module, 2)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("lora_unet_down_blocks_1_attentions_0_proj_in", "unet.down_blocks.1.attentions.0.proj_in"),
        (
            "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0",
            "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0",
        ),
        ("lora_unet_up_blocks_2_resnets_1_conv_shortcut", "unet.up_blocks.2.resnets.1.conv_shortcut"),
        ("lora_unet_down_blocks_0_downsamplers_0_conv", "unet.down_blocks.0.downsamplers.0.conv"),
        ("lora_te1_encoder_layers_0_mlp_fc1", "text_encoder.text_model.encoder.layers.0.mlp.fc1"),
    ],
)
def test_names_other_programs_write_in_their_place_are_read(name, module):
    assert module_path(name, 2) == module


@pytest.mark.parametrize(
    "name",
    [
        "lora_unet_input_blocks_4_2_proj_in",
        "lora_unet_input_blocks_0_0_in_layers_2",
        "lora_unet_input_blocks_3_0_in_layers_2",
        "lora_unet_input_blocks_4_0_op",
        "lora_unet_output_blocks_1_2_conv",
        "lora_unet_middle_block_1_in_layers_2",
        "lora_unet_input_blocks_4_1_proj_in_",
        "lora_te_text_model_encoder_layers_0_mlp_fc1",
        "lora_te1_text_model_encoder_layers_0_mlp_fc3",
        "x",
        "",
    ],
)
def test_a_name_that_is_not_kohyas_is_refused(name):
    with pytest.raises(LoraFileError, match="not a module"):
        module_path(name, 2)
