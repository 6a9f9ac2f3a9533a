"""Making and editing messages as Discord does: attachments kept and added, media resolved, nonces honoured."""

from __future__ import annotations

import copy
import re
import time
from typing import Any

from tests.wire.payloads import file_url, message_event, nonce_json
from tests.wire.threads import set_archived
from tests.wire.world import (
    COMPONENTS_V2,
    EPHEMERAL,
    LOADING,
    SILENT,
    ApiError,
    Channel,
    Message,
    StoredFile,
    User,
    World,
    walk_components,
)

Upload = tuple[str, bytes, str]
"""File name, bytes, content type."""


def create(
    world: World, channel: Channel, author: User, body: dict[str, Any], uploads: dict[str, Upload], **details: Any
) -> Message:
    """A new message in the channel; with an enforced nonce seen shortly before, the message that carries it."""
    key = (channel.id, str(body.get("nonce")))
    if body.get("enforce_nonce") and body.get("nonce") is not None:
        at, known = world.nonces.get(key, (float("-inf"), None))
        if known is not None and time.monotonic() - at < world.nonce_seconds:
            return known
    if channel.archived and channel.locked and author is world.bot:
        raise ApiError(400, 50083, "Thread is archived")
    message = Message(world.new_id(), channel, author, **details)
    message.nonce = None if body.get("nonce") is None else str(body["nonce"])
    message.flags |= int(body.get("flags") or 0) & (SILENT | COMPONENTS_V2 | EPHEMERAL)
    message.reference = _reference(world, channel, body)
    _fill(world, message, body, uploads)
    world.nonces[key] = (time.monotonic(), message)
    return message


def publish(world: World, message: Message) -> None:
    """Give the message to the channel's readers; an archived thread wakes by it."""
    world.messages[message.id] = message
    if message.ephemeral_to is not None:
        world.touch()
        return
    if message.channel.archived:
        set_archived(world, message.channel, archived=False)
    message.channel.messages[message.id] = message
    world.emit(
        "MESSAGE_CREATE", lambda intents: message_event(world, message, intents) | nonce_json(message), message.channel
    )


def edit(world: World, message: Message, body: dict[str, Any], uploads: dict[str, Upload]) -> Message:
    """Apply a PATCH; what it does not name stays."""
    if message.channel.archived:
        raise ApiError(400, 50083, "Thread is archived")
    if message.flags & COMPONENTS_V2 and not int(body.get("flags") or COMPONENTS_V2) & COMPONENTS_V2:
        raise ApiError(400, 50035, "the components v2 flag can never be removed from a message")
    message.flags |= int(body.get("flags") or 0) & COMPONENTS_V2
    message.flags &= ~LOADING
    _fill(world, message, body, uploads)
    message.edited_at, message.edits = time.time(), message.edits + 1
    if message.ephemeral_to is None:
        world.emit("MESSAGE_UPDATE", lambda intents: message_event(world, message, intents), message.channel)
    else:
        world.touch()
    return message


def delete(world: World, message: Message) -> None:
    """Remove the message everywhere."""
    world.messages.pop(message.id, None)
    if message.channel.messages.pop(message.id, None) is not None:
        ids = {"id": str(message.id), "channel_id": str(message.channel.id), "guild_id": str(world.guild_id)}
        world.emit("MESSAGE_DELETE", lambda intents: ids, message.channel)
    world.touch()


def store_uploads(
    world: World, channel: Channel, uploads: dict[str, Upload], kind: str = "attachments"
) -> dict[str, StoredFile]:
    """Keep uploaded files, by part name; raises 40005 when one is over the limit for a file."""
    for name, data, _ in uploads.values():
        if len(data) > world.file_limit:
            raise ApiError(413, 40005, f"Request entity too large: {name} has {len(data)} bytes")
    return {part: world.add_file(*upload, channel, kind=kind) for part, upload in uploads.items()}


def _reference(world: World, channel: Channel, body: dict[str, Any]) -> Message | None:
    reference = body.get("message_reference")
    if not reference:
        return None
    target = channel.messages.get(int(reference["message_id"]))
    if target is None and reference.get("fail_if_not_exists", True):
        raise ApiError(400, 50035, "Invalid Form Body: message_reference: Unknown message")
    return target


def _fill(world: World, message: Message, body: dict[str, Any], uploads: dict[str, Upload]) -> None:
    """Set what the body names; all references are resolved before anything changes."""
    files = _files(world, message, body, uploads)
    media = {file.name: file for file in files}
    components = _resolved(world, body["components"] or [], media) if "components" in body else message.components
    embeds = _resolved(world, body["embeds"] or [], media) if "embeds" in body else message.embeds
    content = (body["content"] or "") if "content" in body else message.content
    if message.flags & COMPONENTS_V2:
        if content or embeds:
            raise ApiError(400, 50035, "content and embeds cannot be used with the components v2 flag")
        if not components:
            raise ApiError(400, 50006, "Cannot send an empty message")
    elif not (content or embeds or files or components) and not message.flags & LOADING:
        raise ApiError(400, 50006, "Cannot send an empty message")
    for number, component in enumerate(walk_components(components), start=1):
        component.setdefault("id", number)
    message.content, message.embeds, message.components, message.files = content, embeds, components, files
    text = message.text
    message.mentions = [user for user in world.users.values() if re.search(rf"<@!?{user.id}>", text)]


def _files(world: World, message: Message, body: dict[str, Any], uploads: dict[str, Upload]) -> list[StoredFile]:
    """Attachments after the request: the kept ones, then the uploaded ones."""
    stored = store_uploads(world, message.channel, uploads)
    listed = body.get("attachments")
    if listed is None:
        return [*message.files, *stored.values()]
    kept, present = [], {file.id: file for file in message.files}
    for entry in listed:
        part = f"files[{entry['id']}]"
        if part in stored:
            stored[part].description = entry.get("description")
        elif (file := present.get(int(entry["id"]))) is not None:
            kept.append(file)
        else:
            raise ApiError(400, 50035, f"Invalid Form Body: attachments: {entry['id']} is neither uploaded nor kept")
    return [*kept, *stored.values()]


def _resolved(world: World, parts: list[dict[str, Any]], media: dict[str, StoredFile]) -> list[dict[str, Any]]:
    """A copy with every attachment:// replaced by the file's link, and its size and type beside it."""
    parts = copy.deepcopy(parts)

    def visit(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                visit(item)
        elif isinstance(value, dict):
            url = value.get("url")
            if isinstance(url, str) and url.startswith("attachment://"):
                value.update(_media(world, url.removeprefix("attachment://"), media))
            for item in value.values():
                visit(item)

    visit(parts)
    return parts


def _media(world: World, name: str, media: dict[str, StoredFile]) -> dict[str, Any]:
    file = media.get(name)
    if file is None:
        raise ApiError(400, 50035, f"Invalid Form Body: attachment://{name} is not among {sorted(media)}")
    width, height = file.size or (None, None)
    return {
        "url": file_url(world, file),
        "proxy_url": file_url(world, file),
        "width": width,
        "height": height,
        "content_type": file.content_type,
        "attachment_id": str(file.id),
        "placeholder": "",
        "placeholder_version": 1,
        "loading_state": 2,
        "flags": 0,
    }
