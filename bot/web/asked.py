"""What a page asks for, read out of JSON that anybody may have written."""

from __future__ import annotations

from typing import Any

from bot.web.answers import NotUnderstood

LAST_ID = 2**63 - 1
"""What the database takes for an id."""


def picture_ids(value: Any) -> tuple[int, ...]:
    """Ids of pictures; whose they are is the services' to say. Raises NotUnderstood."""
    if not isinstance(value, list) or not value or not all(map(is_id, value)):
        raise NotUnderstood
    return tuple(value)


def is_id(value: Any) -> bool:
    """Whether it may be a picture's id; JSON's true and false are no numbers here."""
    return type(value) is int and 0 < value <= LAST_ID
