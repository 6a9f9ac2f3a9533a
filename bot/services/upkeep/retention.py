"""What is removed by itself: old jobs' checkpoints, states and samples, and files that a crash left ownerless."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable

from bot.config import Config
from bot.services.dataset.files import FileStore
from bot.store.caption_edits import forget_offers
from bot.store.database import Store
from bot.store.jobs import ended_jobs_before, job_ids
from bot.store.outbox import remove_sent
from bot.store.pictures import referenced_files
from bot.store.quality import forget_dropped
from trainer.contract.cache import forget_job
from trainer.contract.errors import ChannelError
from trainer.contract.folder import JobFolder, remove_leftovers
from trainer.contract.spec import JOB_ID

log = logging.getLogger(__name__)

DAY = 86_400.0
UNDO_DAYS = 7
"""How long dropped pictures can be brought back."""


class Retention:
    """Cleans up; everything here may be done again and again."""

    def __init__(
        self, store: Store, config: Config, pictures: FileStore, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._config = config
        self._pictures = pictures
        self._clock = clock

    async def at_start(self) -> None:
        """Before anybody submits: remove half-written jobs, and whole ones whose acceptance never happened."""
        async with self._store.transaction() as tx:
            known = await job_ids(tx)
        await asyncio.to_thread(self._remove_orphans, known)

    async def nightly(self) -> None:
        """Remove what has expired."""
        before = self._clock() - self._config.export.keep_days * DAY
        async with self._store.transaction() as tx:
            old = await ended_jobs_before(tx, before)
            await remove_sent(tx, before)
            await forget_dropped(tx, self._clock() - UNDO_DAYS * DAY)
            await forget_offers(tx, self._clock() - DAY)
        for job in old:
            await asyncio.to_thread(self._remove_runs, job.id)
        await self._pictures.sweep(self._referenced)

    async def _referenced(self) -> set[str]:
        async with self._store.transaction() as tx:
            return await referenced_files(tx)

    def _remove_orphans(self, known: set[str]) -> None:
        root = self._config.paths.jobs
        if not root.is_dir():
            return
        try:
            remove_leftovers(root)
            for path in root.iterdir():
                if path.is_dir() and JOB_ID.fullmatch(path.name) and path.name not in known:
                    _remove_unless_trained(JobFolder(path))
        except (OSError, ChannelError) as error:
            log.warning("job folders could not all be cleaned up: %s", error)

    def _remove_runs(self, job_id: str) -> None:
        """Attempts and pictures of an old job go; its description and the library's LoRA file stay."""
        folder = self._config.paths.jobs / job_id
        try:
            if (folder / "attempts").is_dir():
                shutil.rmtree(folder / "attempts")
                log.info("removed the attempts of job %s: it ended long ago", job_id)
            forget_job(self._config.paths.cache, folder)
        except OSError as error:
            log.warning("job %s could not be cleaned up: %s", job_id, error)


def _remove_unless_trained(folder: JobFolder) -> None:
    """A job nobody knows was never accepted; one with attempts is left to the host: the database may be a backup."""
    if folder.attempts():
        log.warning("job folder %s is not in the database; delete it by hand if nobody needs it", folder.path)
        return
    log.info("removing job folder %s: it was never accepted", folder.path.name)
    folder.delete()
