"""A LoRA that goes into another form and back is the same: its tensors to the bit, and its metadata."""

import json

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from tests.trainer.formats.convert.conftest import METADATA
from tests.trainer.formats.loras import CONVOLUTIONS, MODULES, TEXTS, state
from trainer.formats.convert.files import convert, read
from trainer.formats.lora_file import read_lora

WAYS = [["diffusers"], ["peft"], ["diffusers", "peft"], ["peft", "diffusers"]]


def walked(source, forms, folder):
    """The file or folder at the end of a chain of conversions."""
    for number, form in enumerate(forms):
        target = folder / (f"{number}" if form == "peft" else f"{number}.safetensors")
        convert(source, target, form)
        source = target
    return source


def content(path):
    """All bytes under a path, by name."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_a_file_of_ours_comes_back_byte_for_byte(kohya_file, way, tmp_path):
    assert content(walked(kohya_file, [*way, "kohya"], tmp_path)) == content(kohya_file)


@pytest.mark.parametrize("form", ["diffusers", "peft"])
def test_a_converted_file_comes_back_byte_for_byte(kohya_file, form, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    other = walked(kohya_file, [form], tmp_path / "1")
    back = walked(other, ["kohya", form], tmp_path / "2")
    assert content(back) == content(other)
    through = walked(other, ["peft" if form == "diffusers" else "diffusers"], tmp_path)
    convert(through, tmp_path / "end.safetensors", "kohya")
    assert content(tmp_path / "end.safetensors") == content(kohya_file)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_alphas_keep_their_number_format_and_a_file_without_hashes_gets_none(plain_file, dtype, tmp_path):
    """As sd-scripts writes them with --save_precision, and as other programs leave a file."""
    tensors = {name: t.to(dtype) if name.endswith("alpha") else t for name, t in load_file(plain_file).items()}
    save_file(tensors, tmp_path / "theirs.safetensors", {"ss_network_dim": "4"})
    back = read_lora(walked(tmp_path / "theirs.safetensors", ["diffusers", "peft", "kohya"], tmp_path))
    assert back.metadata == {"ss_network_dim": "4"}
    assert back.tensors.keys() == tensors.keys()
    assert all(back.tensors[name].dtype == tensor.dtype for name, tensor in tensors.items())
    assert all(back.tensors[name].equal(tensor) for name, tensor in tensors.items())


@pytest.fixture
def made_by_diffusers(tmp_path):
    """As `save_lora_weights` writes what peft trained, its own alphas, sqrt(rank) scale and short names included."""
    tensors = {}
    for name, tensor in state((*MODULES, *CONVOLUTIONS, *TEXTS), dora=True).items():
        short = name.replace("text_encoder.text_model.", "text_encoder.").replace("_vector.weight", "_vector")
        tensors[short.replace("text_encoder_2.text_model.", "text_encoder_2.")] = tensor
    entries = {}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        lora = LoraConfig(
            r=4, lora_alpha=3, use_rslora=True, use_dora=True, target_modules=["x"], init_lora_weights=True
        )
        values = {**lora.to_dict(), "target_modules": ["x"], "peft_type": "LORA"}
        values["rank_pattern"] = {path.removeprefix("unet."): 2 for path in CONVOLUTIONS} if part == "unet" else {}
        entries |= {f"{part}.{key}": value for key, value in values.items()}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(entries, indent=2, sort_keys=True)}
    save_file(tensors, tmp_path / "theirs.safetensors", metadata)
    return tmp_path / "theirs.safetensors"


@pytest.mark.parametrize("way", [["kohya"], ["peft"], ["kohya", "peft"], ["peft", "kohya"]], ids="-".join)
def test_a_file_of_diffusers_comes_back_whole(made_by_diffusers, way, tmp_path):
    back, theirs = read_lora(walked(made_by_diffusers, [*way, "diffusers"], tmp_path)), read_lora(made_by_diffusers)
    assert back.metadata == theirs.metadata
    assert back.tensors.keys() == theirs.tensors.keys()
    assert all(back.tensors[name].equal(tensor) for name, tensor in theirs.tensors.items())


def test_alpha_over_the_root_of_the_rank_becomes_an_alpha_over_the_rank(made_by_diffusers):
    modules = read(made_by_diffusers).modules
    assert modules[MODULES[0]].alpha == 3 * 4**0.5
    assert modules[CONVOLUTIONS[0]].alpha == 3 * 2**0.5


def test_what_was_remembered_is_not_believed_when_the_lora_has_changed(plain_file, tmp_path):
    """A diffusers file made a kohya file, whose alpha somebody then changes: the old description would be wrong."""
    convert(plain_file, tmp_path / "d.safetensors", "diffusers")
    convert(read_only_form(tmp_path / "d.safetensors", tmp_path), tmp_path / "k.safetensors", "kohya")
    file = read_lora(tmp_path / "k.safetensors")
    halved = {name: t / 2 if name.endswith("alpha") else t for name, t in file.tensors.items()}
    save_file(halved, tmp_path / "changed.safetensors", file.metadata)
    convert(tmp_path / "changed.safetensors", tmp_path / "back.safetensors", "diffusers")
    alphas = {module.alpha for module in read(tmp_path / "back.safetensors").modules.values()}
    assert alphas == {float(torch.tensor(92.3)) / 2}


def read_only_form(path, folder):
    """The file without the memory of the form it had before."""
    file = read_lora(path)
    del file.metadata["lorelei_forms"]
    save_file(file.tensors, folder / "forgetful.safetensors", file.metadata)
    return folder / "forgetful.safetensors"


def test_a_new_kohya_file_gets_its_hashes_and_keeps_the_metadata(plain_file, tmp_path):
    convert(plain_file, tmp_path / "d.safetensors", "diffusers")
    convert(read_only_form(tmp_path / "d.safetensors", tmp_path), tmp_path / "k.safetensors", "kohya")
    metadata = read_lora(tmp_path / "k.safetensors").metadata
    assert METADATA.items() <= metadata.items()
    assert metadata["sshs_model_hash"] == read_lora(plain_file).metadata["sshs_model_hash"]


def test_names_of_other_programs_become_kohyas(plain_file, tmp_path):
    """diffusers' block names behind lora_unet_, which diffusers' own exporter writes."""
    named = {
        name.replace("input_blocks_4_1", "down_blocks_1_attentions_0"): t for name, t in load_file(plain_file).items()
    }
    save_file(named, tmp_path / "theirs.safetensors", METADATA)
    convert(tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors", "kohya")
    assert load_file(tmp_path / "ours.safetensors").keys() == load_file(plain_file).keys()


@pytest.mark.parametrize("memory", ["{broken", "[]", '{"kohya": 3}', '{"kohya": {"hashes": 3, "alpha": []}}'])
def test_a_memory_that_is_none_is_no_harm(plain_file, memory, tmp_path):
    convert(plain_file, tmp_path / "d.safetensors", "diffusers")
    file = read_lora(tmp_path / "d.safetensors")
    save_file(file.tensors, tmp_path / "x.safetensors", {**file.metadata, "lorelei_forms": memory})
    convert(tmp_path / "x.safetensors", tmp_path / "k.safetensors", "kohya")
    tensors = load_file(tmp_path / "k.safetensors")
    assert all(tensors[name].equal(tensor) for name, tensor in load_file(plain_file).items())
