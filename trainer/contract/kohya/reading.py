"""A file's keys while they turn into settings: every value is coerced on the way in, every key is accounted for.

Coercions are those that Kohya SS makes when it opens an old file (kohya_ss 45088f0, kohya_gui/common_gui.py,
update_my_data): numbers may be texts, an empty text is a number's default. No error repeats a value of the file.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from trainer.contract.errors import InvalidConfig
from trainer.contract.kohya.keys import is_off, kept, reason, refusal
from trainer.contract.kohya.report import Report, Taken

Choice = TypeVar("Choice")


class Reading:
    """One file's keys, what was read of them, and the settings so far."""

    def __init__(self, values: Mapping[str, Any], *, gui: bool) -> None:
        self._values = dict(values)
        self._stand_ins: dict[str, str] = {}
        self.gui = gui
        """True for the GUI's names and meanings, False for those of sd-scripts."""
        self.settings: dict[str, Any] = {}
        self._taken: list[Taken] = []
        self._ignored: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    # --- values -----------------------------------------------------------------------------------------------------
    def has(self, key: str) -> bool:
        """True when the file has the key with something in it."""
        return self._values.get(key) not in (None, "")

    def number(self, key: str, default: float, *, empty: float | None = None) -> float:
        """A number; `default` where the key is missing or [], `empty` (or `default`) where nothing stands in it.

        Raises InvalidConfig for anything else.
        """
        value = self._values.get(key)
        if value is None or value in ("", []):
            return default if value != "" or empty is None else empty
        if isinstance(value, list) and len(value) in (1, 2):
            value = value[0]  # text_encoder_lr of sd-scripts is a list, of which networks.lora takes the first
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise InvalidConfig(key, "must be a number")
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise InvalidConfig(key, "must be a number") from None
        if not math.isfinite(number):
            raise InvalidConfig(key, "must be a finite number")
        return number

    def numbers(self, key: str, separator: str) -> list[float]:
        """Numbers of a text like 1024,1024, of a list, or a single one; 1024 where there is none."""
        value = self._values.get(key)
        if value is None or value == "":
            return [1024.0]
        parts = value.split(separator) if isinstance(value, str) else value if isinstance(value, list) else [value]
        return [Reading({key: part}, gui=self.gui).number(key, math.nan) for part in parts]

    def whole(self, key: str, default: int) -> int:
        """A whole number, also one written as 5.0 or "5"."""
        number = self.number(key, default)
        if number != int(number):
            raise InvalidConfig(key, "must be a whole number")
        return int(number)

    def flag(self, key: str, default: bool = False) -> bool:
        """A switch: true or false, as 0 or 1, or as text."""
        value = self._values.get(key)
        if value is None or value == "":
            return default
        text = str(value).strip().lower() if isinstance(value, (bool, int, float, str)) else ""
        if text not in ("true", "false", "0", "1", "0.0", "1.0"):
            raise InvalidConfig(key, "must be true or false")
        return text in ("true", "1", "1.0")

    def word(self, key: str, default: str = "") -> str:
        """A short text, for comparing with known names only; raises InvalidConfig for another kind of value."""
        value = self._values.get(key)
        if value is None or value == "":
            return default
        if not isinstance(value, str):
            raise InvalidConfig(key, "must be a name")
        return value.strip()

    def choice(self, key: str, known: Mapping[str, Choice], default: str) -> Choice:
        """What a name stands for; raises InvalidConfig with the nearest known name."""
        names = {name.lower(): name for name in known}
        word = self.word(key, default).lower()
        if word not in names:
            near = difflib.get_close_matches(word, names, n=1, cutoff=0.3)
            hint = f"the nearest is {names[near[0]]}" if near else f"known are {', '.join(known)}"
            raise InvalidConfig(key, f"is not a name that Lorelei knows; {hint}")
        return known[names[word]]

    def arguments(self, key: str) -> dict[str, str]:
        """`name=value` pairs of an argument text or list; they are only compared and converted, never passed on."""
        value = self._values.get(key)
        parts = value.replace('"', " ").replace("'", " ").split() if isinstance(value, str) else value
        if not isinstance(parts, list):
            return {}
        pairs = [part.partition("=") for part in parts if isinstance(part, str)]
        return {name.strip(): text.strip() for name, _, text in pairs}

    def stand_in(self, key: str, value: str, source: str) -> None:
        """Read `value`, an argument inside the key `source`, as if the file had it under `key`."""
        self._values[key] = value
        self._stand_ins[key] = source

    # --- outcomes ---------------------------------------------------------------------------------------------------
    def take(self, key: str, setting: str, value: Any, why: str = "") -> None:
        """The key (or its absence, where kohya has a default) sets one of our settings; `why` to another value."""
        self.settings[setting] = value
        if key in self._values:
            self._taken.append(Taken(self._stand_ins.get(key, key), setting, value, why))

    def ignore(self, key: str, why: str) -> None:
        """The key is there but changes nothing."""
        if key in self._values and key not in self._stand_ins:
            self._ignored[key] = why

    def refuse(self, key: str, why: str) -> None:
        """The key's value is dropped."""
        if key in self._values:
            self._refused[key] = why

    def finish(self) -> tuple[Report, dict[str, bool | int | float | str]]:
        """The report over every key, and the harmless ones that are kept for the way back."""
        done = {one.key for one in self._taken} | self._ignored.keys() | self._refused.keys()
        off, passed_over = [], {}
        for key, value in self._values.items():
            if key in done or key in self._stand_ins:
                continue
            if is_off(value):
                off.append(key)
            elif why := refusal(key):
                self._refused[key] = why
            else:
                self._ignored[key] = reason(key)
                passed_over[key] = value
        if not self._taken:
            raise InvalidConfig("file", "holds no setting that Kohya SS or sd-scripts knows")
        return Report(tuple(self._taken), dict(self._ignored), dict(self._refused), tuple(off)), kept(passed_over)
