"""REST routes of applications, guilds, channels, messages and threads."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.wire import messages, threads
from tests.wire.faults import Call
from tests.wire.payloads import (
    channel_json,
    guild_json,
    member_json,
    message_json,
    nonce_json,
    thread_member_json,
    user_json,
)
from tests.wire.world import DM, ApiError, Channel, Message, User, World

CALL = web.RequestKey("call", Call)


class RestRoutes:
    """Handlers return what Discord would: a JSON value, or None for 204."""

    def __init__(self, world: World) -> None:
        self._world = world

    def table(self) -> list[tuple[str, str, Any]]:
        """Method, path below /api/v10, handler."""
        channel, message = "/channels/{channel}", "/channels/{channel}/messages/{message}"
        return [
            ("GET", "/gateway", self.gateway),
            ("GET", "/gateway/bot", self.gateway),
            ("GET", "/users/@me", self.me),
            ("GET", "/users/{user}", self.user),
            ("POST", "/users/@me/channels", self.open_direct),
            ("GET", "/users/@me/guilds", self.guilds),
            ("GET", "/oauth2/applications/@me", self.application),
            ("GET", "/applications/@me", self.application),
            ("GET", "/applications/{application}/commands", self.list_commands),
            ("PUT", "/applications/{application}/commands", self.overwrite_commands),
            ("PUT", "/applications/{application}/guilds/{guild}/commands", self.overwrite_commands),
            ("GET", "/guilds/{guild}", self.guild),
            ("GET", "/guilds/{guild}/channels", self.guild_channels),
            ("GET", "/guilds/{guild}/members/{user}", self.member),
            ("GET", "/guilds/{guild}/threads/active", self.active_threads),
            ("GET", channel, self.channel),
            ("PATCH", channel, self.edit_channel),
            ("DELETE", channel, self.delete_channel),
            ("GET", f"{channel}/messages", self.history),
            ("POST", f"{channel}/messages", self.send),
            ("GET", message, self.message),
            ("PATCH", message, self.edit_message),
            ("DELETE", message, self.delete_message),
            ("POST", f"{message}/threads", self.thread_from_message),
            ("POST", f"{channel}/threads", self.create_thread),
            ("GET", f"{channel}/thread-members", self.thread_members),
            ("PUT", f"{channel}/thread-members/{{user}}", self.add_thread_member),
            ("DELETE", f"{channel}/thread-members/{{user}}", self.remove_thread_member),
            ("POST", f"{channel}/typing", self.typing),
        ]

    # --- who and where ----------------------------------------------------------------------------------------------
    async def gateway(self, request: web.Request) -> Any:
        limits = {"total": 1000, "remaining": 999, "reset_after": 14_400_000, "max_concurrency": 1}
        url = self._world.base_url.replace("http", "ws", 1) + "/gateway"
        return {"url": url, "shards": 1, "session_start_limit": limits}

    async def me(self, request: web.Request) -> Any:
        return user_json(self._world.bot) | {"verified": True, "mfa_enabled": True, "flags": 0, "locale": "en-US"}

    async def user(self, request: web.Request) -> Any:
        return user_json(self._user(request))

    async def open_direct(self, request: web.Request) -> Any:
        user = self._world.users[int(request[CALL].body["recipient_id"])]
        return channel_json(self._world, self._world.direct_channel(user))

    async def guilds(self, request: web.Request) -> Any:
        return [{**guild_json(self._world), "owner": False, "permissions": str(self._world.bot.permissions)}]

    async def application(self, request: web.Request) -> Any:
        return {
            "id": str(self._world.application_id),
            "name": "Lorelei",
            "icon": None,
            "description": "",
            "summary": "",
            "flags": (1 << 19) | (1 << 23),
            "verify_key": "0" * 64,
            "bot_public": True,
            "bot_require_code_grant": False,
            "owner": user_json(self._world.host),
            "bot": user_json(self._world.bot),
            "approximate_guild_count": 1,
        }

    async def list_commands(self, request: web.Request) -> Any:
        return self._world.commands

    async def overwrite_commands(self, request: web.Request) -> Any:
        guild = request.match_info.get("guild")
        ids = {(c["name"], c.get("type", 1)): c["id"] for c in self._world.commands}
        self._world.commands = [
            {
                "type": 1,
                "description": "",
                "default_member_permissions": None,
                **command,
                "id": ids.get((command["name"], command.get("type", 1))) or str(self._world.new_id()),
                "application_id": str(self._world.application_id),
                "version": str(self._world.new_id()),
                **({"guild_id": guild} if guild else {}),
            }
            for command in request[CALL].body
        ]
        self._world.command_syncs += 1
        self._world.touch()
        return self._world.commands

    async def guild(self, request: web.Request) -> Any:
        return guild_json(self._world)

    async def guild_channels(self, request: web.Request) -> Any:
        channels = [c for c in self._world.channels.values() if c.type != DM and not c.is_thread]
        return [channel_json(self._world, channel) for channel in channels]

    async def member(self, request: web.Request) -> Any:
        return member_json(self._world, self._user(request))

    async def active_threads(self, request: web.Request) -> Any:
        active = [c for c in self._world.threads if not c.archived and c.sees(self._world.bot)]
        return {
            "threads": [channel_json(self._world, thread) for thread in active],
            "members": [thread_member_json(thread, self._world.bot) for thread in active],
        }

    # --- channels and threads ---------------------------------------------------------------------------------------
    async def channel(self, request: web.Request) -> Any:
        return channel_json(self._world, self._channel(request))

    async def edit_channel(self, request: web.Request) -> Any:
        channel = self._channel(request)
        if not channel.is_thread:
            raise ApiError(403, 50013, "Missing Permissions")
        return channel_json(self._world, threads.update_thread(self._world, channel, request[CALL].body))

    async def delete_channel(self, request: web.Request) -> Any:
        return threads.delete_channel(self._world, self._channel(request))

    async def create_thread(self, request: web.Request) -> Any:
        thread = threads.create_thread(self._world, self._channel(request), request[CALL].body)
        return channel_json(self._world, thread)

    async def thread_from_message(self, request: web.Request) -> Any:
        starter = self._message(request)
        thread = threads.create_thread(self._world, starter.channel, request[CALL].body, starter=starter)
        return channel_json(self._world, thread)

    async def thread_members(self, request: web.Request) -> Any:
        thread = self._channel(request)
        return [thread_member_json(thread, user) for user in thread.members.values()]

    async def add_thread_member(self, request: web.Request) -> None:
        thread = self._channel(request)
        threads.add_member(self._world, thread, self._user(request))

    async def remove_thread_member(self, request: web.Request) -> None:
        thread = self._channel(request)
        thread.members.pop(self._user(request).id, None)

    async def typing(self, request: web.Request) -> None:
        self._channel(request)  # refuses an unknown one; the sign itself changes nothing

    # --- messages ---------------------------------------------------------------------------------------------------
    async def history(self, request: web.Request) -> Any:
        query = request[CALL].query
        newest_first = list(reversed(self._channel(request).messages.values()))
        limit = int(query.get("limit", 50))
        if "before" in query:
            found = [m for m in newest_first if m.id < int(query["before"])][:limit]
        elif "after" in query:
            found = [m for m in newest_first if m.id > int(query["after"])][-limit:]
        elif "around" in query:
            near = sorted(newest_first, key=lambda m: abs(m.id - int(query["around"])))[:limit]
            found = sorted(near, key=lambda m: -m.id)
        else:
            found = newest_first[:limit]
        return [message_json(self._world, message) for message in found]

    async def send(self, request: web.Request) -> Any:
        call = request[CALL]
        channel = self._channel(request)
        message = messages.create(self._world, channel, self._world.bot, call.body, call.uploads)
        if message.id not in self._world.messages:
            messages.publish(self._world, message)
        return message_json(self._world, message) | nonce_json(message)

    async def message(self, request: web.Request) -> Any:
        return message_json(self._world, self._message(request))

    async def edit_message(self, request: web.Request) -> Any:
        call, message = request[CALL], self._message(request)
        if message.author is not self._world.bot:
            raise ApiError(403, 50005, "Cannot edit a message authored by another user")
        return message_json(self._world, messages.edit(self._world, message, call.body, call.uploads))

    async def delete_message(self, request: web.Request) -> None:
        message = self._message(request)
        if message.channel.archived:
            raise ApiError(400, 50083, "Thread is archived")
        messages.delete(self._world, message)

    # --- look-ups ---------------------------------------------------------------------------------------------------
    def _channel(self, request: web.Request) -> Channel:
        channel = self._world.channels.get(int(request.match_info["channel"]))
        if channel is None:
            raise ApiError(404, 10003, "Unknown Channel")
        if not channel.sees(self._world.bot):
            raise ApiError(403, 50001, "Missing Access")
        return channel

    def _message(self, request: web.Request) -> Message:
        message = self._channel(request).messages.get(int(request.match_info["message"]))
        if message is None:
            raise ApiError(404, 10008, "Unknown Message")
        return message

    def _user(self, request: web.Request) -> User:
        wanted = request.match_info["user"]
        user = self._world.bot if wanted == "@me" else self._world.users.get(int(wanted))
        if user is None:
            raise ApiError(404, 10013, "Unknown User")
        return user
