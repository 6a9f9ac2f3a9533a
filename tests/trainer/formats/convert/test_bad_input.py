"""What cannot be converted ends in one sentence with the file's name, exit code 2, and nothing written."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.trainer.formats.convert.conftest import METADATA
from trainer.__main__ import main
from trainer.formats.convert.files import convert, read
from trainer.formats.header import read_header
from trainer.formats.lora_file import read_lora

PROJ = "lora_unet_input_blocks_4_1_proj_in"
DIFFUSERS = "unet.down_blocks.1.attentions.0.proj_in"


def told(capsys, *arguments):
    """The one line of the command's error, which ends with code 2."""
    assert main(["convert", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    return line.removeprefix("lorelei-trainer: ")


def pair(name, down=(4, 6), up=(8, 4), ends=(".lora_down.weight", ".lora_up.weight")):
    return {name + ends[0]: torch.ones(down), name + ends[1]: torch.ones(up), name + ".alpha": torch.tensor(1.0)}


PEFT_ENDS = (".lora_A.weight", ".lora_B.weight")
WRONG = {
    "stable diffusion 1, text": (pair("lora_te_text_model_encoder_layers_0_mlp_fc1"), "for Stable Diffusion 1 or 2;"),
    "stable diffusion 1, width": (
        pair("lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k", down=(4, 768)),
        "is a LoRA for Stable Diffusion 1; only LoRAs of SDXL",
    ),
    "stable diffusion 1, blocks": (pair("lora_unet_down_blocks_0_attentions_0_proj_in"), "Stable Diffusion 1 or 2;"),
    "flux": (pair("lora_unet_double_blocks_0_img_attn_proj"), "is a LoRA for Flux; only"),
    "flux of diffusers": (pair("transformer.single_transformer_blocks.0.attn.to_k", ends=PEFT_ENDS), "LoRA for Flux;"),
    "stable diffusion 3": (pair("lora_unet_joint_blocks_0_x_block_attn_proj"), "Stable Diffusion 3;"),
    "lyCORIS": ({f"{PROJ}.hada_w1_a": torch.ones(2, 2)}, "is a LoHa, LoKr or OFT"),
    "mixed names": (pair(PROJ) | pair(DIFFUSERS, ends=PEFT_ENDS), "mixes names of several forms"),
    "an unknown key": (pair(PROJ) | {f"{PROJ}.diff": torch.ones(2)}, "lora_unet_input_blocks_4_1_proj_in.diff"),
    "an unknown module": (pair("lora_unet_input_blocks_0_0"), "is not a module of SDXL"),
    "ranks that do not fit": (pair(PROJ, up=(8, 3)), "do not fit each other: (4, 6) and (8, 3)"),
    "half a pair": ({f"{PROJ}.lora_up.weight": torch.ones(8, 4), f"{PROJ}.alpha": torch.tensor(1.0)}, "lacks one of"),
    "a block of 5000 digits": (pair(f"lora_unet_input_blocks_{'1' * 5000}_1_proj_in"), "is not a module of SDXL"),
    "a layer in other digits": (pair("lora_te1_text_model_encoder_layers_٤_mlp_fc1"), "is not a module of SDXL"),
    "no number": (pair(PROJ) | {f"{PROJ}.lora_up.weight": torch.full((8, 4), torch.nan)}, "are not all numbers"),
    "infinite": (pair(PROJ) | {f"{PROJ}.dora_scale": torch.full((8, 1), torch.inf)}, "are not all numbers"),
    "whole numbers": (pair(PROJ) | {f"{PROJ}.lora_down.weight": torch.ones(4, 6, dtype=torch.int8)}, "int8, which no"),
    "an alpha in diffusers' form": (pair(DIFFUSERS, ends=PEFT_ENDS), "proj_in.alpha' is not a LoRA matrix"),
    "magnitudes of inputs": (pair(PROJ) | {f"{PROJ}.dora_scale": torch.ones(1, 6)}, "6 magnitudes for 8 outputs"),
    "alphas of several formats": (
        pair(PROJ) | pair(PROJ.replace("4_1", "5_1")) | {f"{PROJ}.alpha": torch.tensor(1.0, dtype=torch.float16)},
        "several number formats",
    ),
    "a checkpoint": ({"model.diffusion_model.input_blocks.0.0.weight": torch.ones(2)}, "is not a LoRA matrix"),
    "nothing": ({}, "there is no LoRA in it"),
}


@pytest.mark.parametrize(("tensors", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_sdxl_lora_gets_a_sentence(tensors, message, tmp_path, capsys):
    save_file(tensors, tmp_path / "x.safetensors", METADATA)
    for form, out in (("diffusers", "y.safetensors"), ("peft", "y"), ("kohya", "y.safetensors")):
        line = told(capsys, tmp_path / "x.safetensors", tmp_path / out, "--to", form)
        assert message in line
        assert line.startswith("x.safetensors: ")
        assert line.endswith(".")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_damaged_file_gets_a_sentence(plain_file, tmp_path, capsys):
    whole = plain_file.read_bytes()
    plain_file.write_bytes(whole[:-5])
    assert "cut short by 5 bytes" in told(capsys, plain_file, tmp_path / "y", "--to", "peft")
    torch.save({"a": 1}, plain_file)
    assert "is a pickle" in told(capsys, plain_file, tmp_path / "y", "--to", "peft")
    assert "cannot be read" in told(capsys, tmp_path / "none.safetensors", tmp_path / "y", "--to", "peft")


@pytest.mark.parametrize(("form", "target"), [("diffusers", "y.safetensors"), ("peft", "y")])
def test_a_file_without_alpha_acts_at_strength_1_or_has_the_alpha_given(plain_file, tmp_path, capsys, form, target):
    bare = {name: tensor for name, tensor in load_file(plain_file).items() if not name.endswith("alpha")}
    save_file(bare, tmp_path / "bare.safetensors", METADATA)
    arguments = ["convert", str(tmp_path / "bare.safetensors"), str(tmp_path / target), "--to", form]
    assert main(arguments) == 0
    assert "3 modules say no alpha: taken at strength 1" in capsys.readouterr().out
    assert {module.alpha / module.rank for module in read(tmp_path / target).modules.values()} == {1.0}
    assert main(["convert", str(tmp_path / target), str(tmp_path / "back.safetensors"), "--to", "kohya"]) == 0
    assert "say no alpha" not in capsys.readouterr().out
    back = read_lora(tmp_path / "back.safetensors")
    assert (back.metadata, back.tensors.keys()) == (METADATA, bare.keys())
    assert all(back.tensors[name].equal(tensor) for name, tensor in bare.items())
    arguments[2] = str(tmp_path / f"2.5{target}")
    assert main([*arguments, "--alpha", "2.5"]) == 0
    assert "say no alpha" not in capsys.readouterr().out
    assert {module.alpha for module in read(tmp_path / f"2.5{target}").modules.values()} == {2.5}
    with pytest.raises(SystemExit, match="2"):
        main(["convert", "a", "b", "--to", "kohya", "--alpha", "0"])


def test_nothing_is_overwritten_and_names_must_fit_the_form(plain_file, tmp_path, capsys):
    before = plain_file.read_bytes()
    assert "is there already" in told(capsys, plain_file, plain_file, "--to", "diffusers")
    assert plain_file.read_bytes() == before
    assert "must end in .safetensors" in told(capsys, plain_file, tmp_path / "y", "--to", "kohya")
    assert "form is a folder" in told(capsys, plain_file, tmp_path / "y.safetensors", "--to", "peft")


@pytest.mark.parametrize("form", ["diffusers", "peft"])
def test_a_disk_that_refuses_is_code_1(plain_file, form, tmp_path, capsys):
    target = tmp_path / "missing" / ("y" if form == "peft" else "y.safetensors")
    assert main(["convert", str(plain_file), str(target), "--to", form]) == 1
    assert "free some disk space" in capsys.readouterr().err


def test_older_names_of_diffusers_are_read(plain_file, tmp_path):
    convert(plain_file, tmp_path / "d.safetensors", "diffusers")
    old = {
        name.replace("lora_A", "lora.down").replace("lora_B", "lora.up"): tensor
        for name, tensor in load_file(tmp_path / "d.safetensors").items()
    }
    save_file(old, tmp_path / "old.safetensors")
    new, again = read(tmp_path / "d.safetensors").modules, read(tmp_path / "old.safetensors", alpha=92.3).modules
    assert new.keys() == again.keys()
    silent = read(tmp_path / "old.safetensors")
    assert (silent.without_alpha, {module.alpha for module in silent.modules.values()}) == (3, {4.0})
    convert(tmp_path / "old.safetensors", tmp_path / "k.safetensors", "kohya")
    convert(tmp_path / "k.safetensors", tmp_path / "again.safetensors", "diffusers")
    assert "lora_adapter_metadata" not in read_header(tmp_path / "again.safetensors").metadata
    assert all(new[name].down.equal(module.down) for name, module in again.items())


DESCRIPTIONS = {
    "not json": ("{", "lora_adapter_metadata is damaged"),
    "not an object": ("[]", "lora_adapter_metadata is damaged"),
    "no number": ('{"unet.lora_alpha": "x"}', "no number"),
    "infinite": ('{"unet.lora_alpha": Infinity}', "no number"),
    "400 digits": (f'{{"unet.lora_alpha": 1{"0" * 400}, "unet.use_rslora": true}}', "no number"),
    "patterns": ('{"unet.lora_alpha": 1, "unet.alpha_pattern": [1]}', "alpha_pattern that is none"),
    "a regular expression": ('{"unet.lora_alpha": 1, "unet.alpha_pattern": {"(a+)+$": 1}}', "only module paths"),
}


@pytest.mark.parametrize(("text", "message"), DESCRIPTIONS.values(), ids=DESCRIPTIONS.keys())
def test_a_description_that_is_none_gets_a_sentence(plain_file, text, message, tmp_path, capsys):
    convert(plain_file, tmp_path / "d.safetensors", "diffusers")
    save_file(load_file(tmp_path / "d.safetensors"), tmp_path / "x.safetensors", {"lora_adapter_metadata": text})
    assert message in told(capsys, tmp_path / "x.safetensors", tmp_path / "y.safetensors", "--to", "kohya")


def test_folders_that_are_none_of_pefts_get_a_sentence(plain_file, tmp_path, capsys):
    convert(plain_file, tmp_path / "good", "peft")

    def refused(name, spoil):
        shutil.copytree(tmp_path / "good", tmp_path / name)
        spoil(tmp_path / name)
        return told(capsys, tmp_path / name, tmp_path / "y.safetensors", "--to", "kohya")

    assert "safe_serialization" in refused("a", lambda f: (f / "adapter_model.safetensors").unlink())
    assert "no folder of peft's" in refused("b", lambda f: (f / "adapter_config.json").unlink())
    assert "no folder of peft's" in refused("c", lambda f: (f / "adapter_config.json").write_text("{"))
    config = json.dumps({"peft_type": "LOHA"})
    assert "another kind of adapter" in refused("d", lambda f: (f / "adapter_config.json").write_text(config))
    text = pair("base_model.model.encoder.layers.0.mlp.fc1", ends=PEFT_ENDS)
    del text["base_model.model.encoder.layers.0.mlp.fc1.alpha"]
    assert "call the folder" in refused("e", lambda f: save_file(text, f / "adapter_model.safetensors"))
    names = {"x.lora_A.weight": torch.ones(4, 6)}
    silent = json.dumps({"peft_type": "LORA", "r": 4})
    assert "give it with --alpha" in refused("g", lambda f: (f / "adapter_config.json").write_text(silent))
    assert "not one of peft's names" in refused("f", lambda f: save_file(names, f / "adapter_model.safetensors"))


def test_a_folder_of_diffusers_is_read(plain_file, tmp_path):
    (tmp_path / "folder").mkdir()
    convert(plain_file, tmp_path / "folder" / "pytorch_lora_weights.safetensors", "diffusers")
    assert read(tmp_path / "folder").form == "diffusers"
