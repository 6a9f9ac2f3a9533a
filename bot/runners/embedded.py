"""The embedded trainer: the bot starts a trainer service itself and sees that it runs; for a first try at home.

The service has a session of its own and survives the bot; a bot that comes back finds its lock held and adopts it. Its
environment is chosen name by name: no token ever reaches it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from trainer.contract.inbox import Inbox

log = logging.getLogger(__name__)

PASSED_ON = frozenset(
    {"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "XDG_CACHE_HOME"}
)
PASSED_PREFIXES = ("HF_HOME", "HF_HUB_", "CUDA_", "NVIDIA_", "PYTORCH_", "TORCH_", "TORCHINDUCTOR_", "TRITON_")
SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL")
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
HEALTHY_SECONDS = 60.0
"""A service that ran this long starts again without a wait."""


def trainer_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables the trainer may see: what finds programs, models and the GPU, and nothing that is secret."""
    return {
        name: value
        for name, value in environment.items()
        if (name in PASSED_ON or name.startswith(PASSED_PREFIXES)) and not any(word in name for word in SECRET_WORDS)
    }


class EmbeddedTrainer:
    """Keeps one trainer service running on one inbox."""

    def __init__(
        self,
        inbox: Inbox,
        device: str,
        logs: Path,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        cache: Path | None = None,
    ) -> None:
        self._cache = cache
        self._inbox = inbox
        self._device = device
        self._log = logs / f"trainer-{inbox.path.name}.log"
        self._environment = environment
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._wait = FIRST_WAIT_SECONDS
        self._not_before = 0.0

    @property
    def name(self) -> str:
        """The service's name."""
        return self._inbox.path.name

    async def look_after(self) -> None:
        """See that the service runs."""
        await asyncio.to_thread(self.check)

    def check(self) -> None:
        """Start the service when none runs, with growing waits when it keeps dying; blocking, for a thread."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None:
            self._ended(self._process.returncode)
            self._process = None
        if self._clock() < self._not_before or self._inbox.is_served():
            return
        self._start()

    def _ended(self, code: int) -> None:
        if self._clock() - self._started_at >= HEALTHY_SECONDS:
            self._wait = FIRST_WAIT_SECONDS
        log.warning("the trainer service ended with %s; next start in %.0f s; see %s", code, self._wait, self._log)
        self._not_before = self._clock() + self._wait
        self._wait = min(2 * self._wait, LONGEST_WAIT_SECONDS)

    def _start(self) -> None:
        self._inbox.prepare()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "trainer", "serve", str(self._inbox.path), "--device", self._device]
        if self._cache is not None:
            command += ["--cache", str(self._cache.absolute())]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=trainer_environment(self._environment),
                start_new_session=True,
            )
        self._started_at = self._clock()
        log.info("trainer service started on %s, process %s, log %s", self._inbox.path, self._process.pid, self._log)

    def let_go(self) -> None:
        """The bot ends, the service goes on: forget its process without waiting for it."""
        if self._process is not None:
            self._process.returncode = self._process.returncode or 0  # else Popen warns that it still runs
            self._process = None


async def stop_embedded(inbox: Inbox, seconds: float = 60.0) -> bool:
    """End the service of an inbox as systemd would (SIGTERM: it writes a state and leaves); True when it is gone."""
    info = inbox.service()
    if not inbox.is_served() or info is None:
        return not inbox.is_served()
    os.kill(info.pid, signal.SIGTERM)
    for _ in range(int(seconds / 0.1)):
        if not inbox.is_served():
            return True
        await asyncio.sleep(0.1)
    return False
