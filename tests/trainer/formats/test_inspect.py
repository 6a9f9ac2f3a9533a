"""The report on a LoRA file: true numbers, useful warnings, no torch."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from tests.trainer.formats.loras import CONVOLUTIONS, MODULES, config, state
from trainer.errors import LoraFileError
from trainer.formats.convert.files import convert
from trainer.formats.inspect import a1111_version, describe, inspect_text
from trainer.formats.lora_file import save_lora

METADATA = {"ss_base_model_version": "sdxl_base_v1-0", "modelspec.title": "lisaxl"}


@pytest.fixture
def lora(tmp_path):
    return saved(tmp_path / "lisaxl.safetensors", state(MODULES[:2], rank=8), alpha=4.5, file_precision="fp16")


def saved(path, lora_state, **settings):
    save_lora(path, lora_state, config=config(**settings), layers_per_block=2, metadata=METADATA)
    return path


def kohya(rank=4, alpha=2.0, name="lora_unet_middle_block_1_proj_in", dtype=torch.float16):
    return {
        f"{name}.lora_down.weight": torch.ones(rank, 6, dtype=dtype),
        f"{name}.lora_up.weight": torch.ones(5, rank, dtype=dtype),
        f"{name}.alpha": torch.tensor(alpha, dtype=dtype),
    }


def written(tmp_path, tensors, metadata=METADATA):
    save_file(tensors, tmp_path / "x.safetensors", metadata)
    return tmp_path / "x.safetensors"


def test_a_file_of_ours_has_nothing_to_warn_of(lora):
    report = describe(lora)
    assert (report.naming, report.modules, report.ranks, report.alphas) == ("kohya", {"unet": 2}, {8: 2}, {4.5: 2})
    assert report.dtypes == ("F16",)
    assert report.file_bytes == lora.stat().st_size
    assert report.metadata["modelspec.title"] == "lisaxl"
    assert report.warnings == ()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64])
def test_an_alpha_is_read_in_every_number_format(tmp_path, dtype):
    tensors = {**kohya(), "lora_unet_middle_block_1_proj_in.alpha": torch.tensor(92, dtype=dtype)}
    assert describe(written(tmp_path, tensors)).alphas == {92.0: 1}


def test_mixed_ranks_alphas_and_parts_are_told_apart(tmp_path):
    path = written(
        tmp_path,
        kohya()
        | kohya(8, 1.0, "lora_te1_text_model_encoder_layers_0_mlp_fc1")
        | kohya(8, 1.0, "lora_te2_text_model_encoder_layers_0_mlp_fc1"),
    )
    report = describe(path)
    assert report.modules == {"unet": 1, "text encoder 1": 1, "text encoder 2": 1}
    assert report.ranks == {4: 1, 8: 2}
    assert report.alphas == {2.0: 1, 1.0: 2}
    assert "rank       4 (1), 8 (2)" in inspect_text(path)


def test_the_kind_of_network_is_told(tmp_path):
    modules = (*MODULES, *CONVOLUTIONS)
    locon = describe(saved(tmp_path / "1.safetensors", state(modules), conv_rank=2))
    assert (locon.convolutions, locon.magnitudes, locon.warnings) == (2, 0, ())
    assert "network    LoCon (2 convolutions)" in inspect_text(tmp_path / "1.safetensors")
    dora = describe(saved(tmp_path / "2.safetensors", state(modules, dora=True), conv_rank=2, decompose=True))
    assert (dora.convolutions, dora.magnitudes) == (2, 5)
    assert "network    DoRA with LoCon (2 convolutions)" in inspect_text(tmp_path / "2.safetensors")
    assert [warning for warning in dora.warnings if "A1111 reads DoRA another way" in warning]
    assert "network    LoRA" in inspect_text(saved(tmp_path / "3.safetensors", state()))


def test_alphas_in_diffusers_metadata_are_told(tmp_path):
    saved(tmp_path / "1.safetensors", state((*MODULES, *CONVOLUTIONS)), conv_rank=2, conv_alpha=3.0)
    convert(tmp_path / "1.safetensors", tmp_path / "2.safetensors", "diffusers")
    report = describe(tmp_path / "2.safetensors")
    assert report.alphas == {1.5: 3, 3.0: 2}
    assert not [warning for warning in report.warnings if "alpha" in warning]
    broken = {"lora_adapter_metadata": "{broken"}
    tensors = {f"{PROJ}.lora_A.weight": torch.ones(4, 6), f"{PROJ}.lora_B.weight": torch.ones(5, 4)}
    assert describe(written(tmp_path, tensors, {**METADATA, **broken})).alphas == {}


def without_alpha():
    return {name: tensor for name, tensor in kohya().items() if not name.endswith("alpha")}


PROJ = "unet.mid_block.attentions.0.proj_in"
PEFT = {"unet.a.lora_A.weight": torch.ones(4, 6), "unet.a.lora_B.weight": torch.ones(5, 4)}
DIFFUSERS = {"unet.a.lora.down.weight": torch.ones(4, 6), "unet.a.lora.up.weight": torch.ones(5, 4)}


@pytest.mark.parametrize(
    ("tensors", "metadata", "warning"),
    [
        (kohya(), {"ss_output_name": "x"}, "takes it for SD1"),
        (kohya(), {"ss_v2": "True"}, "takes it for SD2"),
        (without_alpha(), METADATA, "1 modules have no alpha"),
        (PEFT, METADATA, "peft names"),
        (DIFFUSERS, METADATA, "diffusers names"),
        (kohya(name="lora_te1_encoder_layers_0_mlp_fc1"), METADATA, "lack text_model"),
        (kohya(name="lora_unet_input_blocks_0_0"), METADATA, "1 modules are none of SDXL's"),
        (kohya(name="lora_unet_double_blocks_0_img_attn_proj"), METADATA, "a LoRA for Flux, not for SDXL"),
        (kohya(name="lora_te_text_model_encoder_layers_0_mlp_fc1"), METADATA, "Stable Diffusion 1 or 2"),
        ({"weight": torch.ones(1)}, METADATA, "no image model"),
        ({"first_stage_model.decoder.conv_in.weight": torch.ones(1)}, METADATA, "only a VAE"),
    ],
)
def test_what_will_surprise_is_said(tmp_path, tensors, metadata, warning):
    report = describe(written(tmp_path, tensors, metadata))
    assert any(warning in line for line in report.warnings), report.warnings


@pytest.mark.parametrize(
    ("metadata", "family"),
    [
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "SDXL"),
        ({"ss_base_model_version": "sd_v1"}, "SD1"),
        ({"modelspec.title": "x"}, "SD1"),
        ({"ss_v2": "True"}, "SD2"),
        ({}, "Unknown"),
    ],
)
def test_a1111s_rule(metadata, family):
    assert a1111_version(metadata) == family


def test_the_text_is_printable_and_bounded(tmp_path):
    path = written(tmp_path, kohya(), {**METADATA, "evil": "\x1b[31m\n" * 500, "long": "x" * 100_000})
    text = inspect_text(path)
    assert "\x1b" not in text
    assert len(text) < 3000
    assert "(100000 characters)" in text


def test_names_cannot_write_to_the_terminal(tmp_path):
    text = inspect_text(written(tmp_path, kohya(name="lora_unet_\x1b[31m\n")))
    assert "none of SDXL's" in text
    assert all(line.isprintable() for line in text.splitlines())


DOWN, UP = "lora_unet_middle_block_1_proj_in.lora_down.weight", "lora_unet_middle_block_1_proj_in.lora_up.weight"
HALF = {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (None, "is not a safetensors file"),
        ({DOWN: HALF, UP: HALF}, "overlap or leave holes"),
        ({DOWN: HALF, UP: {**HALF, "data_offsets": [12, 20]}}, "overlap or leave holes"),
        ({DOWN: {**HALF, "shape": [10**400, 0], "data_offsets": [0, 0]}}, "damaged safetensors header"),
        ({DOWN: {**HALF, "dtype": "\x1b[31m"}}, "damaged safetensors header"),
        ({DOWN: {**HALF, "dtype": "F4", "data_offsets": [8, 0]}}, "damaged safetensors header"),
    ],
    ids=["text", "overlap", "hole", "400 digits", "dtype", "backwards"],
)
def test_a_damaged_file_is_an_error(tmp_path, tensors, message):
    header = json.dumps(tensors).encode()
    data = b"nothing" if tensors is None else len(header).to_bytes(8, "little") + header + bytes(8)
    (tmp_path / "x.safetensors").write_bytes(data)
    with pytest.raises(LoraFileError, match=message):
        inspect_text(tmp_path / "x.safetensors")


def test_an_alpha_of_400_digits_in_the_metadata_is_none(tmp_path):
    tensors = {f"{PROJ}.lora_A.weight": torch.ones(4, 6), f"{PROJ}.lora_B.weight": torch.ones(5, 4)}
    metadata = {"lora_adapter_metadata": f'{{"unet.lora_alpha": 1{"0" * 400}}}'}
    assert describe(written(tmp_path, tensors, metadata)).alphas == {}


def test_it_needs_no_torch(lora):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from trainer.formats.inspect import inspect_text\n"
        "assert 'rank       8' in inspect_text(Path(sys.argv[1]))\n"
        "assert not {'torch', 'numpy', 'safetensors', 'transformers'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", program, str(lora)], check=True, timeout=60)
