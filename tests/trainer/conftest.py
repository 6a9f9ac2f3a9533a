"""Fixtures of the trainer's tests: models that are real in structure and small in size, built once a run."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory) -> Path:
    """A diffusers folder with the tiny SDXL; do not write into it."""
    from trainer.toy.tiny import build_tiny_sdxl

    return build_tiny_sdxl(tmp_path_factory.mktemp("tiny-sdxl"))


@pytest.fixture(scope="session")
def tiny_tagger(tmp_path_factory) -> Path:
    """A folder with the tiny WD14-contract tagger; do not write into it."""
    from trainer.toy.tiny_tagger import build_tiny_tagger

    return build_tiny_tagger(tmp_path_factory.mktemp("tiny-tagger"))
