"""What a page asks for, read out of JSON that anybody may have written."""

from __future__ import annotations

from typing import Any

from bot.rules.bulk.operations import AddTags, Dedupe, MoveTag, Operation, RemoveTags, RenameTag, SortTags, replacement
from bot.rules.captions.caption import MAX_CAPTION
from bot.web.answers import NotUnderstood

LAST_ID = 2**63 - 1
"""What the database takes for an id."""


MOST_TAGS = 200
"""In one edit; a caption holds fewer."""


def picture_ids(value: Any) -> tuple[int, ...]:
    """Ids of pictures; whose they are is the services' to say. Raises NotUnderstood."""
    if not isinstance(value, list) or not value or not all(map(is_id, value)):
        raise NotUnderstood
    return tuple(value)


def is_id(value: Any) -> bool:
    """Whether it may be a picture's id; JSON's true and false are no numbers here."""
    return type(value) is int and 0 < value <= LAST_ID


def chosen_of(body: dict[str, Any]) -> tuple[int, ...] | None:
    """The pictures it is about, None for all. Raises NotUnderstood."""
    return picture_ids(body["pictures"]) if "pictures" in body else None


def operation_of(body: Any) -> Operation:
    """The edit a page asks for. Raises NotUnderstood, and Refused for an empty search."""
    if not isinstance(body, dict):
        raise NotUnderstood
    chosen = chosen_of(body)
    match {key: _clean(value) for key, value in body.items() if key != "pictures"}:
        case {"do": "remove", "tags": tuple(tags)}:
            return RemoveTags(tags=tags, pictures=chosen)
        case {"do": "rename", "tag": str(tag), "new": str(new)}:
            return RenameTag(old=tag, new=new, pictures=chosen)
        case {"do": "first", "tag": str(tag)}:
            return MoveTag(tag=tag, pictures=chosen)
        case {"do": "add", "text": str(text), "place": ("first" | "last") as place}:
            return AddTags(text=text, place=place, pictures=chosen)
        case {"do": "replace", "how": ("text" | "tag" | "pattern") as how, "find": str(find), "by": str(by)}:
            return replacement(how, find, by, chosen)
        case {"do": "sort", "by": ("name" | "frequency") as by}:
            return SortTags(by=by, pictures=chosen)
        case {"do": "dedupe"}:
            return Dedupe(pictures=chosen)
    raise NotUnderstood


def whole(text: str) -> str:
    """Without the half of a character that a field's limit may leave of an emoji: no database keeps it."""
    return text.encode("utf-8", "ignore").decode()


def _clean(value: Any) -> Any:
    """A text, or a tuple of some that were a list, none longer than a caption."""
    if isinstance(value, list):
        if len(value) > MOST_TAGS:
            raise NotUnderstood
        return tuple(_clean(each) if isinstance(each, str) else _not_understood() for each in value)
    if not isinstance(value, str):
        return None
    if len(value) > MAX_CAPTION:
        raise NotUnderstood
    return whole(value)


def _not_understood() -> Any:
    raise NotUnderstood
