"""The proof of a LoRA file: the programs people use load it and get what was trained.

diffusers and peft are run for real. ComfyUI's and A1111's rules are restated here from their sources, since neither is
at hand.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import PeftModel

from tests.trainer.formats.test_metadata import metadata
from tests.trainer.support.networks import NETWORKS, answers, attached, difference, pipeline, settings, small_base
from tests.trainer.support.single_file import ldm_name
from trainer.contract.config import TrainConfig
from trainer.formats.convert.files import convert, read
from trainer.formats.convert.lora import part_modules
from trainer.formats.inspect import describe
from trainer.formats.lora_file import read_lora, save_lora
from trainer.formats.single_file import sdxl_config_folder
from trainer.model.base import BaseModel
from trainer.model.lora import load_lora_state, lora_state
from trainer.model.lora_targets import unet_targets

PARTS = ("unet", "text_encoder", "text_encoder_2")
PRECISIONS = {"rank-stabilised": "bf16", "convolutions and text encoders": "fp32"}
"""Of the files; fp16 where not named here."""


@dataclass(frozen=True)
class Case:
    """A trained network and its file."""

    config: TrainConfig
    trained: BaseModel
    """Its weights rounded as in the file."""
    shown: dict[str, torch.Tensor]
    path: Path


@pytest.fixture(scope="module")
def base(tiny_sdxl):
    return small_base(tiny_sdxl)


@pytest.fixture(scope="module")
def plain(base):
    return answers(base)


@pytest.fixture(scope="module")
def pipe(base):
    return pipeline(base)


@pytest.fixture(scope="module", params=NETWORKS)
def case(request, base, tmp_path_factory):
    config = settings(**NETWORKS[request.param], file_precision=PRECISIONS.get(request.param, "fp16"))
    trained = attached(base, config)
    path = tmp_path_factory.mktemp("loras") / "lisaxl_v1.safetensors"
    save_lora(path, lora_state(trained), config=config, layers_per_block=2, metadata=metadata())
    load_lora_state(trained, state_in(path, lora_state(trained)))
    return Case(config, trained, answers(trained), path)


def state_in(path, like):
    """The file's weights as a `lora_state` in fp32."""
    state = {}
    for name, module in read(path).modules.items():
        state[f"{name}.lora_A.weight"], state[f"{name}.lora_B.weight"] = module.down.float(), module.up.float()
        if module.magnitudes is not None:
            magnitudes = f"{name}.lora_magnitude_vector.weight"
            state[magnitudes] = module.magnitudes.view(like[magnitudes].shape)
    return state


def in_diffusers(pipe, path):
    """What diffusers shows with this file loaded."""
    pipe.load_lora_weights(path)
    try:
        return answers(pipe)
    finally:
        pipe.unload_lora_weights()


def test_diffusers_loads_exactly_what_was_trained(case, pipe, plain):
    """Except DoRA, whose magnitudes it leaves out of a kohya file; converted they are there (see below)."""
    shown = in_diffusers(pipe, case.path)
    if case.config.decompose:
        assert difference(shown, case.shown) > 1e-3
    else:
        assert difference(shown, case.shown) < 1e-5
    learned = (case.shown["unet"] - plain["unet"]).abs().max()
    assert learned > 1e-3
    assert difference(answers(pipe), plain) == 0


@pytest.mark.parametrize("case", ["kohya", "everything"], indirect=True)
def test_diffusers_loads_the_converted_file_exactly(case, pipe, tmp_path):
    convert(case.path, tmp_path / "d.safetensors", "diffusers")
    assert difference(in_diffusers(pipe, tmp_path / "d.safetensors"), case.shown) < 1e-5


# peft asks transformers for it
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
@pytest.mark.parametrize("case", ["kohya", "everything"], indirect=True)
def test_peft_loads_the_converted_folder_exactly(case, pipe, tmp_path):
    convert(case.path, tmp_path / "p", "peft")
    parts = part_modules(read(case.path).modules)
    for part in parts:
        model = copy.deepcopy(getattr(pipe, part))
        folder = tmp_path / "p" if set(parts) == {"unet"} else tmp_path / "p" / part
        PeftModel.from_pretrained(model, folder)
        shown = answers(SimpleNamespace(**{**{each: getattr(pipe, each) for each in PARTS}, part: model}))[part]
        assert (shown - case.shown[part]).abs().max() < 1e-5


@pytest.mark.parametrize("case", ["kohya"], indirect=True)
def test_diffusers_without_alpha_would_differ(case, pipe):
    """The tests above can fail: alpha matters to them."""
    tensors = {name: t for name, t in read_lora(case.path).tensors.items() if not name.endswith(".alpha")}
    assert difference(in_diffusers(pipe, tensors), case.shown) > 1e-3


# --- ComfyUI, restated ---
def comfy_key_map(base):
    """ComfyUI's model_lora_keys_unet and _clip (comfy/lora.py): the weights of the original layout with underscores,
    and the text encoders' layers by a fixed pattern; each with the part and the name of its weight here."""
    keys = {
        "lora_unet_" + ldm_name(name).removesuffix(".weight").replace(".", "_"): ("unet", name)
        for name in base.unet.state_dict()
        if name.endswith(".weight")
    }
    inner = ("mlp.fc1", "mlp.fc2", *(f"self_attn.{each}_proj" for each in ("k", "q", "v", "out")))
    for number, part in enumerate(("text_encoder", "text_encoder_2"), 1):
        names = {name.removeprefix("text_model."): name for name in getattr(base, part).state_dict()}
        for layer in range(32):
            for each in inner:
                weight = names.get(f"encoder.layers.{layer}.{each}.weight")
                key = f"lora_te{number}_text_model_encoder_layers_{layer}_{each.replace('.', '_')}"
                keys |= {key: (part, weight)} if weight else {}
    return keys


def comfy_merged(base, tensors, *, lengths_of):
    """A copy of the base as ComfyUI patches it (comfy/weight_adapter/lora.py), and the keys it took.

    lengths_of: what DoRA's rows are divided by, from the base's weight and the trained one.
    """
    parts = {part: copy.deepcopy(getattr(base, part)) for part in PARTS}
    taken = set()
    for key, (part, name) in comfy_key_map(base).items():
        names = {end: f"{key}.{end}" for end in ("alpha", "lora_up.weight", "lora_down.weight", "dora_scale")}
        if names["lora_up.weight"] not in tensors:
            continue
        taken |= {found for found in names.values() if found in tensors}
        up, down = tensors[names["lora_up.weight"]].float(), tensors[names["lora_down.weight"]].float()
        weight = parts[part].get_parameter(name).data
        scale = tensors[names["alpha"]].item() / down.shape[0]
        total = weight + scale * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
        if names["dora_scale"] in tensors:
            total = total * (tensors[names["dora_scale"]] / lengths_of(weight, total))
        weight.copy_(total)
    return SimpleNamespace(**parts), taken


def of_rows(weight):
    return weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.dim() - 1))


def of_columns(weight):
    return weight.transpose(0, 1).flatten(1).norm(dim=1).view(1, -1, *[1] * (weight.dim() - 2))


def test_comfyui_takes_every_key_and_shows_what_was_trained(case, base, plain):
    tensors = read_lora(case.path).tensors
    shown, taken = comfy_merged(base, tensors, lengths_of=lambda old, _: of_rows(old))
    assert taken == tensors.keys()
    if not case.config.decompose:
        assert difference(answers(shown), case.shown) < 1e-5
        return
    # Its DoRA divides by the lengths of the base's rows: near, not equal.
    exact, _ = comfy_merged(base, tensors, lengths_of=lambda _, new: of_rows(new))
    assert difference(answers(exact), case.shown) < 1e-5
    error = difference(answers(shown), case.shown)
    assert 1e-5 < error < difference(plain, case.shown)
    # A1111's (1.10) divides by the lengths of columns, which has nothing to do with these magnitudes.
    other, _ = comfy_merged(base, tensors, lengths_of=lambda _, new: of_columns(new))
    assert difference(answers(other), case.shown) > error


def test_comfyui_takes_every_key_of_a_full_size_file(tmp_path):
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(sdxl_config_folder() / "unet"))
    weights = {
        "lora_unet_" + ldm_name(name).removesuffix(".weight").replace(".", "_"): tuple(tensor.shape)
        for name, tensor in unet.state_dict().items()
        if name.endswith(".weight")
    }
    config = TrainConfig(rank=1, alpha=1.0, conv_rank=1)
    state = {}
    for path in unet_targets(unet, config):
        out, inputs, *kernel = unet.get_submodule(path).weight.shape
        state[f"unet.{path}.lora_A.weight"] = torch.zeros(1, inputs, *kernel)
        state[f"unet.{path}.lora_B.weight"] = torch.zeros(out, 1, *(1 for _ in kernel))
    path = tmp_path / "full.safetensors"
    save_lora(path, state, config=config, layers_per_block=2, metadata=metadata())
    tensors = read_lora(path).tensors
    products = {}
    for key in weights.keys() & {name.removesuffix(".alpha") for name in tensors}:
        down, up = tensors.pop(f"{key}.lora_down.weight"), tensors.pop(f"{key}.lora_up.weight")
        products[key] = (up.shape[0], down.shape[1], *down.shape[2:])
        del tensors[f"{key}.alpha"]
    assert not tensors
    assert len(products) == 788
    assert all(weights[key] == shape for key, shape in products.items())
    assert describe(path).warnings == ()
