"""The bytes of a kohya file as one flat set of keys, whatever was uploaded.

Two kinds are read: the JSON that Kohya SS's GUI saves, and the TOML that sd-scripts reads, where sections only group
(sd-scripts 48d368f, library/train_util.py, read_config_from_file). No message repeats anything out of a file but the
names of keys: it may hold tokens and paths.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.contract.errors import InvalidConfig

MAX_BYTES = 1_000_000
"""A full configuration of today has about 10 KB."""
MAX_KEYS = 2_000
_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
_MOST_DIGITS = 4
"""A key with more digits than that is somebody's text, perhaps a token, and no name of a setting."""
_LONGEST_WORD = 20
"""So is one with a longer word between its underscores."""


def read_file(path: Path) -> bytes:
    """The file's bytes; raises InvalidConfig for one that cannot be read or is no settings file by its size."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is none"
        raise InvalidConfig(str(path), f"cannot be read ({reason}); give a .toml or .json file") from error
    return data


def parse_json(data: bytes) -> dict[str, Any]:
    """The keys of a GUI's JSON; raises InvalidConfig in one sentence."""
    try:
        value = json.loads(_text(data), object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError):
        # The parser's own message may quote the file, and so may its cause.
        raise InvalidConfig(
            "file", "is not JSON; save the configuration in Kohya SS again and take that file"
        ) from None
    return _checked(value)


def parse_toml(data: bytes) -> dict[str, Any]:
    """The keys of an sd-scripts TOML, sections merged; raises InvalidConfig in one sentence."""
    sections = toml_table(data)
    flat: dict[str, Any] = {}
    for name, value in sections.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return _checked(flat)


def toml_table(data: bytes) -> dict[str, Any]:
    """A TOML file's table; raises InvalidConfig that quotes nothing of it."""
    try:
        table = tomllib.loads(_text(data))
    except (ValueError, RecursionError):
        raise InvalidConfig("file", "is not TOML; check its quotes and brackets") from None
    _check_whole_numbers(table)
    return table


def _check_whole_numbers(table: Mapping[str, Any]) -> None:
    """Raise InvalidConfig for one of more than TOML's 64 bits: Python reads it, but no message could show it."""
    places: list[Any] = [table]
    while places:
        place = places.pop()
        for value in place.values() if isinstance(place, Mapping) else place:
            if isinstance(value, (Mapping, list)):
                places.append(value)
            elif isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise InvalidConfig("file", "holds a whole number of more than 64 bits, which no setting has")


def shown(key: str) -> str:
    """A key's name as a report may show it: names are shown, texts that only stand in a name's place are not."""
    digits = sum(char.isdigit() for char in key)
    plain = _PLAIN_KEY.fullmatch(key) and max(map(len, key.split("_"))) <= _LONGEST_WORD
    return key if plain and digits <= _MOST_DIGITS else "(a key with an odd name)"


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise InvalidConfig("file", f"is larger than {MAX_BYTES // 1_000_000} MB; that is no settings file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidConfig("file", "is not text in UTF-8; that is no settings file") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise InvalidConfig(shown(key), "stands in the file twice; remove one of them")
        values[key] = value
    return values


def _no_number(_: str) -> float:
    raise InvalidConfig("file", "holds NaN or Infinity where a number should be; write a number")


def _checked(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise InvalidConfig("file", "holds no settings; save the configuration in Kohya SS again and take that file")
    if len(value) > MAX_KEYS:
        raise InvalidConfig("file", f"has more than {MAX_KEYS} keys; that is no settings file")
    return dict(value)
