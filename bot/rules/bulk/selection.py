"""Which pictures a member means by `1-5, 8`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.errors import Refused

_PART = re.compile(r"#?(\d{1,6})(?:\s*[-–—]\s*#?(\d{1,6}))?")


def chosen_numbers(text: str, total: int) -> list[int] | None:
    """Numbers of pictures, each once, in order; None for all, which an empty text means.

    Raises Refused with what to write instead.
    """
    parts = [part.strip() for part in re.split(r"[,;，\n]|(?<=\d)\s+(?=#?\d)", text) if part.strip()]
    if not parts or [part.casefold() for part in parts] == ["all"]:
        return None
    chosen: set[int] = set()
    for part in parts:
        match = _PART.fullmatch(part)
        if match is None:
            raise Refused(f"Write the numbers of pictures like this: 1-5, 8. “{part[:20]}” is none.")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= total:
            raise Refused(f"There are pictures 1 to {total}; {part} is not among them.")
        chosen.update(range(first, last + 1))
    return sorted(chosen)


def written_numbers(numbers: Sequence[int]) -> str:
    """`1-5, 8` of [1, 2, 3, 4, 5, 8]."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
