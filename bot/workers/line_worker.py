"""A child process that answers one JSON line with another, started when needed and ended when nobody asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.workers.child import end_process, input_of, read_object, start, worker_command, worker_environment


class WorkerFailed(Exception):
    """It ended, or said something that is no answer; the next question starts it again."""


class WorkerSlow(WorkerFailed):
    """It took longer than `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took longer than {seconds:.0f} seconds")
        self.seconds = seconds


class CannotStart(WorkerFailed):
    """It said itself that it cannot start, and why: `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"it cannot start: {reason}")
        self.reason = reason


class LineWorker:
    """One question at a time; a worker that failed is ended, so that no later question gets an earlier answer."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        idle_seconds: float,
        longest_line: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = worker_command(module, *arguments)
        self._environment = worker_environment() if environment is None else environment
        self._idle_seconds = idle_seconds
        self._longest_line = longest_line
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._idle: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def ask(
        self, question: Mapping[str, Any], seconds: float, start_seconds: float | None = None
    ) -> dict[str, Any]:
        """The worker's answer, its first line ("ready") waited for where it has to be started.

        Raises WorkerFailed.
        """
        async with self._lock:
            self._cancel_idle()
            try:
                process = await self._ready(seconds if start_seconds is None else start_seconds)
                input_of(process).write(json.dumps(question).encode() + b"\n")
                await input_of(process).drain()
                answer = await _line(process, seconds)
            except ConnectionError as error:
                await self._end()
                raise WorkerFailed("it ended before it was asked") from error
            except BaseException:
                await self._end()  # also when cancelled in the middle of an answer
                raise
            self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._hang_up)
            return answer

    async def close(self) -> None:
        """End the process; the next question would start it again."""
        async with self._lock:
            self._cancel_idle()
            await self._end()

    async def _ready(self, seconds: float) -> asyncio.subprocess.Process:
        process = self._process
        if process is not None and process.returncode is None and not input_of(process).is_closing():
            return process
        await self._end()
        self._process = await start(self._command, self._environment, self._longest_line)
        answer = await _line(self._process, seconds)
        if "error" in answer:
            raise CannotStart(str(answer["error"]))
        return self._process

    def _hang_up(self) -> None:
        """Nobody asked for a while: the worker ends when its stdin does, and gives its memory back."""
        if self._process is not None:
            input_of(self._process).close()

    def _cancel_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    async def _end(self) -> None:
        if self._process is not None:
            await end_process(self._process)
            self._process = None


async def _line(process: asyncio.subprocess.Process, seconds: float) -> dict[str, Any]:
    try:
        return await read_object(process, seconds)
    except TimeoutError:
        raise WorkerSlow(seconds) from None
    except ValueError as error:
        raise WorkerFailed("it ended, or said something that is no answer") from error
