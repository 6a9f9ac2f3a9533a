"""The trainers, watched for the host: what members wait for and only the host can mend is said in the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from bot.runners.local import LocalRunner
from bot.store.database import Store
from bot.store.jobs import active_jobs, open_attempts
from trainer.contract.errors import ContractError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 120.0
"""What lasts shorter mends itself: a service that is starting, or one that is about to let an ended attempt go."""
REMINDER_SECONDS = 3600.0


class TrainerWatch:
    """Looks for jobs that wait without a trainer, and for trainers stuck with an attempt the bot has given up."""

    def __init__(self, store: Store, runner: LocalRunner, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._runner = runner
        self._clock = clock
        self._since: dict[str, float] = {}
        """Troubles seen now and when they were first seen."""
        self._told: dict[str, float] = {}

    async def look(self) -> None:
        """Say what has lasted too long, once an hour."""
        now = self._clock()
        troubles = await self._troubles()
        self._since = {trouble: self._since.get(trouble, now) for trouble in troubles}
        self._told = {trouble: at for trouble, at in self._told.items() if trouble in self._since}
        for trouble, since in self._since.items():
            if now - since >= PATIENCE_SECONDS and now - self._told.get(trouble, 0.0) >= REMINDER_SECONDS:
                log.error("%s", trouble)
                self._told[trouble] = now

    async def _troubles(self) -> list[str]:
        async with self._store.transaction() as tx:
            waiting = any(job.state == "queued" for job in await active_jobs(tx))
            known = {(each.service, each.job_id, each.number) for each in await open_attempts(tx)}
        return await asyncio.to_thread(self._find, waiting, known)

    def _find(self, waiting: bool, known: set[tuple[str, str, int]]) -> list[str]:
        served = [service for service in self._runner.services if self._runner.is_served(service)]
        troubles = [trouble for service in served for trouble in self._stuck(service, known)]
        if waiting and not served:
            names = ", ".join(self._runner.services)
            troubles.append(f"trainings wait but no trainer runs ({names}); start one: python -m bot check says how")
        return troubles

    def _stuck(self, service: str, known: set[tuple[str, str, int]]) -> list[str]:
        try:
            held = self._runner.held(service)
        except ContractError as error:
            return [f"the inbox of trainer {service} cannot be read: {error}"]
        return [
            f"trainer {service} does not let go of job {each.job_id}, attempt {each.attempt}, which has ended; "
            "nothing else is trained there. If this goes on, restart that trainer service"
            for each in held
            if (service, each.job_id, each.attempt) not in known
        ]
