"""The proof of a LoRA file: the programs people use load it and get what was trained.

diffusers is run for real. ComfyUI's and A1111's rules are restated here from their sources, since neither is at hand.
"""

import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel

from tests.trainer.formats.test_metadata import metadata
from tests.trainer.support.single_file import ldm_name
from trainer.contract.config import TrainConfig
from trainer.formats.inspect import a1111_version, describe
from trainer.formats.kohya import peft_tensors
from trainer.formats.lora_file import read_lora, save_lora
from trainer.formats.single_file import sdxl_config_folder
from trainer.model.lora import attach_lora, load_lora_state, lora_state

RANK, ALPHA = 4, 6.0  # not equal, so that a loader that forgets alpha is found out


def pipeline(folder):
    return StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False, local_files_only=True)


def output(unet):
    """The UNet's answer to a fixed question."""
    generator = torch.Generator().manual_seed(5)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    with torch.no_grad():
        return unet(
            normal(2, 4, 8, 8),
            torch.tensor([10, 900]),
            encoder_hidden_states=normal(2, 77, unet.config.cross_attention_dim),
            added_cond_kwargs={
                "text_embeds": normal(2, unet.config.projection_class_embeddings_input_dim - 6 * 32),
                "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]] * 2),
            },
        ).sample


@pytest.fixture(scope="module")
def base_output(tiny_sdxl):
    return output(pipeline(tiny_sdxl).unet)


@pytest.fixture(scope="module")
def trained(tiny_sdxl):
    """A UNet with a LoRA that has really learned: 20 steps towards a fixed picture."""
    unet = pipeline(tiny_sdxl).unet
    unet.requires_grad_(False)
    weights = list(attach_lora(unet, TrainConfig(rank=RANK, alpha=ALPHA), seed=1).values())
    optimizer = torch.optim.AdamW(weights, lr=5e-3)
    generator = torch.Generator().manual_seed(2)
    for _ in range(20):
        answer = unet(
            torch.randn(1, 4, 8, 8, generator=generator),
            torch.tensor([500]),
            encoder_hidden_states=torch.zeros(1, 77, unet.config.cross_attention_dim),
            added_cond_kwargs={
                "text_embeds": torch.zeros(1, unet.config.projection_class_embeddings_input_dim - 6 * 32),
                "time_ids": torch.zeros(1, 6),
            },
        ).sample
        (answer - 1).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return unet


@pytest.fixture(params=[torch.float16, torch.bfloat16, torch.float32], ids=str)
def lora_path(request, trained, tmp_path):
    path = tmp_path / "lisaxl_v1.safetensors"
    save_lora(path, lora_state(trained), alpha=ALPHA, layers_per_block=2, metadata=metadata(), dtype=request.param)
    return path


def test_diffusers_loads_exactly_what_was_trained(trained, lora_path, tiny_sdxl, base_output):
    rounded, alpha = peft_tensors(read_lora(lora_path).tensors, layers_per_block=2)
    assert alpha == ALPHA
    load_lora_state(trained, rounded)
    expected = output(trained)

    fresh = pipeline(tiny_sdxl)
    fresh.load_lora_weights(lora_path)
    actual = output(fresh.unet)

    error = (actual - expected).abs().max()
    learned = (expected - base_output).abs().max()
    assert error < 1e-5
    assert learned > 1e-3
    assert learned > 100 * error


def test_diffusers_without_alpha_would_differ(trained, lora_path, tiny_sdxl):
    """The test above can fail: alpha matters to it."""
    fresh = pipeline(tiny_sdxl)
    tensors = {name: t for name, t in read_lora(lora_path).tensors.items() if not name.endswith(".alpha")}
    fresh.load_lora_weights(tensors)
    assert (output(fresh.unet) - output(trained)).abs().max() > 1e-3


def comfy_key_map(unet):
    """ComfyUI's model_lora_keys_unet (comfy/lora.py): every weight of the original layout, dots to underscores."""
    return {
        "lora_unet_" + ldm_name(name).removesuffix(".weight").replace(".", "_"): tuple(tensor.shape)
        for name, tensor in unet.state_dict().items()
        if name.endswith(".weight")
    }


def comfy_loads(tensors, key_map):
    """The keys ComfyUI's load_lora takes, and the shape of each module's product."""
    taken, products = set(), {}
    for module in key_map:
        names = [f"{module}{end}" for end in (".alpha", ".lora_up.weight", ".lora_down.weight")]
        if names[1] in tensors:
            taken.update(name for name in names if name in tensors)
            products[module] = (tensors[names[1]].shape[0], tensors[names[2]].shape[1])
    return taken, products


def test_comfyui_takes_every_key_of_a_tiny_file(lora_path, tiny_sdxl):
    tensors = read_lora(lora_path).tensors
    key_map = comfy_key_map(pipeline(tiny_sdxl).unet)
    taken, products = comfy_loads(tensors, key_map)
    assert taken == tensors.keys()
    assert all(key_map[module] == shape for module, shape in products.items())
    assert len(products) == 132


def test_comfyui_takes_every_key_of_a_full_size_file(tmp_path):
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(sdxl_config_folder() / "unet"))
    key_map = comfy_key_map(unet)
    state = {}
    for name, module in unet.named_modules():
        if isinstance(module, torch.nn.Linear) and ".attentions." in name:
            state[f"{name}.lora_A.weight"] = torch.zeros(1, module.in_features)
            state[f"{name}.lora_B.weight"] = torch.zeros(module.out_features, 1)
    path = tmp_path / "full.safetensors"
    save_lora(path, state, alpha=1.0, layers_per_block=2, metadata=metadata())
    tensors = read_lora(path).tensors
    taken, products = comfy_loads(tensors, key_map)
    assert taken == tensors.keys()
    assert len(products) == 722
    assert all(key_map[module] == shape for module, shape in products.items())
    assert describe(path).warnings == ()


def test_a1111_shows_it_beside_sdxl_with_or_without_private_fields(lora_path):
    assert a1111_version(read_lora(lora_path).metadata) == "SDXL"
    assert a1111_version(metadata(strip=True)) == "SDXL"
    assert describe(lora_path).warnings == ()
