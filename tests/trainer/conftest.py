"""Fixtures of the trainer's tests: models that are real in structure and small in size, built once a run."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory) -> Path:
    """A diffusers folder with the tiny SDXL; do not write into it."""
    from trainer.toy.tiny import build_tiny_sdxl

    return build_tiny_sdxl(tmp_path_factory.mktemp("tiny-sdxl"))


@pytest.fixture(scope="session")
def tiny_file(tiny_sdxl, tmp_path_factory) -> Path:
    """The tiny SDXL as one file in the original layout; do not write into it."""
    from tests.trainer.support.single_file import write_single_file

    return write_single_file(tiny_sdxl, tmp_path_factory.mktemp("tiny-file") / "tiny.safetensors")


@pytest.fixture(scope="session")
def small_sdxl(tiny_sdxl, tmp_path_factory) -> Path:
    """The same with fewer blocks and layers still, for tests of whole jobs; do not write into it."""
    from tests.trainer.support.networks import small_base

    folder = tmp_path_factory.mktemp("small-sdxl") / "base"
    shutil.copytree(tiny_sdxl, folder)
    base = small_base(tiny_sdxl)
    base.unet.save_pretrained(folder / "unet")
    base.text_encoder_2.save_pretrained(folder / "text_encoder_2")
    return folder


@pytest.fixture(scope="session")
def tiny_tagger(tmp_path_factory) -> Path:
    """A folder with the tiny WD14-contract tagger; do not write into it."""
    from trainer.toy.tiny_tagger import build_tiny_tagger

    return build_tiny_tagger(tmp_path_factory.mktemp("tiny-tagger"))


@pytest.fixture
def card():
    """The first CUDA card, as a training has it."""
    from tests.trainer.support.card import prepared_card

    with prepared_card() as device:
        yield device


@pytest.fixture
def compiler():
    """Torch's compiler, knowing nothing yet; what a test or `compile_blocks` sets of it ends with the test."""
    import torch._functorch.config
    import torch._inductor.config
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    with (
        torch._dynamo.config.patch(suppress_errors=False, recompile_limit=8),
        torch._functorch.config.patch(force_non_lazy_backward_lowering=False),
        torch._inductor.config.patch(fallback_random=False),
    ):
        yield counters
    torch._dynamo.reset()


@pytest.fixture
def encodings(monkeypatch):
    """Counts how often the VAE is really asked."""
    from diffusers import AutoencoderKL

    asked = []
    encode = AutoencoderKL.encode
    monkeypatch.setattr(AutoencoderKL, "encode", lambda *args: asked.append(1) or encode(*args))
    return asked
