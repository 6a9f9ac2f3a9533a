"""A worker that answers line by line: when it ends, and that a stop is never swallowed."""

import asyncio
import os

import pytest

from bot.workers.line_worker import CannotStart, LineWorker, WorkerFailed, WorkerSlow

ECHO = 'echo \'{"ready": true}\'; while read -r question; do echo "$question"; done'


@pytest.fixture
def worker_of(monkeypatch):
    """A worker that is a line of shell."""

    def made(script, idle_seconds=60.0):
        monkeypatch.setattr("bot.workers.line_worker.worker_command", lambda *_: ["/bin/sh", "-c", script])
        return LineWorker("none", [], idle_seconds, 1000)

    return made


async def test_it_starts_when_asked_and_stays(worker_of):
    worker = worker_of(ECHO)
    assert worker.pid is None
    assert await worker.ask({"a": 1}, 30) == {"a": 1}
    first = worker.pid
    assert await worker.ask({"a": 2}, 30) == {"a": 2}
    assert worker.pid == first
    await worker.close()
    assert worker.pid is None


async def test_it_ends_when_idle_and_comes_back(worker_of):
    worker = worker_of(ECHO, idle_seconds=0.0)
    await worker.ask({}, 30)
    first = worker.pid
    await worker._process.wait()
    assert worker.pid is None
    assert await worker.ask({"a": 1}, 30) == {"a": 1}
    assert worker.pid not in (None, first)
    await worker.close()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("true", WorkerFailed),
        ("echo '{}'; read -r question; echo '[]'", WorkerFailed),
        ("echo '{}'; read -r question; echo no", WorkerFailed),
        (f"echo '{{}}'; read -r question; echo '{{\"a\": \"{'x' * 3000}\"}}'", WorkerFailed),
        ('echo \'{"error": "no model"}\'', CannotStart),
    ],
)
async def test_one_that_failed_is_gone(worker_of, script, why):
    worker = worker_of(script)
    with pytest.raises(WorkerFailed) as failure:
        await worker.ask({}, 30)
    assert type(failure.value) is why
    assert worker.pid is None


async def test_one_that_is_slow_is_gone(worker_of):
    worker = worker_of("echo '{}'; read -r question; exec sleep 1000")
    with pytest.raises(WorkerSlow, match="longer than 0 seconds"):
        await worker.ask({}, 0.0, start_seconds=30)
    assert worker.pid is None


async def test_a_stop_that_comes_with_the_answer_is_not_swallowed(worker_of, monkeypatch):
    """asyncio.wait_for gives the answer and forgets the cancellation, before Python 3.12."""
    worker = worker_of(ECHO)
    await worker.ask({}, 30)
    pid = worker.pid
    call = asyncio.create_task(worker.ask({"a": 1}, 30))
    feed = asyncio.StreamReader.feed_data

    def fed(reader, data):
        feed(reader, data)
        call.cancel()

    monkeypatch.setattr(asyncio.StreamReader, "feed_data", fed)
    with pytest.raises(asyncio.CancelledError):
        await call
    assert worker.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
