"""Tensors lie in a file as the safetensors library lays them, byte for byte."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from trainer.formats.layout import NAMES, laid_out
from trainer.formats.lora_file import file_bytes

SIDES = st.lists(st.integers(0, 5), max_size=4)


def tensor(dtype, shape, seed=0):
    """Random bits, seen as this dtype: NaNs and odd numbers among them."""
    width = torch.empty((), dtype=dtype).element_size()
    chance = torch.Generator().manual_seed(seed)
    top = 2 if dtype == torch.bool else 256
    bits = torch.randint(top, (int(np.prod(shape, dtype=int)) * width,), generator=chance, dtype=torch.uint8)
    return bits.view(dtype).reshape(shape)


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.tuples(st.sampled_from([*NAMES]), SIDES), max_size=8),
    st.dictionaries(st.text(max_size=8), st.text(max_size=40), max_size=1),
)
def test_a_file_is_the_librarys_to_the_last_byte(kinds, metadata):
    """With one text of metadata at most: of more the library takes a random order."""
    tensors = {name: tensor(dtype, shape, seed) for seed, (name, (dtype, shape)) in enumerate(kinds.items())}
    assert file_bytes(tensors, metadata) == save(tensors, metadata or None)


def test_all_dtypes_follow_each_other_as_in_the_library():
    tensors = {f"{number:02}": tensor(dtype, [3]) for number, dtype in enumerate(reversed(NAMES))}
    assert file_bytes(tensors, {}) == save(tensors)
    assert [entry["dtype"] for entry in laid_out(tensors)[0].values()] == [*NAMES.values()]


def test_the_bytes_are_the_tensors_own_memory():
    tensors = {"a": torch.ones(3, 5, dtype=torch.bfloat16), "b": torch.ones(())}
    entries, data = laid_out(tensors)
    addresses = [np.frombuffer(piece, np.uint8).ctypes.data for piece in data]
    assert addresses == [tensors[name].data_ptr() for name in entries]


def test_what_lies_crosswise_is_written_in_its_order():
    crosswise = torch.arange(6.0).reshape(2, 3).T
    assert load(file_bytes({"a": crosswise}, {}))["a"].equal(crosswise)


def test_a_dtype_the_format_does_not_know_is_an_error():
    with pytest.raises(KeyError):
        laid_out({"a": torch.zeros(1, dtype=torch.complex128)})
