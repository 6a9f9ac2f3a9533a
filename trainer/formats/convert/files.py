"""LoRA files from one form into another: what a file is, and where the result goes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from trainer.contract.durable import publish_folder, write_atomic
from trainer.contract.errors import ChannelError
from trainer.errors import LoraFileError
from trainer.formats.convert import as_diffusers, as_kohya, as_peft
from trainer.formats.convert.lora import Form, Lora
from trainer.formats.identify import stranger
from trainer.formats.kohya_names import TEXT_1, TEXT_2, UNET
from trainer.formats.lora_file import LoraFile, read_lora
from trainer.formats.lora_modules import LoraModule

DIFFUSERS_FILE = "pytorch_lora_weights.safetensors"
"""What diffusers calls its file in a folder."""

_NUMBERS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


def convert(source: Path, target: Path, form: Form, *, alpha: float | None = None) -> Lora:
    """Write the LoRA in `source` as `target` in another form, and return it.

    source: a kohya or diffusers file, or a folder of peft's or diffusers'. target: a new file, or for peft a new
    folder; nothing is ever overwritten. alpha: taken where the source says none; without it the rank is, as loaders do
    (`Lora.without_alpha` counts the modules). A LoRA that goes there and back has the same tensors and the same
    metadata. Raises LoraFileError for what is no LoRA of SDXL or cannot be written in that form, and ChannelError when
    the disk refuses.
    """
    if target.exists() or target.is_symlink():
        raise LoraFileError(f"{target.name} is there already; choose another name.")
    if form == "peft" and target.suffix == ".safetensors":
        raise LoraFileError("peft's form is a folder; give its name without .safetensors, or choose --to diffusers.")
    if form != "peft" and target.suffix != ".safetensors":
        raise LoraFileError(f"{target.name} must end in .safetensors.")
    lora = read(source, alpha)
    with _named(source):
        if form == "peft":
            _publish(target, as_peft.written(lora))
        else:
            write_atomic(target, (as_kohya if form == "kohya" else as_diffusers).written(lora))
    return lora


def read(source: Path, alpha: float | None = None) -> Lora:
    """The LoRA in a file or folder, whose own form is found by its names. Raises LoraFileError."""
    with _named(source):
        lora = _read(source, alpha)
        for name, module in lora.modules.items():
            _check_numbers(name, module)
        return lora


def _read(source: Path, alpha: float | None) -> Lora:
    if source.is_dir():
        if (source / DIFFUSERS_FILE).is_file():
            return as_diffusers.read(read_lora(source / DIFFUSERS_FILE), alpha)
        return as_peft.read(source, alpha)
    file = read_lora(source)
    return as_kohya.read(file, alpha) if _is_kohya(file) else as_diffusers.read(file, alpha)


def _check_numbers(name: str, module: LoraModule) -> None:
    """Raise LoraFileError for weights in a format that is none of weights, and for NaN and infinities."""
    for tensor in (module.down, module.up, *([] if module.magnitudes is None else [module.magnitudes])):
        if tensor.dtype not in _NUMBERS:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise LoraFileError(f"the weights of {name!r} are {kind}, which no LoRA has; it is damaged, get it again.")
        if not torch.isfinite(tensor.float()).all():
            raise LoraFileError(f"the weights of {name!r} are not all numbers; its training failed, take another file.")


def _is_kohya(file: LoraFile) -> bool:
    """True for kohya's names, False for diffusers'; raises LoraFileError for a mixture and for other models' LoRAs."""
    if reason := stranger({name: tuple(tensor.shape) for name, tensor in file.tensors.items()}):
        raise LoraFileError(f"it is {reason}; only LoRAs of SDXL are converted.")
    kohya = [name for name in file.tensors if name.startswith((UNET, TEXT_1, TEXT_2))]
    others = [name for name in file.tensors if name not in set(kohya)]
    if kohya and others:
        raise LoraFileError(f"it mixes names of several forms, as {kohya[0]!r:.100} and {others[0]!r:.100}.")
    return bool(kohya)


@contextmanager
def _named(source: Path) -> Iterator[None]:
    """Put the source's name in front of what is wrong with it."""
    try:
        yield
    except LoraFileError as error:
        text = str(error)
        raise LoraFileError(text if text.startswith(source.name) else f"{source.name}: {text}") from error


def _publish(target: Path, files: dict[str, bytes]) -> None:
    """Write the files into a new folder, which appears whole or not at all."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            folder = Path(scratch) / target.name
            for name, data in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                write_atomic(folder / name, data)
            publish_folder(folder, target)
    except OSError as error:
        raise ChannelError(f"cannot write {target.name}: {error.strerror or error}; free some disk space") from error
