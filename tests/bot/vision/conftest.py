"""A decoder with the limits of a real host, and of a small one."""

import pytest

from bot.config import IntakeConfig
from bot.vision.decoding.decoder import Decoder


@pytest.fixture
async def decoder() -> Decoder:
    """The decoder with default limits but for the shorter side: 64 pixels, so that test pictures are small."""
    return Decoder(IntakeConfig(min_side=64))
