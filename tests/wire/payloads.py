"""The world's objects as Discord's JSON."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from typing import Any

from tests.wire.world import (
    DISCORD_EPOCH_MS,
    DM,
    Channel,
    Interaction,
    Message,
    StoredFile,
    User,
    World,
)

MESSAGE_CONTENT_INTENT = 1 << 15


def timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def created_at(snowflake: int) -> str:
    return timestamp(((snowflake >> 22) + DISCORD_EPOCH_MS) / 1000)


def user_json(user: User) -> dict[str, Any]:
    return {
        "id": str(user.id),
        "username": user.name,
        "global_name": user.name.title(),
        "discriminator": "0",
        "avatar": None,
        "bot": user.bot,
        "public_flags": 0,
    }


def member_json(world: World, user: User, *, permissions: bool = False) -> dict[str, Any]:
    """A guild member; `permissions` as in interactions."""
    member = {
        "roles": [str(world.guild_id + 1)] if user is world.bot else [],
        "joined_at": created_at(world.guild_id),
        "deaf": False,
        "mute": False,
        "flags": 0,
        "nick": None,
        "avatar": None,
        "premium_since": None,
        "user": user_json(user),
    }
    return {**member, "permissions": str(user.permissions)} if permissions else member


def thread_member_json(channel: Channel, user: User) -> dict[str, Any]:
    return {
        "id": str(channel.id),
        "user_id": str(user.id),
        "join_timestamp": created_at(channel.id),
        "flags": 0,
    }


def channel_json(world: World, channel: Channel) -> dict[str, Any]:
    last = str(next(reversed(channel.messages))) if channel.messages else None
    common = {"id": str(channel.id), "type": channel.type, "last_message_id": last, "flags": 0}
    if channel.type == DM:
        return {**common, "recipients": [user_json(u) for u in channel.members.values() if u is not world.bot]}
    common |= {"guild_id": str(world.guild_id), "name": channel.name, "rate_limit_per_user": 0}
    if not channel.is_thread:
        return {
            **common,
            "position": 0,
            "topic": None,
            "nsfw": False,
            "parent_id": None,
            "permission_overwrites": [],
            "default_auto_archive_duration": 1440,
        }
    assert channel.parent is not None
    assert channel.owner is not None
    member = {"member": thread_member_json(channel, world.bot)} if world.bot.id in channel.members else {}
    return {
        **common,
        **member,
        "parent_id": str(channel.parent.id),
        "owner_id": str(channel.owner.id),
        "message_count": len(channel.messages),
        "total_message_sent": len(channel.messages),
        "member_count": len(channel.members),
        "thread_metadata": {
            "archived": channel.archived,
            "locked": channel.locked,
            "auto_archive_duration": channel.auto_archive,
            "archive_timestamp": created_at(channel.id),
            "create_timestamp": created_at(channel.id),
            "invitable": False,
        },
    }


def _role_json(role_id: int, name: str, permissions: int, position: int) -> dict[str, Any]:
    return {
        "id": str(role_id),
        "name": name,
        "permissions": str(permissions),
        "position": position,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": position > 0,
        "mentionable": False,
        "flags": 0,
    }


def guild_json(world: World) -> dict[str, Any]:
    """The guild without its channels, as GET /guilds/{id} gives it."""
    return {
        "id": str(world.guild_id),
        "name": "Workshop",
        "owner_id": str(world.host.id),
        "roles": [
            _role_json(world.guild_id, "@everyone", world.host.permissions & ~8, 0),
            _role_json(world.guild_id + 1, "lorelei", world.bot.permissions, 1),
        ],
        "emojis": [],
        "stickers": [],
        "features": [],
        "icon": None,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "afk_timeout": 300,
        "premium_tier": 0,
        "nsfw_level": 0,
        "preferred_locale": "en-US",
        "system_channel_flags": 0,
    }


def guild_create_json(world: World) -> dict[str, Any]:
    """GUILD_CREATE: with channels, the active threads the bot is in, and members."""
    channels = [c for c in world.channels.values() if c.type != DM and not c.is_thread]
    threads = [c for c in world.threads if not c.archived and c.sees(world.bot)]
    return {
        **guild_json(world),
        "joined_at": created_at(world.guild_id),
        "large": False,
        "unavailable": False,
        "member_count": len(world.users),
        "members": [member_json(world, user) for user in world.users.values()],
        "channels": [channel_json(world, channel) for channel in channels],
        "threads": [channel_json(world, thread) for thread in threads],
        "presences": [],
        "voice_states": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def file_url(world: World, file: StoredFile) -> str:
    """A signed CDN link: it says in hex until when it holds, and a signature that the server checks."""
    until = f"{int(time.time() + world.cdn_seconds):x}"
    return (
        f"{world.base_url}/{file.kind}/{file.channel_id}/{file.id}/{file.name}"
        f"?ex={until}&is={int(time.time()):x}&hm={signature(file.id, until)}&"
    )


def signature(file_id: int, until: str) -> str:
    return hashlib.sha256(f"{file_id}/{until}".encode()).hexdigest()


def attachment_json(world: World, file: StoredFile) -> dict[str, Any]:
    attachment: dict[str, Any] = {
        "id": str(file.id),
        "filename": file.name,
        "size": len(file.data),
        "url": file_url(world, file),
        "proxy_url": file_url(world, file),
        "content_type": file.content_type,
    }
    if file.size is not None:
        attachment |= {"width": file.size[0], "height": file.size[1]}
    if file.description is not None:
        attachment["description"] = file.description
    if file.kind == "ephemeral-attachments":
        attachment["ephemeral"] = True
    return attachment


def message_json(world: World, message: Message, *, intents: int = MESSAGE_CONTENT_INTENT) -> dict[str, Any]:
    """A message as the bot gets it; without the message content intent others' content comes empty."""
    open_to_bot = (
        bool(intents & MESSAGE_CONTENT_INTENT)
        or message.author is world.bot
        or message.channel.type == DM
        or world.bot in message.mentions
    )
    payload: dict[str, Any] = {
        "id": str(message.id),
        "channel_id": str(message.channel.id),
        "author": user_json(message.author),
        "content": message.content if open_to_bot else "",
        "embeds": message.embeds if open_to_bot else [],
        "attachments": [attachment_json(world, file) for file in message.files] if open_to_bot else [],
        "components": message.components if open_to_bot else [],
        "timestamp": created_at(message.id),
        "edited_timestamp": timestamp(message.edited_at) if message.edited_at else None,
        "type": message.type,
        "flags": message.flags,
        "tts": False,
        "pinned": False,
        "mention_everyone": False,
        "mentions": [user_json(user) for user in message.mentions],
        "mention_roles": [],
    }
    if message.reference is not None:
        payload |= _reference_json(world, message.reference, intents)
    if message.interaction is not None:
        payload |= _origin_json(world, message.interaction)
    return payload


def _reference_json(world: World, target: Message, intents: int) -> dict[str, Any]:
    gone = target.id not in world.messages
    return {
        "message_reference": {
            "type": 0,
            "message_id": str(target.id),
            "channel_id": str(target.channel.id),
            "guild_id": str(world.guild_id),
        },
        "referenced_message": None if gone else message_json(world, target, intents=intents),
    }


def _origin_json(world: World, interaction: Interaction) -> dict[str, Any]:
    """What a message that answers an interaction says of it."""
    metadata: dict[str, Any] = {
        "id": str(interaction.id),
        "type": interaction.kind,
        "user": user_json(interaction.user),
        "authorizing_integration_owners": {"0": str(world.guild_id)},
    }
    if interaction.kind == 3 and interaction.message is not None:
        metadata["interacted_message_id"] = str(interaction.message.id)
    if interaction.kind == 5:
        metadata["triggering_interaction_metadata"] = {**metadata, "type": 2}
    return {
        "application_id": str(world.application_id),
        "webhook_id": str(world.application_id),
        "interaction_metadata": metadata,
    }


def nonce_json(message: Message) -> dict[str, Any]:
    """The sender's nonce comes back with the new message, not with a later look at it: nobody may count on that."""
    return {} if message.nonce is None else {"nonce": message.nonce}


def message_event(world: World, message: Message, intents: int) -> dict[str, Any]:
    """MESSAGE_CREATE and MESSAGE_UPDATE carry the guild and the member besides."""
    payload = message_json(world, message, intents=intents)
    if message.channel.type != DM:
        member = member_json(world, message.author)
        del member["user"]
        payload |= {"guild_id": str(world.guild_id), "member": member}
    return payload


def interaction_json(world: World, interaction: Interaction) -> dict[str, Any]:
    """INTERACTION_CREATE."""
    channel = channel_json(world, interaction.channel) | {"permissions": str(interaction.user.permissions)}
    payload: dict[str, Any] = {
        "id": str(interaction.id),
        "application_id": str(world.application_id),
        "type": interaction.kind,
        "token": interaction.token,
        "version": 1,
        "data": interaction.data,
        "channel": channel,
        "channel_id": str(interaction.channel.id),
        "app_permissions": str(world.bot.permissions),
        "locale": "en-US",
        "entitlements": [],
        "entitlement_sku_ids": [],
        "authorizing_integration_owners": {"0": str(world.guild_id)},
        "attachment_size_limit": 10 * 1024 * 1024,
        "context": 1 if interaction.channel.type == DM else 0,
    }
    if interaction.channel.type == DM:
        payload["user"] = user_json(interaction.user)
    else:
        payload |= {
            "guild_id": str(world.guild_id),
            "guild": {"id": str(world.guild_id), "locale": "en-US", "features": []},
            "guild_locale": "en-US",
            "member": member_json(world, interaction.user, permissions=True),
        }
    if interaction.message is not None:
        payload["message"] = message_json(world, interaction.message)
    return payload
