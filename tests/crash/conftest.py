"""Fixtures of the crash tests."""

from tests.trainer.conftest import tiny_sdxl  # noqa: F401 - a fixture, used by name
