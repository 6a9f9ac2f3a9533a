"""From a card's row to what Discord shows: reads the state, calls the pure functions of bot.cards."""

from __future__ import annotations

import asyncio

from bot.cards.captions import BatchPage, batch_card, empty_batch_card
from bot.cards.dataset import dataset_card
from bot.cards.preview import preview
from bot.errors import NotFound
from bot.services.dataset.captions import Captions
from bot.services.dataset.datasets import Datasets
from bot.services.dataset.files import FileStore
from bot.services.posting.messages import Drawing
from bot.store.cards import get_card
from bot.store.database import Store
from bot.store.pictures import batch_by_id


class DatasetDrawer:
    """Draws the cards of datasets and batches as the database has them now (each method is a messages.Drawer)."""

    def __init__(
        self, store: Store, datasets: Datasets, captions: Captions, files: FileStore, *, posts_taken: bool
    ) -> None:
        self._store = store
        self._datasets = datasets
        self._captions = captions
        self._files = files
        self._posts_taken = posts_taken

    async def dataset(self, ref: str) -> Drawing | None:
        """The dataset's card; None when it is gone."""
        try:
            state = await self._datasets.overview(int(ref))
        except NotFound:
            return None
        return dataset_card(state, posts_taken=self._posts_taken)

    async def batch(self, ref: str) -> Drawing | None:
        """The batch's card at the page its row remembers; None when the batch is gone."""
        batch_id = int(ref)
        async with self._store.transaction() as tx:
            card = await get_card(tx, "batch", ref)
            batch = await batch_by_id(tx, batch_id)
        if batch is None:
            return None
        try:
            page = await self._captions.page(batch_id, card.page if card else 0, card.shows if card else "")
            small = await asyncio.to_thread(preview, self._files.path(page.picture.file))
        except (NotFound, FileNotFoundError):  # the last picture went, or went while we looked
            return empty_batch_card(batch_id)
        return batch_card(BatchPage(batch_id, page, batch.note_list, small))
