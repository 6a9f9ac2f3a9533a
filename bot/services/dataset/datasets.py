"""Datasets: made, agreed to, found, deleted with everything that belongs to them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bot.config import Config
from bot.errors import LoreleiError, NotFound, NotYours, Refused, StorageError
from bot.rules.access import CHANGES, Deed, Role, refusal, role_of
from bot.rules.consent import ATTESTATION, needs_consent
from bot.rules.names import class_word, dataset_name, kind_of, trigger_word
from bot.services.dataset.files import FileStore
from bot.services.jobs.library import Library
from bot.store import datasets as rows
from bot.store import pictures
from bot.store.database import Connection, Store
from bot.store.datasets import NewDataset
from bot.store.helpers import datasets_helped, helper_of, helpers_of
from bot.store.quality import dropped_files
from bot.store.rows import ACTIVE, Dataset, Job
from trainer.contract.cache import forget_job

log = logging.getLogger(__name__)

StopJobs = Callable[[int], Awaitable[None]]
"""Given a dataset's id, asks every job of it to stop; one that never ran has ended when this returns."""

RemoveThread = Callable[[Dataset], Awaitable[bool]]
"""Removes a dataset's thread; whether all of it is gone. Raises a LoreleiError when that must be tried again."""

PUT_AWAY = "This dataset was put away. Its owner can bring it back: /dataset archive"

RETRY_SECONDS = 60.0
"""Pause before a deletion that failed is tried again."""


async def no_thread(dataset: Dataset) -> bool:
    """The RemoveThread of a dataset that has none."""
    return True


@dataclass(frozen=True, slots=True)
class Overview:
    """What a dataset's card shows."""

    dataset: Dataset
    pictures: int
    untagged: int
    limit: int
    helpers: tuple[int, ...] = ()
    """Members who help with it."""


@dataclass(frozen=True, slots=True)
class DeletePlan:
    """What goes when the dataset is deleted, to be shown before it is."""

    dataset: Dataset
    pictures: int
    jobs: int
    active_jobs: int
    loras: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """How far a deletion got."""

    complete: bool
    """False while a job of the dataset still has to stop."""
    thread_gone: bool


class Datasets:
    """Everything about a dataset but its pictures."""

    def __init__(
        self,
        store: Store,
        files: FileStore,
        config: Config,
        stop_jobs: StopJobs,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._files = files
        self._config = config
        self._stop_jobs = stop_jobs
        self._clock = clock
        self._library = Library(config.paths.loras, config.export.copy_to)
        self._deleting = asyncio.Lock()
        self._not_before: dict[int, float] = {}
        """Deletions that failed: when they are tried again."""

    async def create(self, asked: NewDataset) -> Dataset:
        """Make a dataset of what a member typed; one of a person waits for consent.

        Raises Refused with the rule for a name, trigger or class word that will not do, or a name already taken.
        """
        kind = kind_of(asked.kind)
        new = dataclasses.replace(
            asked,
            name=dataset_name(asked.name),
            trigger=trigger_word(asked.trigger),
            class_word=class_word(asked.class_word, kind),
        )
        if new.trigger == new.class_word:
            raise Refused("The trigger word and the class word must differ; for example: lisaxl and woman.")
        state = "awaiting-consent" if needs_consent(kind) else "open"
        try:
            async with self._store.transaction() as tx:
                return await rows.insert_dataset(tx, new, state, self._clock())
        except sqlite3.IntegrityError:
            raise Refused(
                f"You already have a dataset called {new.name}. Choose another name, or bring it back: /dataset show"
            ) from None

    async def get(self, dataset_id: int) -> Dataset:
        """The dataset; raises NotFound when it is gone or being deleted."""
        async with self._store.transaction() as tx:
            return await existing(tx, dataset_id)

    async def owned(self, dataset_id: int, user_id: int) -> Dataset:
        """The dataset, if it is the member's; raises NotFound or NotYours."""
        async with self._store.transaction() as tx:
            return await owned(tx, dataset_id, user_id)

    async def allowed(self, dataset_id: int, user_id: int, deed: Deed) -> Dataset:
        """The dataset, if the member may do that with it (bot.rules.access); raises NotFound, NotYours, Refused."""
        async with self._store.transaction() as tx:
            return await allowed(tx, dataset_id, user_id, deed)

    async def role(self, dataset_id: int, user_id: int) -> Role:
        """What the member is to the dataset; raises NotFound."""
        async with self._store.transaction() as tx:
            dataset = await existing(tx, dataset_id)
            return role_of(dataset, user_id, await helper_of(tx, dataset_id, user_id))

    async def for_thread(self, thread_id: int) -> Dataset | None:
        """The dataset that is gathered in this thread, if any."""
        async with self._store.transaction() as tx:
            found = await rows.dataset_by_thread(tx, thread_id)
        return found if found is not None and found.state != "deleting" else None

    async def of_member(self, guild_id: int, owner_id: int, search: str = "") -> list[Dataset]:
        """The member's datasets, newest first, whose name or trigger word holds `search` (for autocomplete)."""
        async with self._store.transaction() as tx:
            found = await rows.datasets_of(tx, guild_id, owner_id)
        return _matching(found, search)

    async def helped_by(self, guild_id: int, user_id: int, search: str = "") -> list[Dataset]:
        """Datasets of others that the member helps with or is asked to, newest first."""
        async with self._store.transaction() as tx:
            found = await datasets_helped(tx, guild_id, user_id)
        return _matching(found, search)

    async def overview(self, dataset_id: int) -> Overview:
        """Counts for the card; raises NotFound."""
        async with self._store.transaction() as tx:
            return Overview(
                dataset=await existing(tx, dataset_id),
                pictures=await pictures.count_pictures(tx, dataset_id),
                untagged=await pictures.count_untagged(tx, dataset_id),
                limit=self._config.intake.max_pictures,
                helpers=tuple(each.user_id for each in await helpers_of(tx, dataset_id) if each.state == "active"),
            )

    async def attach_thread(self, dataset_id: int, thread_id: int) -> Dataset:
        """Remember the dataset's thread; raises NotFound."""
        async with self._store.transaction() as tx:
            await existing(tx, dataset_id)
            await rows.set_thread(tx, dataset_id, thread_id)
            return await existing(tx, dataset_id)

    async def give_consent(self, dataset_id: int, user_id: int) -> Dataset:
        """Keep the owner's attestation and open the dataset; doing it again changes nothing."""
        async with self._store.transaction() as tx:
            dataset = await owned(tx, dataset_id, user_id)
            if dataset.state == "awaiting-consent":
                await rows.insert_consent(tx, dataset_id, user_id, ATTESTATION, self._clock())
                await rows.set_state(tx, dataset_id, "open")
            return await existing(tx, dataset_id)

    async def plan_delete(self, dataset_id: int, user_id: int) -> DeletePlan:
        """What deleting would remove; raises NotFound or NotYours."""
        async with self._store.transaction() as tx:
            dataset = await owned(tx, dataset_id, user_id)
            jobs = await rows.jobs_of_dataset(tx, dataset_id)
            return DeletePlan(
                dataset=dataset,
                pictures=await pictures.count_pictures(tx, dataset_id),
                jobs=len(jobs),
                active_jobs=sum(job.state in ACTIVE for job in jobs),
                loras=sum(bool(job.lora_file) for job in jobs),
            )

    async def delete(self, dataset_id: int, user_id: int, remove_thread: RemoveThread = no_thread) -> Deleted:
        """Delete the dataset for good.

        From here on nobody sees the dataset; `finish_deletions` removes the rest once its last job has ended. Raises
        NotFound, NotYours, and what hinders it now: StorageError, or what `remove_thread` raises.
        """
        async with self._store.transaction() as tx:
            dataset = await owned(tx, dataset_id, user_id)
            await rows.set_state(tx, dataset_id, "deleting")
        await self._stop_jobs(dataset_id)
        thread_gone = await remove_thread(dataset)
        return Deleted(await self._finish(dataset, no_thread), thread_gone)

    async def finish_deletions(self, remove_thread: RemoveThread = no_thread) -> int:
        """Go on with deletions that waited for a job or were cut short; returns how many are now complete.

        One that fails is logged and left for a while; the others go on.
        """
        async with self._store.transaction() as tx:
            waiting = await rows.datasets_in_state(tx, "deleting")
        complete = 0
        for dataset in waiting:
            if self._clock() < self._not_before.get(dataset.id, 0.0):
                continue
            try:
                await self._stop_jobs(dataset.id)
                complete += await self._finish(dataset, remove_thread)
            except LoreleiError as error:
                log.error("dataset %s is not deleted yet: %s", dataset.id, error)
                self._not_before[dataset.id] = self._clock() + RETRY_SECONDS
        return complete

    async def _finish(self, dataset: Dataset, remove_thread: RemoveThread) -> bool:
        """Thread and files first, rows last: a crash in between is made good by doing it again."""
        async with self._deleting:
            async with self._store.transaction() as tx:
                jobs = await rows.jobs_of_dataset(tx, dataset.id)
            if any(job.state in ACTIVE for job in jobs):
                return False
            await remove_thread(dataset)
            try:
                await asyncio.to_thread(self._remove_files, jobs)
            except OSError as error:
                raise StorageError(
                    f"Some files could not be removed: {error.strerror or error}. The host of this bot must look at"
                    " the rights of its data folder; the deletion goes on by itself then."
                ) from error
            async with self._files.lock:
                await self._forget(dataset.id)
            self._not_before.pop(dataset.id, None)
            return True

    async def _forget(self, dataset_id: int) -> None:
        async with self._store.transaction() as tx:
            own = {picture.file for picture in await pictures.pictures_of_dataset(tx, dataset_id)}
            own |= await dropped_files(tx, dataset_id)
            own -= await pictures.referenced_files(tx, without_dataset=dataset_id)
        for file in own:
            await self._files.remove(file)
        async with self._store.transaction() as tx:
            await rows.delete_dataset(tx, dataset_id)

    def _remove_files(self, jobs: Sequence[Job]) -> None:
        """Job folders and LoRA files; blocking, for a thread."""
        for job in jobs:
            if (folder := self._config.paths.jobs / job.id).is_dir():
                forget_job(self._config.paths.cache, folder)
                shutil.rmtree(folder)
            self._library.remove(job)


async def existing(tx: Connection, dataset_id: int) -> Dataset:
    """The dataset; raises NotFound when it is gone or being deleted."""
    found = await rows.dataset_by_id(tx, dataset_id)
    if found is None or found.state == "deleting":
        raise NotFound("This dataset no longer exists.")
    return found


async def owned(tx: Connection, dataset_id: int, user_id: int) -> Dataset:
    """The dataset, if it is the member's; raises NotFound or NotYours."""
    return await allowed(tx, dataset_id, user_id, "manage")


async def allowed(tx: Connection, dataset_id: int, user_id: int, deed: Deed) -> Dataset:
    """The dataset, if the member may do that with it; raises NotFound, NotYours, and Refused while it is put away."""
    dataset = await existing(tx, dataset_id)
    if why := refusal(role_of(dataset, user_id, await helper_of(tx, dataset_id, user_id)), deed):
        raise NotYours(why)
    if deed in CHANGES and dataset.archived_at is not None:
        raise Refused(PUT_AWAY)
    return dataset


def _matching(found: Sequence[Dataset], search: str) -> list[Dataset]:
    wanted = search.strip().casefold()
    return [each for each in found if wanted in each.name.casefold() or wanted in each.trigger]
