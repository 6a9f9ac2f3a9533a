"""Operations as JSON, so that one that was offered can be carried out, or worked out anew, after a restart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bot.rules.bulk.operations import (
    AddTags,
    Dedupe,
    ImportCaptions,
    MoveTag,
    Operation,
    Recaption,
    RemoveTags,
    RenameTag,
    ReplacePattern,
    ReplaceText,
    SortTags,
)

_KINDS: Mapping[str, type[Operation]] = MappingProxyType(
    {
        "remove": RemoveTags,
        "rename": RenameTag,
        "move": MoveTag,
        "add": AddTags,
        "replace": ReplaceText,
        "pattern": ReplacePattern,
        "sort": SortTags,
        "dedupe": Dedupe,
        "import": ImportCaptions,
        "recaption": Recaption,
    }
)
_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "remove": ("tags",),
        "rename": ("old", "new"),
        "move": ("tag",),
        "add": ("text", "place"),
        "replace": ("find", "by"),
        "pattern": ("find", "by"),
        "sort": ("by",),
        "dedupe": (),
        "import": ("texts",),
        "recaption": ("mode", "tags"),
    }
)
"""What of each is kept; the rest is worked out from the captions."""


def to_json(operation: Operation) -> str:
    """The operation as text."""
    kind = next(name for name, each in _KINDS.items() if type(operation) is each)
    values = {name: getattr(operation, name) for name in ("pictures", *_FIELDS[kind])}
    return json.dumps({"kind": kind, **{key: _plain(value) for key, value in values.items()}}, ensure_ascii=False)


def from_json(text: str) -> Operation:
    """The operation that `to_json` wrote."""
    values: dict[str, Any] = json.loads(text)
    kind = values.pop("kind")
    return _KINDS[kind](**{key: _typed(value) for key, value in values.items()})


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _typed(value: Any) -> Any:
    """JSON has lists for tuples and texts for the ids that are keys."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return {int(key): _typed(item) for key, item in value.items()}
    return value
