"""Fixtures of the end-to-end tests: both sides for real, on small models."""

from tests.bot.conftest import *  # noqa: F403
from tests.trainer.conftest import tiny_sdxl  # noqa: F401
