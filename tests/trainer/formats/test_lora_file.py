"""A LoRA file on disk: same bytes for same input, sd-scripts' hashes, and a clear word about what is none."""

import hashlib
import io
import json
import pickle
import struct

import pytest
import torch
from safetensors.torch import load, save

from tests.trainer.formats.loras import MODULES, config
from trainer.contract.errors import ChannelError
from trainer.errors import LoraFileError
from trainer.formats.header import header_bytes, read_header
from trainer.formats.kohya import kohya_modules, kohya_tensors
from trainer.formats.lora_file import lora_bytes, read_lora, save_lora
from trainer.formats.lora_modules import trained_modules

METADATA = {f"ss_{n}": f"Wert {n} é\u2028\x7f\x01" for n in range(20)} | {"modelspec.title": "lisaxl"}
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def one_module(width=6):
    """A LoRA of a single module."""
    chance = torch.Generator().manual_seed(3)
    return {
        f"{MODULES[0]}.lora_A.weight": torch.randn(4, width, generator=chance),
        f"{MODULES[0]}.lora_B.weight": torch.randn(8, 4, generator=chance),
    }


def save_to(path, lora_state=None, metadata=METADATA, **settings):
    save_lora(path, lora_state or one_module(), config=config(**settings), layers_per_block=2, metadata=metadata)
    return path


def kohya(width=6):
    return kohya_tensors(trained_modules(one_module(width), config()), layers_per_block=2)


def test_what_is_saved_is_read_again(tmp_path):
    path = save_to(tmp_path / "a.safetensors")
    file = read_lora(path)
    [module] = kohya_modules(file.tensors, layers_per_block=2).values()
    assert module.alpha == 1.5
    assert [module.down.tolist(), module.up.tolist()] == [tensor.tolist() for tensor in one_module().values()]
    assert METADATA.items() <= file.metadata.items()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("precision", DTYPES)
def test_weights_have_the_files_precision_and_the_alpha_is_exact(tmp_path, precision):
    tensors = read_lora(save_to(tmp_path / "a.safetensors", alpha=92.3, file_precision=precision)).tensors
    assert {t.dtype for name, t in tensors.items() if not name.endswith(".alpha")} == {DTYPES[precision]}
    [alpha] = [float(t) for name, t in tensors.items() if name.endswith(".alpha")]
    assert alpha == pytest.approx(92.3, rel=1e-6)


def test_fp16_keeps_more_of_a_lora_than_bf16():
    """The reason for the default: over all sizes a LoRA's weights have."""
    sizes = torch.logspace(-5, 0, 5001)
    halves, brains = ((sizes.to(dtype).float() - sizes).abs() for dtype in (torch.float16, torch.bfloat16))
    assert halves.sum() < brains.sum() / 6
    assert (halves <= 3e-8 + sizes * 2**-11).all()
    in_bf16 = torch.logspace(-5, 0, 5001, dtype=torch.bfloat16)
    assert torch.equal(in_bf16.to(torch.float16).to(torch.bfloat16), in_bf16)


def test_equal_input_gives_equal_bytes(tmp_path):
    shuffled = dict(reversed(METADATA.items()))
    one = save_to(tmp_path / "1.safetensors").read_bytes()
    two = save_to(tmp_path / "2.safetensors", dict(reversed(one_module().items())), metadata=shuffled).read_bytes()
    assert one == two
    assert save_to(tmp_path / "3.safetensors", alpha=3.0).read_bytes() != one


def test_the_header_is_as_long_as_the_librarys_own():
    tensors = kohya()
    theirs = save(tensors, METADATA)
    entries = json.loads(save(tensors)[8:].split(b"\x00")[0].rpartition(b"}")[0] + b"}")
    assert header_bytes(entries, METADATA)[:8] == theirs[:8]


@pytest.mark.parametrize("width", [6, 300_000])
def test_hashes_are_those_sd_scripts_computes(width):
    """Restated from its precalculate_safetensors_hashes: a serialisation with ss_* metadata only."""
    tensors = kohya(width)
    data = lora_bytes(tensors, METADATA)
    plain = save(tensors, {name: text for name, text in METADATA.items() if name.startswith("ss_")})
    behind = plain[8 + struct.unpack("<Q", plain[:8])[0] :]
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]
    assert header["sshs_model_hash"] == hashlib.sha256(behind).hexdigest()
    assert header["sshs_legacy_hash"] == hashlib.sha256(plain[0x100000:0x110000]).hexdigest()[:8]
    assert load(data).keys() == tensors.keys()


def test_a_diverged_lora_is_not_written(tmp_path):
    for bad in (float("nan"), float("inf"), 1e5):  # 1e5 has no fp16
        broken = one_module()
        broken[f"{MODULES[0]}.lora_B.weight"][0, 0] = bad
        with pytest.raises(LoraFileError, match="lower learning rate"):
            save_to(tmp_path / "a.safetensors", broken, file_precision="fp16")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_refuses_is_a_channel_error(tmp_path):
    with pytest.raises(ChannelError, match="free some disk space"):
        save_to(tmp_path / "missing" / "a.safetensors")


def zip_pickle() -> bytes:
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, buffer)
    return buffer.getvalue()


def one_tensor(**changes) -> bytes:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
    return header_bytes({"a": entry}, {}) + bytes(8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a safetensors file"),
        (b"\x00" * 4096, "not a safetensors file"),
        (zip_pickle(), "pickle"),
        (pickle.dumps({"a": 1}, protocol=4), "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>Please log in</html>", "web page"),
        ((2**63).to_bytes(8, "little") + b"{" * 100, "not a safetensors file"),
        ((200_000_000).to_bytes(8, "little") + b"{" * 100, "not a safetensors file"),
        ((1000).to_bytes(8, "little") + b'{"a": 1}', "cut short within its header"),
        ((8).to_bytes(8, "little") + b'{"a": 1}', "damaged"),
        ((8).to_bytes(8, "little") + b"{not js}", "damaged"),
        ((100_000).to_bytes(8, "little") + b'{"a":' * 20_000, "damaged"),
        (one_tensor()[:-3], "cut short by 3 bytes"),
        (one_tensor() + b"x", "behind its last tensor"),
        (one_tensor(shape=[3]), "damaged"),
        (one_tensor(shape=[-2]), "damaged"),
        (one_tensor(data_offsets=[0, 2**70]), "damaged"),
        (one_tensor(data_offsets=["0", 8]), "damaged"),
        (one_tensor(shape=[True, 2]), "damaged"),
    ],
)
def test_what_is_no_lora_file_gets_one_sentence(tmp_path, data, message):
    path = tmp_path / "holiday.safetensors"
    path.write_bytes(data)
    with pytest.raises(LoraFileError, match=message) as caught:
        read_lora(path)
    assert str(caught.value).startswith("holiday.safetensors")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480])
def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path, length):
    """The low bytes of 640 are 80 02, the beginning of a pickle of protocol 2."""
    bare = len(header_bytes({}, {"ss_x": ""})) - 8
    data = header_bytes({}, {"ss_x": "x" * (length - bare)})
    assert data[:2] == length.to_bytes(2, "little")
    (tmp_path / "a.safetensors").write_bytes(data)
    assert len(read_header(tmp_path / "a.safetensors").metadata["ss_x"]) == length - bare


def test_a_missing_file_and_a_folder_get_a_sentence(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(LoraFileError, match="cannot be read"):
            read_header(path)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole = save_to(tmp_path / "a.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(LoraFileError):
            read_lora(path)
