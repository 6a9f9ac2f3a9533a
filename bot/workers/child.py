"""Child processes that touch hostile bytes: how they are started, and with what little of our environment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bot

FEED_BYTES = 1024 * 1024
LINE_BYTES = 64 * 1024
"""Longest line that is read of a worker unless it is started with another limit."""
_PASSED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


def worker_command(module: str, *arguments: str) -> list[str]:
    """Run a module of ours with this interpreter; no bytecode is written, the working folder is not on the path."""
    return [sys.executable, "-B", "-P", "-m", module, *arguments]


def worker_environment(also: Sequence[str] = (), extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The few variables a worker needs; never the token, wherever the host keeps it."""
    passed = {name: os.environ[name] for name in (*_PASSED, *also) if name in os.environ}
    return {**passed, "PYTHONPATH": str(Path(bot.__path__[0]).parent), **(extra or {})}


def input_of(process: asyncio.subprocess.Process) -> asyncio.StreamWriter:
    """Its stdin; it must have been started with a pipe."""
    assert process.stdin is not None
    return process.stdin


def output_of(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    """Its stdout; it must have been started with a pipe."""
    assert process.stdout is not None
    return process.stdout


async def start(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    longest_line: int = LINE_BYTES,
    *,
    quiet: bool = False,
) -> asyncio.subprocess.Process:
    """Start a worker with pipes at both ends; a quiet one's complaints go nowhere, else into the bot's log."""
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if quiet else None,
        env=worker_environment() if environment is None else environment,
        limit=longest_line,
    )


async def read_object(process: asyncio.subprocess.Process, seconds: float) -> dict[str, Any]:
    """The object that a worker's next line is.

    Raises TimeoutError, and ValueError when it has ended or said something else.
    """
    async with asyncio.timeout(seconds):  # not wait_for: before Python 3.12 it may swallow a cancellation
        line = await output_of(process).readline()
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("a worker's line is no object")
    return value


async def answer_once(command: Sequence[str], data: bytes, most: int, seconds: float, *, quiet: bool = False) -> bytes:
    """Start a worker for one question, `data`; what it answers, or had answered when it died.

    No more than about `most` bytes are read. Raises TimeoutError; whatever happens the process is gone afterwards.
    """
    process = await start(command, quiet=quiet)
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            answer = group.create_task(_read(process, most))
            group.create_task(feed(process, data))
        return answer.result()
    finally:
        await end_process(process)


async def feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    """Give it `data` and close its stdin; piece by piece, so that no second copy of it waits in this process."""
    pipe = input_of(process)
    with contextlib.suppress(ConnectionError):  # it died or answered without reading on
        for at in range(0, len(data), FEED_BYTES):
            pipe.write(data[at : at + FEED_BYTES])
            await pipe.drain()
    pipe.close()


async def _read(process: asyncio.subprocess.Process, most: int) -> bytes:
    answer = bytearray()
    while len(answer) <= most and (part := await output_of(process).read(1 << 20)):
        answer += part
    return bytes(answer)


async def end_process(process: asyncio.subprocess.Process) -> None:
    """End a worker at once, whatever it is doing; nothing when it has ended already.

    Not Process.kill(): that polls first, which takes the exit code of a worker that has just ended away from asyncio.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    if process.stdout is not None:  # one that said too much: asyncio waits for its pipe, which nobody reads any more
        while await process.stdout.read(1 << 20):
            pass
    await process.wait()
