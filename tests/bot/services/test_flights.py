"""Work side by side: nobody waits for the slow one, errors come out, the end breaks off what is left."""

import asyncio

import pytest

from bot.services.posting.flights import Flights


async def test_a_slow_piece_goes_on_by_itself_and_keeps_its_key():
    flights, gate, done = Flights(patience=0.01), asyncio.Event(), []

    async def slow() -> None:
        await gate.wait()
        done.append("slow")

    async def quick() -> None:
        done.append("quick")

    await flights.go([("a", slow()), ("b", quick())])
    assert done == ["quick"]
    assert "a" in flights
    assert "b" not in flights
    gate.set()
    await flights.go([])
    assert done == ["quick", "slow"]
    assert "a" not in flights


async def test_what_a_piece_raises_comes_out_of_the_pass():
    async def broken() -> None:
        raise RuntimeError("broken")

    flights = Flights()
    with pytest.raises(RuntimeError, match="broken"):
        await flights.go([("a", broken())])
    assert "a" not in flights


async def test_closing_breaks_off_what_is_under_way():
    flights, ended = Flights(patience=0.01), []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    await flights.go([("a", endless())])
    await flights.close()
    assert ended == [True]
