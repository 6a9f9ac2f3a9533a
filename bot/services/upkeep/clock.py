"""What comes round by the clock: backup and clean-up at night, a look at the trainers each minute.

What must be quick is a loop of services.all.
"""

from __future__ import annotations

import logging

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.errors import LoreleiError
from bot.services.jobs.watch import TrainerWatch
from bot.services.upkeep.backup import Backups
from bot.services.upkeep.retention import Retention

log = logging.getLogger(__name__)

NIGHT_HOUR = 4
WATCH_SECONDS = 60
GRACE_SECONDS = 6 * 3600
"""A night's work that was missed (the machine slept) is made good within this time."""


class Clockwork:
    """Runs what comes round; each part of a night's work fails by itself, with a log, until the next night."""

    def __init__(self, backups: Backups, retention: Retention, watch: TrainerWatch) -> None:
        self._backups = backups
        self._retention = retention
        self._watch = watch
        self.scheduler = AsyncIOScheduler(timezone="UTC")

    def start(self) -> None:
        """Begin to keep time."""
        self.scheduler.add_job(
            self.nightly, "cron", hour=NIGHT_HOUR, id="nightly", misfire_grace_time=GRACE_SECONDS, coalesce=True
        )
        self.scheduler.add_job(self._watch.look, "interval", seconds=WATCH_SECONDS, id="trainers", coalesce=True)
        self.scheduler.start()

    def close(self) -> None:
        """Stop keeping time."""
        if self.scheduler.running:
            self.scheduler.shutdown(wait=False)

    async def nightly(self) -> None:
        """Back up first, clean up then."""
        for name, work in (("backup", self._backups.make), ("clean-up", self._retention.nightly)):
            try:
                await work()
            except (LoreleiError, OSError) as error:
                log.error("the nightly %s failed: %s", name, error)
