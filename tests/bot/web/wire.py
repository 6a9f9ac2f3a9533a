"""A piece of wire between browser and bot that a test can break: cut in the middle of a file, and mended later."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Wire:
    """Passes bytes to and fro; while it is broken it ends every connection at once."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._until_cut: int | None = None
        self.broken = False
        self.was_cut = asyncio.Event()
        self.port = 0

    def cut_after(self, sent: int) -> None:
        """Break once the browser has sent so many more bytes: wherever that is in a file."""
        self._until_cut = sent
        self.was_cut.clear()

    def cut(self) -> None:
        self.broken = True
        self._until_cut = None
        for writer in self._writers:
            writer.transport.abort()
        self.was_cut.set()

    def mend(self) -> None:
        self.broken = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.broken:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, far_writer}
        to = asyncio.create_task(self._pass(reader, far_writer, counted=True))
        fro = asyncio.create_task(self._pass(far_reader, writer, counted=False))
        self._tasks |= {to, fro}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(16 * 1024):
                if counted and self._until_cut is not None:
                    self._until_cut -= len(part)
                    if self._until_cut <= 0:
                        self.cut()
                        return
                writer.write(part)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            writer.close()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    """A wire to that port of this machine."""
    wire = Wire(port)
    server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        await wire.end()
        await server.wait_closed()
