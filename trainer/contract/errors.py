"""Everything that can go wrong at the border between bot and trainer.

ContractError
├── InvalidConfig     a training setting is unknown or out of range (says which, and what is allowed)
├── InvalidJob        a job.json that is not one, or of a schema this version does not know
├── InvalidEvent      a line of events.jsonl that breaks the format or the order
├── ChannelError      the job's storage did not do what was asked (disk full, gone, not readable)
└── StaleAttempt      this attempt was replaced by a newer one; leave at once, write nothing more
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ContractError(Exception):
    """Base of the contract's errors; the message says the cause and the remedy."""


class InvalidConfig(ContractError):
    """A training setting is unknown or out of range."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class InvalidJob(ContractError):
    """The job's description cannot be used."""


class InvalidEvent(ContractError):
    """A line of events.jsonl breaks the format or the dense order of its numbers."""


class ChannelError(ContractError):
    """The job's storage did not do what was asked."""


class StaleAttempt(ContractError):
    """A newer attempt has replaced this one."""

    def __init__(self, mine: int, current: int) -> None:
        super().__init__(f"attempt {mine} was replaced by attempt {current}; this one must stop and write nothing more")
        self.mine = mine
        self.current = current


def unknown_name(name: str, known: Iterable[str]) -> str:
    """Sentence for a name nobody knows, with the nearest known one."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(names)}"
    return f"unknown name {name!r}{hint}"
