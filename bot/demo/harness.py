"""simcord with a real clock and patience: the bot's processes, timers and loops run as they do in life.

Stock simcord waits after each action until the bot is idle and freezes time meanwhile; a bot that waits for a child
process is never idle, and its timers would starve. Inside `live` the clock is the machine's and an action waits at
most `SETTLE` seconds for the bot. Private parts of simcord are replaced and put back, which is why its version is
pinned. Only the demo and the tests use this; the bot knows nothing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import discord
from simcord import _dpy_internals
from simcord._clock import Clock
from simcord.env import Env
from simcord.preview import Preview

SETTLE = 0.3
"""Seconds an action waits for the bot to become idle; one that works in the background is left to it."""

_monotonic = time.monotonic


class RealClock(Clock):  # type: ignore[misc] # simcord is not typed for mypy
    """The machine's clock; ids made from it never meet those of an earlier run."""

    def __init__(self) -> None:
        self._start = _monotonic()
        self._epoch = dt.datetime.now(dt.UTC)

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return _monotonic() - self._start

    def advance(self, seconds: float) -> None:
        """Real time cannot be advanced."""


@asynccontextmanager
async def live(bot: discord.Client, settle: float = SETTLE) -> AsyncIterator[Env]:
    """Run the bot in simcord in real time; closes the bot that is attached at the end."""
    with _patched(settle):
        # Not simcord.run: it binds the driver to a context variable, which a pytest fixture's end cannot undo.
        env = Env(bot, check_errors=False)
        env.backend.clock = RealClock()
        env.backend.bot_user.name = "Lorelei"
        await env.start()
        try:
            yield env
        finally:
            await env.bot.close()
            await env.shutdown()


async def restart(env: Env, bot: discord.Client) -> None:
    """Replace the bot by a fresh object, as a restart of its process does."""
    await env.bot.close()
    await env.restart_bot(bot)


async def free(env: Env) -> None:
    """Wait until no other action is under way: simcord refuses two at once."""
    while env._operation_task is not None:  # noqa: ASYNC110 - simcord offers no event for it
        await asyncio.sleep(0.02)


async def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The condition's value once it is true; TimeoutError naming `what` when that takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        await asyncio.sleep(0.05)
    raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}")


@contextmanager
def _patched(longest: float) -> Iterator[None]:
    settle, action, acquire = Env._settle_internal, Preview._action, _dpy_internals.acquire_clocks

    async def patient(self: Env, *, timeout: float | None = None, **more: Any) -> None:
        limit = min(longest, self.settle_timeout if timeout is None else timeout)
        with contextlib.suppress(TimeoutError):
            await settle(self, timeout=limit, **more)

    async def tolerant(self: Preview, context: Any, body: Any) -> Any:
        """A page that follows the bot is always a revision late; its actions count all the same."""
        page = self._get_page(context)
        await free(self.env)
        if isinstance(body, Mapping) and "published_revision" in body:
            body = {**body, "published_revision": page.revision}
        return await action(self, context, body)

    Env._settle_internal, Preview._action, _dpy_internals.acquire_clocks = patient, tolerant, _native_timers
    try:
        yield
    finally:
        Env._settle_internal, Preview._action, _dpy_internals.acquire_clocks = settle, action, acquire


def _native_timers(env: Any) -> None:
    """In place of simcord's virtual clock: the loop's own timers. Called at each attach, before the login."""
    env._loop.call_later, env._loop.call_at = env._runtime.call_later, env._runtime.call_at
