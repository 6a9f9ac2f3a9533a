import pytest
import torch
from torch import nn

from trainer.errors import NoDevice, OutOfMemory
from trainer.model.device import device_errors, pick_device, pick_devices, pick_numbers, prepare_device, resident

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "base", "lora"),
    [
        ("auto", torch.float32, torch.float32),
        ("fp32", torch.float32, torch.float32),
        ("bf16", torch.bfloat16, torch.float32),
        ("full-bf16", torch.bfloat16, torch.bfloat16),
    ],
)
def test_number_formats_on_a_cpu(precision, base, lora):
    numbers = pick_numbers(precision, CPU)
    assert (numbers.base, numbers.lora) == (base, lora)


def test_each_process_has_the_gpu_numbered_next(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert list(map(str, pick_devices("cuda:1", 3))) == ["cuda:1", "cuda:2", "cuda:3"]
    with pytest.raises(NoDevice, match="cuda:4"):
        pick_devices("cuda:1", 4)
    assert pick_devices("cpu", 3) == [CPU] * 3


def test_a_gpu_that_is_not_there():
    with pytest.raises(NoDevice, match="cuda:63"):
        pick_device("cuda:63")


@pytest.mark.parametrize(("name", "device"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1")])
def test_a_gpu_comes_with_the_number_that_torch_wants(monkeypatch, name, device):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch._C, "_cuda_setDevice", chosen.append, raising=False)
    picked = pick_device(name)
    prepare_device(picked)
    assert (str(picked), chosen) == (device, [int(device[-1])])


FULL_CARD = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("FIND was unable to find an engine to execute this computation"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous …"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]
OTHER = [
    ValueError("CUDA out of memory"),
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
]


@pytest.mark.parametrize("error", FULL_CARD, ids=str)
def test_a_full_card_becomes_our_error_with_advice(error):
    with pytest.raises(OutOfMemory, match="a batch size below 5") as caught, device_errors(5):
        raise error
    assert caught.value.code == "out-of-memory"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", OTHER, ids=str)
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as caught, device_errors(5):
        raise error
    assert caught.value is error


def test_modules_go_back_where_they_were():
    module = nn.Linear(2, 2)
    moves = []
    module.to = lambda device: moves.append(torch.device(device))
    with pytest.raises(RuntimeError), resident(torch.device("meta"), module):
        raise RuntimeError
    assert moves == [torch.device("meta"), CPU]
