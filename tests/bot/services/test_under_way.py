"""Waiting for the work that should not be cut off."""

import asyncio

import pytest

from bot.services.upkeep.under_way import UnderWay


async def test_it_waits_for_the_last_piece():
    under_way = UnderWay()
    with under_way:
        assert not await under_way.ended(0.0)
        with under_way:
            waiting = asyncio.create_task(under_way.ended(600))
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting


async def test_a_stop_that_comes_with_the_end_of_the_work_is_not_swallowed():
    """asyncio.wait_for would forget the cancellation, before Python 3.12."""
    under_way = UnderWay()
    with under_way:
        waiting = asyncio.create_task(under_way.ended(600))
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
