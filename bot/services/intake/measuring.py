"""The loop that has new pictures measured and compared, in the background; a restart takes up what is left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from bot.errors import MeasureError
from bot.services.dataset.files import FileStore
from bot.store import quality as rows
from bot.store.cards import add_card, get_card, mark_batches_dirty, mark_dirty, move_to_end
from bot.store.database import Connection, Store
from bot.store.datasets import dataset_by_id
from bot.store.pictures import batch_places, pictures_of_dataset
from bot.store.rows import Dataset
from bot.vision.measuring.measurer import Measurer

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""Pause after the measuring process failed as a whole."""
COMPARED_AT_ONCE = 10
"""Pictures per question: ten against a hundred take about 3 s, and a restart loses little."""


class Measuring:
    """Has pictures measured; a pass of it (`measure_all`) is repeated by a loop of services.all."""

    def __init__(
        self,
        store: Store,
        files: FileStore,
        measurer: Measurer,
        wake_cards: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._files = files
        self._measurer = measurer
        self._wake_cards = wake_cards
        self._clock = clock

    async def measure_all(self) -> None:
        """Measure and compare what is new, then show it; a restart takes up what is left."""
        try:
            while await self._measure_next():
                pass
            async with self._store.transaction() as tx:
                waiting = await rows.datasets_to_compare(tx)
            for dataset in waiting:
                await self._compare(dataset)
                self._wake_cards()
        except MeasureError as error:
            log.error("the report waits: %s Next try in %.0f s", error, RETRY_SECONDS)

    async def _measure_next(self) -> bool:
        """Measure one picture; whether there was one."""
        async with self._store.transaction() as tx:
            waiting = await rows.unmeasured(tx, 1)
        for picture in waiting:
            measures = await self._measurer.measure(self._files.path(picture.file))
            async with self._store.transaction() as tx:
                await rows.write_measures(tx, picture.file, measures)
        return bool(waiting)

    async def _compare(self, dataset: Dataset) -> None:
        async with self._store.transaction() as tx:
            pictures = await pictures_of_dataset(tx, dataset.id)
            looked_at = await rows.measures_of(tx, dataset.id)
        known = {key: each for key, each in looked_at.items() if each is not None}
        done = [each.id for each in pictures if each.compared]
        # One that came a moment ago is measured first: the next pass has it.
        waiting = [each.id for each in pictures if not each.compared and each.id in looked_at]
        for start in range(0, len(waiting), COMPARED_AT_ONCE):
            new = waiting[start : start + COMPARED_AT_ONCE]
            old = {key: known[key] for key in done if key in known}
            pairs = await self._measurer.compare({key: known[key] for key in new if key in known}, old)
            done += new
            async with self._store.transaction() as tx:
                await rows.write_compared(tx, dataset.id, new, pairs)
                if new[-1] == waiting[-1]:  # in one transaction with the last: after a crash nobody would compare again
                    await self._want_card(tx, dataset.id)
                    await mark_batches_dirty(tx, dataset.id)  # their pagers know which pictures are red

    async def _want_card(self, tx: Connection, dataset_id: int) -> None:
        """Show the report: edited in place, or moved down when batches were posted below it.

        A dataset whose thread is still being made gets it with the thread (see `add_report_card`).
        """
        dataset = await dataset_by_id(tx, dataset_id)
        if dataset is None or dataset.thread_id is None:
            return
        await add_card(tx, "report", dataset.id, dataset.thread_id)
        card = await get_card(tx, "report", dataset.id)
        batches = [await get_card(tx, "batch", place.batch_id) for place in await batch_places(tx, dataset.id)]
        newest = max((each.posted_at or 0.0 for each in batches if each is not None), default=0.0)
        if card is not None and card.message_id is not None and newest > (card.posted_at or 0.0):
            await move_to_end(tx, "report", dataset.id, self._clock())
        else:
            await mark_dirty(tx, "report", dataset.id, urgent=True)
