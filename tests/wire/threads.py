"""Threads: made by the bot, joined, archived, renamed, deleted."""

from __future__ import annotations

from typing import Any

from tests.wire.payloads import channel_json, thread_member_json
from tests.wire.world import DM, PRIVATE_THREAD, PUBLIC_THREAD, ApiError, Channel, Message, User, World


def create_thread(world: World, parent: Channel, body: dict[str, Any], *, starter: Message | None = None) -> Channel:
    """A thread owned by the bot; one that starts from a message takes the message's id, as Discord's do."""
    if parent.is_thread or parent.type == DM:
        raise ApiError(400, 50024, "Cannot execute action on this channel type")
    kind = PUBLIC_THREAD if starter is not None else int(body.get("type") or PRIVATE_THREAD)
    thread = Channel(world.new_id() if starter is None else starter.id, kind, body["name"], parent, world.bot)
    if thread.id in world.channels:
        raise ApiError(400, 160004, "A thread has already been created for this message")
    thread.auto_archive = int(body.get("auto_archive_duration") or 1440)
    thread.members[world.bot.id] = world.bot
    world.channels[thread.id] = thread
    world.emit("THREAD_CREATE", lambda _: channel_json(world, thread) | {"newly_created": True}, thread)
    return thread


def set_archived(world: World, thread: Channel, *, archived: bool) -> None:
    """Archive or wake a thread, as time or a person does."""
    thread.archived = archived
    world.emit("THREAD_UPDATE", lambda _: channel_json(world, thread), thread)


def update_thread(world: World, thread: Channel, body: dict[str, Any]) -> Channel:
    """PATCH of a thread."""
    if thread.archived and body.get("archived") is not False:
        raise ApiError(400, 50083, "Thread is archived")
    thread.name = body.get("name", thread.name)
    thread.archived = body.get("archived", thread.archived)
    thread.locked = body.get("locked", thread.locked)
    thread.auto_archive = body.get("auto_archive_duration", thread.auto_archive)
    world.emit("THREAD_UPDATE", lambda _: channel_json(world, thread), thread)
    return thread


def add_member(world: World, thread: Channel, user: User) -> None:
    """Let a member into a thread."""
    if thread.archived:
        raise ApiError(400, 50083, "Thread is archived")
    thread.members[user.id] = user
    world.emit("THREAD_MEMBERS_UPDATE", lambda _: _members_json(world, thread, user), thread)


def _members_json(world: World, thread: Channel, user: User) -> dict[str, Any]:
    return {
        "id": str(thread.id),
        "guild_id": str(world.guild_id),
        "member_count": len(thread.members),
        "added_members": [thread_member_json(thread, user)],
        "removed_member_ids": [],
    }


def delete_channel(world: World, channel: Channel) -> dict[str, Any]:
    """Remove the channel and all its messages; returns what it was."""
    was = channel_json(world, channel)
    del world.channels[channel.id]
    for message in list(channel.messages.values()):
        world.messages.pop(message.id, None)
    event = "THREAD_DELETE" if channel.is_thread else "CHANNEL_DELETE"
    world.emit(event, lambda _: was, channel)
    return was
