"""The leader of a team: the process that is the whole program, with others that only compute for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch.distributed.distributed_c10d import Store

from trainer.contract.events import Failed
from trainer.contract.events import decode as decode_event
from trainer.data.sampler import Batch
from trainer.errors import LostProcess
from trainer.parallel.group import PATIENCE, open_store
from trainer.parallel.orders import Join, Load, Order, Step, encode
from trainer.parallel.team import Team
from trainer.planning.way import Ways
from trainer.supervise import HUNG, speak_for

WAYS = "ways"
"""Key of the store: how steps are done."""
READY, FAILED = "ready", "failed"
"""Keys of the store, `<key>/<rank>`: a follower has prepared; the terminal event of one that could not go on."""
_POLL = 0.1
DYING = 10.0
"""Seconds an ending follower is waited for: to say why, and to be gone."""


class Leader(Team):
    """Number 0 of a team; starts the others, gives them orders, and knows why one is gone."""

    def __init__(self, size: int, command: Sequence[str], patience: float = PATIENCE) -> None:
        """`command` starts a follower; its place in the team and its device are added (see trainer.cli.follow).

        `patience` is for how long, in seconds, the others may still prepare once this process has.
        """
        super().__init__(0, size)
        self._command = command
        self._patience = patience
        self._processes: list[subprocess.Popen[bytes]] = []
        self._folder: Path | None = None
        self._store: Store | None = None
        self._device = torch.device("cpu")

    def start(self, devices: Sequence[torch.device], ways: Ways = Ways()) -> None:  # noqa: B008 - frozen
        """See Team.start. Raises OSError when the system refuses."""
        self._device = devices[0]
        self._folder = Path(tempfile.mkdtemp(prefix="lorelei-"))
        self._store = open_store(self._folder, self.size)
        self._store.set(WAYS, json.dumps(ways.to_json()))
        for rank, device in enumerate(devices[1:], start=1):
            place = ["--rank", str(rank), "--size", str(self.size), "--meet", str(self._folder), "--device"]
            self._processes.append(
                subprocess.Popen([*self._command, *place, str(device)], stdin=subprocess.PIPE, stdout=2)
            )

    def join(self, check: Callable[[], None]) -> None:
        """See Team.join. Raises LostProcess."""
        assert self._store is not None
        deadline = time.monotonic() + self._patience
        names = [f"{READY}/{rank}" for rank in range(1, self.size)]
        while not self._store.check(names):
            check()
            if time.monotonic() > deadline or any(process.poll() is not None for process in self._processes):
                raise self._lost()
            time.sleep(_POLL)
        self._order(Join())
        self.enter(self._store, self._device)

    def begin_load(self, folder: Path) -> None:
        """See Team.begin_load. Raises LostProcess."""
        self._order(Load(str(folder)))

    def begin_step(self, batches: Sequence[Batch], step: int, share: float) -> None:
        """See Team.begin_step. Raises LostProcess."""
        self._order(Step(tuple(batches), step, share))

    def _order(self, order: Order) -> None:
        line = encode(order)
        for process in self._processes:
            assert process.stdin is not None
            try:
                process.stdin.write(line)
                process.stdin.flush()
            except OSError as error:
                raise self._lost() from error

    def _lost(self) -> LostProcess:
        """Why the others do not come along: what one has said, else how one ended, else that one hangs."""
        deadline = time.monotonic() + DYING
        while time.monotonic() < deadline and all(process.poll() is None for process in self._processes):
            time.sleep(_POLL)
        told = [failed for rank in range(1, self.size) if (failed := self._told(rank))]
        if told:
            return LostProcess(told[0])
        # A signal says more than the exit code of one who was only left alone.
        ended = sorted((code, rank) for rank, process in enumerate(self._processes, 1) if (code := process.poll()))
        if not ended:
            return LostProcess(HUNG)
        code, rank = ended[0]
        return LostProcess(speak_for(code, f"Process {rank + 1} of {self.size} of this training"))

    def _told(self, rank: int) -> Failed | None:
        """The last word of a follower."""
        assert self._store is not None
        key = f"{FAILED}/{rank}"
        if not self._store.check([key]):
            return None
        body = decode_event(self._store.get(key)).body
        return body if isinstance(body, Failed) else None

    def close(self) -> None:
        """End the others: their orders end, and with them what they do."""
        for process in self._processes:
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()
        super().close()
        for process in self._processes:
            try:
                process.wait(DYING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        self._store = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
