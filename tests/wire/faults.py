"""Bad weather on the wire, scripted per route."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request as the server read it. `part` names of `uploads` are those of the multipart body."""

    method: str
    path: str
    """Without the /api/v10 in front."""
    query: dict[str, str]
    body: Any
    uploads: dict[str, tuple[str, bytes, str]]
    authorization: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(eq=False)
class Fault:
    """Something that goes wrong `times` times for calls that match; then it is spent."""

    method: str
    pattern: str
    """Of the path, with * for any part: `/channels/*/messages`."""
    times: int
    status: int = 200
    retry_after: float | None = None
    lose_response: bool = False
    accepted: bool = False
    """True when the call is carried out all the same."""
    gate: asyncio.Event | None = None
    when: Callable[[Call], bool] = lambda call: True
    hits: list[Call] = field(default_factory=list)

    def matches(self, call: Call) -> bool:
        return (
            len(self.hits) < self.times
            and self.method == call.method
            and fnmatch.fnmatchcase(call.path, self.pattern)
            and self.when(call)
        )

    @property
    def spent(self) -> bool:
        return len(self.hits) >= self.times


class Faults:
    """The faults in force; the first that matches a call takes it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def take(self, call: Call) -> Fault | None:
        """The fault for this call, counted as used."""
        for fault in self._faults:
            if fault.matches(call):
                fault.hits.append(call)
                return fault
        return None

    def rate_limit(self, method: str, pattern: str, *, retry_after: float = 0.05, times: int = 1) -> Fault:
        """429: nothing happened, come again after so many seconds."""
        return self._add(Fault(method, pattern, times, status=429, retry_after=retry_after))

    def fail(self, method: str, pattern: str, *, status: int = 502, times: int = 1, accepted: bool = False) -> Fault:
        """An error answer (502, 403 …): nothing happened, unless it was accepted and a proxy on the way broke."""
        return self._add(Fault(method, pattern, times, status=status, accepted=accepted))

    def lose_response(
        self, method: str, pattern: str, *, times: int = 1, when: Callable[[Call], bool] = lambda call: True
    ) -> Fault:
        """Discord does what was asked, and the connection breaks before it can say so."""
        return self._add(Fault(method, pattern, times, lose_response=True, accepted=True, when=when))

    def hold(self, method: str, pattern: str, *, times: int = 1) -> Fault:
        """A slow answer: the call waits until the fault's gate is set."""
        return self._add(Fault(method, pattern, times, gate=asyncio.Event()))

    def clear(self) -> None:
        """Good weather; calls that are held go on."""
        for fault in self._faults:
            if fault.gate is not None:
                fault.gate.set()
        self._faults.clear()

    def _add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault
