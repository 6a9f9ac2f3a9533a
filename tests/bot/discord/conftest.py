"""Fixtures of the Discord tests: the unmodified bot in simcord, in real time."""

import dataclasses
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from bot.app import Lorelei
from bot.config import Config, ProgressConfig, WebConfig
from bot.demo.harness import live
from tests.bot.discord.lab import Lab

Pictures = Callable[..., list[tuple[str, bytes]]]


@pytest.fixture
def quick(config) -> Config:
    """The bot tests' settings, with cards drawn soon, a free port, and room for 11 pictures."""
    return dataclasses.replace(
        config,
        intake=dataclasses.replace(config.intake, max_pictures=11),
        web=WebConfig(port=0),
        progress=ProgressConfig(edit_seconds=0.2, poll_seconds=0.1),
    )


@pytest.fixture
async def lab(quick, caplog) -> AsyncIterator[Lab]:
    """A server with alice, bob and the bot; fails a test in which something unexpected was logged."""
    async with live(Lorelei(quick), settle=0.02) as env:
        yield Lab(env, quick)
    unexpected = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert unexpected == []


@pytest.fixture(scope="session")
def pictures(picture_bytes) -> Pictures:
    """`pictures(3)`: three different files (name, bytes); `pictures(2, first=3)` the next two."""

    def make(number: int, first: int = 0) -> list[tuple[str, bytes]]:
        return [(f"IMG_{2040 + seed}.jpg", picture_bytes(seed=seed)) for seed in range(first, first + number)]

    return make
