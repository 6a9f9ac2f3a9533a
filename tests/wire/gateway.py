"""The websocket side: HELLO, IDENTIFY, heartbeats, RESUME with replay, and the ways a connection ends."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.wire.payloads import guild_create_json, member_json, user_json
from tests.wire.world import DM, Channel, Render, World

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, RESUME, RECONNECT, MEMBERS, INVALID_SESSION, HELLO, ACK = (
    0, 1, 2, 3, 6, 7, 8, 9, 10, 11,
)  # fmt: skip
HEARTBEAT_MS = 40_000
GUILDS_INTENT, GUILD_MESSAGES_INTENT, DM_MESSAGES_INTENT = 1 << 0, 1 << 9, 1 << 12
_MESSAGE_EVENTS = ("MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_DELETE")


@dataclass(eq=False)
class Session:
    """What survives a lost connection: every event since the start, and the socket while there is one."""

    id: str
    intents: int
    events: list[str] = field(default_factory=list)
    socket: web.WebSocketResponse | None = None
    resumes: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def connected(self) -> bool:
        return self.socket is not None and not self.socket.closed


class Gateway:
    """All sessions of the bot."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sessions: dict[str, Session] = {}
        self._transports: dict[web.WebSocketResponse, asyncio.BaseTransport | None] = {}
        self._closed_here: set[web.WebSocketResponse] = set()
        self._pumps: dict[web.WebSocketResponse, asyncio.Task[None]] = {}
        self.identifies = 0
        self.refuse_intents = False
        """True closes an IDENTIFY with 4014, as when the privileged intents are not switched on."""
        world.listeners.append(self.dispatch)

    @property
    def sessions(self) -> list[Session]:
        return list(self._sessions.values())

    @property
    def connected(self) -> bool:
        return any(session.connected for session in self._sessions.values())

    def dispatch(self, event: str, render: Render, channel: Channel | None = None) -> None:
        """Number the event for every session that asked for its kind, and send it where one is connected."""
        if channel is not None and not channel.sees(self._world.bot):
            return
        for session in self._sessions.values():
            if _wants(session.intents, event, channel):
                self._push(session, event, render(session.intents))

    async def drop(self) -> None:
        """Cut every connection without a word, as a lost network does."""
        for transport in self._transports.values():
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()

    async def close(self, code: int = 4000) -> None:
        """Close every connection with a code; 4000 lets the bot resume."""
        for socket in list(self._transports):
            self._closed_here.add(socket)
            await socket.close(code=code)

    async def ask_reconnect(self) -> None:
        """Opcode 7: please connect again and resume."""
        for socket in list(self._transports):
            await socket.send_str(json.dumps({"op": RECONNECT, "d": None}))

    async def invalidate(self) -> None:
        """Opcode 9: the session is gone, identify anew."""
        self._sessions.clear()
        for socket in list(self._transports):
            await socket.send_str(json.dumps({"op": INVALID_SESSION, "d": False}))

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One websocket connection."""
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        await socket.send_str(json.dumps({"op": HELLO, "d": {"heartbeat_interval": HEARTBEAT_MS}}))
        self._transports[socket] = request.transport
        async for frame in socket:
            if frame.type != WSMsgType.TEXT:
                break
            await self._received(socket, json.loads(frame.data))
        await self._detach(socket)
        if socket.close_code == 1000 and socket not in self._closed_here:
            # The bot said good-bye; of a close from this side its answer is 1000 too, and means nothing.
            self._sessions = {key: s for key, s in self._sessions.items() if s.connected}
        self._world.touch()
        return socket

    async def _detach(self, socket: web.WebSocketResponse) -> None:
        """The connection has ended; its session stays, to be resumed."""
        self._transports.pop(socket, None)
        pump = self._pumps.pop(socket, None)
        if pump is not None:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        for session in self._sessions.values():
            if session.socket is socket:
                session.socket = None

    async def _received(self, socket: web.WebSocketResponse, frame: dict[str, Any]) -> None:
        op, data = frame["op"], frame.get("d")
        if op == HEARTBEAT:
            await socket.send_str(json.dumps({"op": ACK, "d": None}))
        elif op == IDENTIFY:
            await self._identify(socket, data)
        elif op == RESUME:
            await self._resume(socket, data)
        elif op == MEMBERS:
            self._chunk(socket, data)
        elif op != PRESENCE:
            self._world.violation(f"gateway: unknown opcode {op}")
            await socket.close(code=4001)

    async def _identify(self, socket: web.WebSocketResponse, data: dict[str, Any]) -> None:
        if data["token"] != self._world.token:
            await socket.close(code=4004)
            return
        if self.refuse_intents:
            await socket.close(code=4014)
            return
        self.identifies += 1
        self._sessions = {key: s for key, s in self._sessions.items() if s.connected}
        session = Session(secrets.token_hex(8), int(data["intents"]))
        self._sessions[session.id] = session
        self._push(session, "READY", self._ready(session))
        if session.intents & GUILDS_INTENT:
            self._push(session, "GUILD_CREATE", guild_create_json(self._world))
        self._attach(session, socket, seen=0)
        self._world.touch()

    async def _resume(self, socket: web.WebSocketResponse, data: dict[str, Any]) -> None:
        session = self._sessions.get(data["session_id"])
        if session is None or data["token"] != self._world.token:
            await socket.send_str(json.dumps({"op": INVALID_SESSION, "d": False}))
            return
        session.resumes += 1
        self._push(session, "RESUMED", {})
        self._attach(session, socket, seen=int(data["seq"] or 0))
        self._world.touch()

    def _ready(self, session: Session) -> dict[str, Any]:
        return {
            "v": 10,
            "user": user_json(self._world.bot),
            "guilds": [{"id": str(self._world.guild_id), "unavailable": True}],
            "session_id": session.id,
            "session_type": "normal",
            "resume_gateway_url": self._world.base_url.replace("http", "ws", 1) + "/gateway",
            "application": {"id": str(self._world.application_id), "flags": 1 << 19},
            "shard": [0, 1],
        }

    def _chunk(self, socket: web.WebSocketResponse, data: dict[str, Any]) -> None:
        wanted = {int(user) for user in data.get("user_ids") or ()}
        users = [user for user in self._world.users.values() if not wanted or user.id in wanted]
        chunk = {
            "guild_id": str(self._world.guild_id),
            "members": [member_json(self._world, user) for user in users],
            "chunk_index": 0,
            "chunk_count": 1,
            "nonce": data.get("nonce"),
        }
        for session in self._sessions.values():
            if session.socket is socket:
                self._push(session, "GUILD_MEMBERS_CHUNK", chunk)

    def _push(self, session: Session, event: str, data: dict[str, Any]) -> None:
        session.events.append(json.dumps({"op": DISPATCH, "t": event, "s": len(session.events) + 1, "d": data}))
        session.more.set()

    def _attach(self, session: Session, socket: web.WebSocketResponse, seen: int) -> None:
        """Send the session's events after number `seen` over this socket from now on."""
        session.socket, session.more = socket, asyncio.Event()
        session.more.set()
        self._pumps[socket] = asyncio.create_task(_pump(session, socket, seen))


async def _pump(session: Session, socket: web.WebSocketResponse, sent: int) -> None:
    more = session.more
    while True:
        await more.wait()
        more.clear()
        while sent < len(session.events):
            sent += 1
            await socket.send_str(session.events[sent - 1])


def _wants(intents: int, event: str, channel: Channel | None) -> bool:
    """True when a session of these intents is told of the event."""
    if event in _MESSAGE_EVENTS:
        direct = channel is not None and channel.type == DM
        return bool(intents & (DM_MESSAGES_INTENT if direct else GUILD_MESSAGES_INTENT))
    return event == "INTERACTION_CREATE" or bool(intents & GUILDS_INTENT)
