"""Where training runs and in which numbers: device, precision, and the device's own errors mapped to ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.contract.config import Precision
from trainer.errors import NoDevice, OutOfMemory

_OUT_OF_MEMORY = re.compile(
    "CUDA error: out of memory|CUDA out of memory"
    # cuDNN, when no algorithm gets the workspace it asks for.
    "|unable to find an engine|CUDNN_STATUS_(?:ALLOC_FAILED|NOT_SUPPORTED|NOT_INITIALIZED)"
    # cuBLAS, whose handles and workspaces lie outside of torch's own memory.
    "|CUBLAS_STATUS_(?:ALLOC_FAILED|NOT_INITIALIZED)"
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The number formats of a run.

    Neither torch's autocast nor accelerate's `Accelerator`: the base computes in its own format, as it does in
    inference, and the LoRA's layers in that of their input (`trainer.model.adapter`). Autocast would do the same
    products, but all norms on fp32 copies. Of accelerate the process group of several processes is used
    (`trainer.parallel.group`); the UNet needs no wrapping for them, since all randomness is drawn per picture of the
    step, never per process.
    """

    base: torch.dtype
    """Of the frozen UNet and the text encoders, and of all their arithmetic (the VAE stays in fp32)."""
    lora: torch.dtype
    """Of the trained weights."""

    @property
    def scaled(self) -> bool:
        """True where gradients would vanish unless the loss is scaled up: fp16's smallest number is 6e-8."""
        return self.base is torch.float16


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` takes the GPU where there is one. Raises NoDevice for a GPU that is not there.

    A GPU always comes with its number: `torch.cuda.set_device` refuses a bare `cuda`.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type != "cuda":
        return device
    number = device.index or 0
    if number >= torch.cuda.device_count():
        raise NoDevice(name)
    return torch.device("cuda", number)


def pick_devices(name: str, count: int) -> list[torch.device]:
    """Devices for so many processes: the GPU of that name and those numbered next, or all the CPU. Raises NoDevice."""
    first = pick_device(name)
    return [first] + [
        pick_device(f"cuda:{first.index + k}") if first.type == "cuda" else first for k in range(1, count)
    ]


def pick_numbers(precision: Precision, device: torch.device) -> Numbers:
    """Formats for a precision setting; `auto` is bf16 on a GPU that has it, fp16 on one that has not, fp32 on a CPU."""
    if precision == "auto":
        precision = "fp32" if device.type != "cuda" else "bf16" if torch.cuda.is_bf16_supported(False) else "fp16"
    return {
        "fp32": Numbers(torch.float32, torch.float32),
        "bf16": Numbers(torch.bfloat16, torch.float32),
        "full-bf16": Numbers(torch.bfloat16, torch.bfloat16),
        "fp16": Numbers(torch.float16, torch.float32),
    }[precision]


def prepare_device(device: torch.device) -> None:
    """Make a GPU the current one, and let its fp32 products use TF32.

    TF32 takes a third of the time, and its error lies far below the noise of training.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True


def device_name(device: torch.device) -> str:
    """Name for people: the card's, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@contextmanager
def without_trials() -> Iterator[None]:
    """Have cuDNN take the algorithm it thinks best, for a while, rather than try all of them out.

    For what is done a few times only, and with large maps: some of what it tries takes gigabytes.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def release_cached(device: torch.device) -> None:
    """Give memory that torch only keeps for later back to the GPU: other shapes are about to be needed."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def peak_memory(device: torch.device) -> int:
    """Most bytes of GPU memory in use so far; 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on the device, without the host waiting for what the device still has to do."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that the device's memory is too small: torch does, and on a full card the libraries below it.

    These have no class of their own for it, and cuDNN may only say that it can do nothing. An operation that it never
    could do is taken for the same; where that matters, the log has the words.
    """
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None
    )


@contextmanager
def device_errors(batch_size: int | None = None) -> Iterator[None]:
    """Raise OutOfMemory in place of what torch and the libraries below it raise (see `is_out_of_memory`)."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(batch_size) from error


@contextmanager
def resident(device: torch.device, *modules: nn.Module) -> Iterator[None]:
    """Hold modules on the device for a while, and return them to where they were afterwards."""
    homes = [next(module.parameters()).device for module in modules]
    for module in modules:
        module.to(device)
    try:
        yield
    finally:
        for module, home in zip(modules, homes, strict=True):
            module.to(home)
