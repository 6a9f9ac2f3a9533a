"""The loopback Discord as one object: start it, point a bot at it, act as its members, read what happened."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.wire import limits
from tests.wire.faults import Call, Fault, Faults
from tests.wire.gateway import Gateway
from tests.wire.interaction_routes import InteractionRoutes
from tests.wire.openapi import OpenApi
from tests.wire.payloads import signature
from tests.wire.rest import CALL, RestRoutes
from tests.wire.world import ApiError, World

API = "/api/v10"
REDIRECT = Path(__file__).parent / "redirect"
FORESEEABLE = frozenset({10003, 10008, 10013, 10015, 50001, 50013, 50027, 50083})
"""Errors that a correct bot may run into because people delete, archive or forbid things; all others are its fault."""
Handler = Callable[[web.Request], Awaitable[Any]]
_LARGEST_REQUEST = 512 * 1024 * 1024


class DiscordServer:
    """World, gateway and faults of one loopback Discord, with every request it got."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.faults = Faults()
        self._spec = OpenApi.load()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.world = World(self.base_url)
        self.gateway = Gateway(self.world)
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.router.add_get("/gateway", self.gateway.serve)
        app.router.add_get("/{kind:(?:ephemeral-)?attachments}/{channel}/{file}/{name}", self._download)
        for method, path, handler in (*RestRoutes(self.world).table(), *InteractionRoutes(self.world).table()):
            app.router.add_route(method, API + path, self._serving(handler))
        app.router.add_route("*", "/{anything:.*}", self._serving(_no_route))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()

    async def stop(self) -> None:
        """Let held calls go and close every connection."""
        self.faults.clear()
        await self.gateway.drop()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def environment(self) -> dict[str, str]:
        """What a separate bot process needs in its environment to talk to this server instead of Discord."""
        return {"PYTHONPATH": str(REDIRECT), "LORELEI_LOOPBACK_DISCORD": self.base_url}

    # --- one request ------------------------------------------------------------------------------------------------
    def _serving(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            return await self._serve(handler, request)

        return serve

    async def _serve(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        request[CALL] = call = await _read(request)
        self.calls.append(call)
        try:
            return await self._answer(handler, request, call)
        except ApiError as error:
            if error.code not in FORESEEABLE:
                self.world.violation(f"{call}: {error}")
            return _json({"code": error.code, "message": error.message}, error.status)
        except Exception as error:
            self.world.violation(f"{call}: this server broke: {error!r}")
            raise

    async def _answer(self, handler: Handler, request: web.Request, call: Call) -> web.StreamResponse:
        if (
            not call.path.startswith(("/interactions/", "/webhooks/"))
            and call.authorization != f"Bot {self.world.token}"
        ):
            raise ApiError(401, 0, "401: Unauthorized")
        fault = self.faults.take(call)
        if fault is not None and fault.gate is not None:
            await fault.gate.wait()
        elif fault is not None and not fault.accepted:
            return _failure(fault)
        self._validate(call)
        value = await handler(request)
        if fault is not None and fault.lose_response and request.transport is not None:
            request.transport.abort()
        elif fault is not None and fault.accepted:
            return _failure(fault)
        return web.Response(status=204) if value is None else _json(value)

    def _validate(self, call: Call) -> None:
        # The rules of `limits` take the types for granted, so they come second.
        problems = (self._spec.problems(call) if self._spec is not None else []) or limits.problems(call)
        if problems:
            for problem in problems:
                self.world.violation(problem)
            raise ApiError(400, 50035, f"Invalid Form Body: {problems[0]}")

    async def _download(self, request: web.Request) -> web.StreamResponse:
        """The CDN: signed links, and faults of the pattern `/attachments/*`; a lost response is cut in the middle."""
        fault = self.faults.take(Call(request.method, request.path, dict(request.query), None, {}))
        file = self.world.files.get(int(request.match_info["file"]))
        query = request.query
        until = query.get("ex", "0")
        if file is None or query.get("hm") != signature(file.id, until) or int(until, 16) < time.time():
            return web.Response(status=404, text="This content is no longer available.")
        if fault is None:
            return web.Response(body=file.data, content_type=file.content_type)
        if not fault.lose_response:
            return _failure(fault)
        partial = web.StreamResponse(headers={"Content-Length": str(len(file.data))})
        await partial.prepare(request)
        await partial.write(file.data[: len(file.data) // 2])
        if request.transport is not None:
            request.transport.abort()
        return partial


async def _no_route(request: web.Request) -> None:
    raise ApiError(404, 0, "404: Not Found: this server has no such route")


async def _read(request: web.Request) -> Call:
    """Method, path, query, JSON value and files of a request."""
    body: Any = None
    uploads: dict[str, tuple[str, bytes, str]] = {}
    if request.content_type == "application/json":
        body = await request.json()
    elif request.content_type == "multipart/form-data":
        async for part in await request.multipart():
            data = bytes(await part.read())
            if part.name == "payload_json":
                body = json.loads(data)
            else:
                kind = _content_type(part.filename or "")
                uploads[part.name] = (part.filename or "", data, kind)
    path = request.path.removeprefix(API)
    return Call(request.method, path, dict(request.query), body, uploads, request.headers.get("Authorization", ""))


def _content_type(name: str) -> str:
    """Discord goes by the name of an upload."""
    known = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "txt": "text/plain"}
    return known.get(name.rpartition(".")[2].lower(), "application/octet-stream")


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    # Exactly this content type: with a charset behind it discord.py would take the body for text.
    kind = {"Content-Type": "application/json"}
    return web.Response(body=json.dumps(value).encode(), status=status, headers=kind | (headers or {}))


def _failure(fault: Fault) -> web.Response:
    if fault.retry_after is not None:
        body = {"message": "You are being rate limited.", "retry_after": fault.retry_after, "global": False}
        # Without Via discord.py would think that Cloudflare has banned it.
        return _json(body, 429, {"Via": "1.1 loopback", "Retry-After": "1", "X-RateLimit-Scope": "user"})
    if fault.status >= 500:
        return web.Response(status=fault.status, text="upstream error", content_type="text/html")
    return _json({"code": 50001 if fault.status == 403 else 0, "message": "refused by the test"}, fault.status)


@asynccontextmanager
async def running_server() -> AsyncIterator[DiscordServer]:
    """A server for the length of a block."""
    server = DiscordServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
