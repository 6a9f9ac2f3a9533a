"""Rules of Discord that its OpenAPI file does not hold, and rules of this project for every message it sends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.wire.faults import Call
from tests.wire.world import COMPONENTS_V2, walk_components

CONTENT, EMBEDS_SUM, V2_COMPONENTS, V2_TEXT, CUSTOM_ID = 2000, 6000, 40, 4000, 100
_NAME = re.compile(r"^[-_'\w\u0900-\u097F\u0E00-\u0E7F]{1,32}$")
_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def problems(call: Call) -> list[str]:
    """What is wrong with the request by these rules."""
    if call.path.endswith("/commands") and call.method == "PUT":
        found = [problem for command in call.body for problem in _command_problems(command)]
    else:
        message = message_of(call)
        found = [] if message is None else list(_message_problems(message, call))
        if call.path.endswith("/callback") and isinstance(call.body, dict) and call.body.get("type") == 9:
            found += _control_problems(call.body["data"].get("components", []))
    return [f"{call}: {problem}" for problem in found]


def message_of(call: Call) -> dict[str, Any] | None:
    """The message that a request makes or edits, if it does."""
    if not isinstance(call.body, dict) or call.method not in ("POST", "PATCH"):
        return None
    if call.path.endswith("/callback"):
        return call.body.get("data") or None if call.body.get("type") in (4, 7) else None
    written = r"/channels/\d+/messages(/\d+)?|/webhooks/\d+/[^/]+(/messages/[^/]+)?"
    return call.body if re.fullmatch(written, call.path) else None


def _message_problems(message: dict[str, Any], call: Call) -> Iterator[str]:
    content, embeds = message.get("content") or "", message.get("embeds") or []
    components = message.get("components") or []
    displays = [c["content"] for c in walk_components(components) if c["type"] == 10]
    if len(content) > CONTENT:
        yield f"content has {len(content)} characters, above {CONTENT}"
    if (total := sum(_embed_length(embed) for embed in embeds)) > EMBEDS_SUM:
        yield f"embeds have {total} characters in sum, above {EMBEDS_SUM}"
    if sum(map(len, displays)) > V2_TEXT:
        yield f"text displays have {sum(map(len, displays))} characters in sum, above {V2_TEXT}"
    if (count := sum(1 for _ in walk_components(components))) > V2_COMPONENTS:
        yield f"{count} components, above {V2_COMPONENTS}"
    if displays and not int(message.get("flags") or 0) & COMPONENTS_V2:
        yield "text displays need the components v2 flag"
    if (content or embeds or displays) and not _mentions_are_tame(message.get("allowed_mentions")):
        yield f"allowed_mentions is {message.get('allowed_mentions')}: text of people could ping everyone or roles"
    yield from _control_problems(components)
    yield from _file_problems(call)


def _mentions_are_tame(allowed: dict[str, Any] | None) -> bool:
    """Captions and names are user text: no message may ping everyone, roles, or people at will."""
    return allowed is not None and not set(allowed.get("parse") or ()) and not allowed.get("roles")


def _embed_length(embed: dict[str, Any]) -> int:
    parts = [embed.get("title"), embed.get("description"), (embed.get("footer") or {}).get("text")]
    parts += [(embed.get("author") or {}).get("name")]
    parts += [text for field in embed.get("fields", []) for text in (field["name"], field["value"])]
    return sum(len(part) for part in parts if part)


def _control_problems(components: list[dict[str, Any]]) -> Iterator[str]:
    ids = [c["custom_id"] for c in walk_components(components) if "custom_id" in c]
    for custom_id in ids:
        if not 1 <= len(custom_id) <= CUSTOM_ID:
            yield f"custom_id of {len(custom_id)} characters: {custom_id!r}"
    for custom_id in {custom_id for custom_id in ids if ids.count(custom_id) > 1}:
        yield f"custom_id {custom_id!r} is used {ids.count(custom_id)} times in one message"


def _file_problems(call: Call) -> Iterator[str]:
    listed = {str(a["id"]): a.get("filename") for a in (message_of(call) or {}).get("attachments") or []}
    for part, (name, _, _) in call.uploads.items():
        if not (match := re.fullmatch(r"files\[(\d)\]", part)):
            yield f"uploaded part is called {part!r}"
        elif match[1] not in listed:
            yield f"{part} is not listed in attachments"
        if not _FILE_NAME.fullmatch(name):
            yield f"Discord would rename the file {name!r}, and attachment:// links to it would break"


def _command_problems(command: dict[str, Any]) -> Iterator[str]:
    name = command["name"]
    if command.get("type", 1) == 1:
        if not _NAME.fullmatch(name) or name != name.lower():
            yield f"command name {name!r}"
        yield from _option_problems(name, command.get("options") or [])
    elif not 1 <= len(name) <= 32:
        yield f"menu name {name!r}"


def _option_problems(owner: str, options: list[dict[str, Any]]) -> Iterator[str]:
    if len(options) > 25:
        yield f"/{owner} has {len(options)} options"
    required = [bool(option.get("required")) for option in options]
    if sorted(required, reverse=True) != required:
        yield f"/{owner} has a required option behind an optional one"
    for option in options:
        if not _NAME.fullmatch(option["name"]) or option["name"] != option["name"].lower():
            yield f"option name {option['name']!r} of /{owner}"
        if not 1 <= len(option.get("description") or "") <= 100:
            yield f"option {option['name']!r} of /{owner} needs a description of up to 100 characters"
        yield from _option_problems(f"{owner} {option['name']}", option.get("options") or [])
