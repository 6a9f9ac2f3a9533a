"""Fixtures of the crash tests."""

from tests.trainer.conftest import small_sdxl, tiny_sdxl  # noqa: F401 - fixtures, used by name
