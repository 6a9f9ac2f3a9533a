"""Everything that can end a training run, each with the code and the sentence the member reads.

TrainerError
├── BadBase        base-model      the base model is missing, damaged, or not SDXL
├── BadPicture     bad-picture     a training picture cannot be used (named by its file)
├── BadSample      bad-sample      a sample cannot be drawn as asked (prompt, sampler, size)
├── NanLoss        nan-loss        the training diverged
├── OtherSettings  other-settings  the saved state belongs to other settings than the job's
├── OutOfMemory    out-of-memory   the device's memory is too small for these settings
├── DoesNotFit     does-not-fit    the plan of a run needs more memory or disk than there is
├── NoDevice       no-device       the GPU asked for is not there
├── LoraFileError  lora-file       a LoRA file cannot be written, or is not one that can be read
├── MissingExtra   missing-extra   a Python package the trainer needs is not installed
└── LostProcess    (its own)       another process of the same training ended

Foreign errors are mapped once, where they enter: loading in `trainer.model.base`, pictures in `trainer.data.pictures`,
the device's memory in `trainer.model.device`. This module imports nothing heavy.
"""

from __future__ import annotations

from typing import ClassVar

from trainer.contract.events import Failed


class TrainerError(Exception):
    """Base of the trainer's errors; the message says the cause and the remedy in one sentence."""

    code: ClassVar[str] = "internal"
    """Short name, as in events.Failed.code."""
    retry: ClassVar[bool] = False
    """True when another attempt may get further."""


class BadBase(TrainerError):
    """The base model is missing, damaged, or not SDXL."""

    code = "base-model"


class BadPicture(TrainerError):
    """A training picture cannot be used."""

    code = "bad-picture"

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(f"Picture {file} {problem}; remove it or add it again, then start a new training.")
        self.file = file


class BadSample(TrainerError):
    """A sample cannot be drawn as asked."""

    code = "bad-sample"


class LoraFileError(TrainerError):
    """A LoRA file cannot be written, or is not one that can be read."""

    code = "lora-file"


class NanLoss(TrainerError):
    """The training diverged: loss or gradients are no longer numbers."""

    code = "nan-loss"

    def __init__(self, step: int, learning_rate: float) -> None:
        super().__init__(
            f"The training diverged at about step {step} (the loss is no longer a number); "
            f"try again with a learning rate below {learning_rate:g}."
        )
        self.step = step


class OtherSettings(TrainerError):
    """The saved state belongs to other settings than the job's."""

    code = "other-settings"

    def __init__(self, difference: str) -> None:
        super().__init__(
            f"The saved state cannot be gone on from ({difference}); put the job's settings back, "
            "or start a new training."
        )


class OutOfMemory(TrainerError):
    """The device's memory is too small for these settings."""

    code = "out-of-memory"

    def __init__(self, batch_size: int | None = None) -> None:
        smaller = "a smaller batch size" if batch_size is None else f"a batch size below {batch_size}"
        super().__init__(
            f"The GPU ran out of memory; try {smaller}, a smaller resolution, or gradient_checkpointing = full."
        )


class DoesNotFit(TrainerError):
    """The plan of a run needs more memory or disk than there is; told before anything is loaded."""

    code = "does-not-fit"


class NoDevice(TrainerError):
    """The GPU asked for is not there."""

    code = "no-device"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The GPU {name!r} is not there; the host must choose another device (auto takes what there is)."
        )


class MissingExtra(TrainerError):
    """A Python package the trainer needs is not installed."""

    code = "missing-extra"

    def __init__(self, package: str, extra: str = "trainer") -> None:
        super().__init__(
            f"The trainer needs the Python package {package}; install it with pip install 'lorelei[{extra}]'."
        )
        self.package = package


class LostProcess(TrainerError):
    """Another process of the same training ended."""

    def __init__(self, failed: Failed) -> None:
        """`failed` is how this training ends by that."""
        super().__init__(failed.message)
        self.failed = failed
