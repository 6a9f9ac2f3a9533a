"""What an import did with each key of a file: taken, ignored with a reason, refused, or nothing to take."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.contract.kohya.read import shown

_WIDTH = 100
_MOST_NAMES = 12


@dataclass(frozen=True, slots=True)
class Taken:
    """One key that became one of our settings."""

    key: str
    setting: str
    value: Any
    """The setting's value: a number, a switch or a word of ours, never a text of the file."""
    why: str = ""
    """Why it is another value than the file's; empty when it is not."""

    def __str__(self) -> str:
        value = repr(self.value) if isinstance(self.value, str) else self.value
        return f"{self.setting} = {value}" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, slots=True)
class Report:
    """Every key of the file is in at least one of these; values of ignored and refused keys are in none."""

    taken: tuple[Taken, ...]
    ignored: Mapping[str, str]
    """Key to reason."""
    refused: Mapping[str, str]
    """Key to reason; the values were dropped unread."""
    off: tuple[str, ...]
    """Keys that are empty or switched off, so that there is nothing to take."""

    def reasons(self) -> dict[str, str]:
        """Setting to the kohya keys that set it."""
        keys: dict[str, list[str]] = {}
        for one in self.taken:
            keys.setdefault(one.setting, []).append(one.key)
        return {setting: ", ".join(dict.fromkeys(names)) for setting, names in keys.items()}

    def lines(self) -> list[str]:
        """The report as text, grouped by reason."""
        width = max((len(one.key) for one in self.taken), default=0)
        lines = ["Taken:", *(f"  {one.key:<{width}}  ->  {one}" for one in self.taken)]
        if self.ignored:
            lines += ["Ignored:", *_grouped(self.ignored, _MOST_NAMES)]
        if self.refused:
            lines += ["Refused, not read and not stored:", *_grouped(self.refused, len(self.refused))]
        if self.off:
            lines.append(f"Empty or switched off: {len(self.off)} keys")
        return lines

    def summary(self) -> list[str]:
        """How many keys had which fate, and what is another value than the file's."""
        counts = {
            "taken": len({one.key for one in self.taken}),
            "ignored": len(self.ignored),
            "refused": len(self.refused),
            "empty or switched off": len(self.off),
        }
        told = ", ".join(f"{count} {fate}" for fate, count in counts.items())
        return [
            f"Keys: {told} (python -m trainer import shows each)",
            *(f"  {one.key}  ->  {one}" for one in self.taken if one.why),
        ]


def _grouped(keys: Mapping[str, str], most: int) -> list[str]:
    groups: dict[str, list[str]] = {}
    for key, why in keys.items():
        groups.setdefault(why, []).append(shown(key))
    lines = []
    for why, names in groups.items():
        first = sorted(set(names))
        rest = f" and {len(first) - most} more" if len(first) > most else ""
        text = f"{why}: {', '.join(first[:most])}{rest}"
        lines += textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    return lines
