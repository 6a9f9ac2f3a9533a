"""The loop that has new pictures tagged, some of a batch at a time; a restart takes up what is left."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Container

from bot.errors import LoreleiError, NotFound
from bot.services.dataset.captions import Captions
from bot.store.database import Store
from bot.store.pictures import batches_with_untagged

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""Pause after the tagger failed; captions stay `trigger, class` and can be written by hand meanwhile."""


class CaptionWriter:
    """Has pictures without captions tagged; a pass of it (`write_all`) is repeated by a loop of services.all."""

    def __init__(self, store: Store, captions: Captions, wake_cards: Callable[[], None]) -> None:
        self._store = store
        self._captions = captions
        self._wake_cards = wake_cards

    async def write_all(self) -> None:
        """Write captions until none is missing; what waits for a model that fails is tried again by the next pass.

        After each part whoever has no caption at all comes first, so that a large batch holds nobody up for long.
        """
        failed: set[str] = set()
        while (batch_id := await self._next(failed)) is not None:
            model = ""
            try:
                model = await self._captions.model_of(batch_id)
                await self._captions.tag_part(batch_id)
            except NotFound:  # deleted meanwhile
                continue
            except LoreleiError as error:
                log.error("captions wait: %s; next try in %.0f s", error, RETRY_SECONDS)
                failed.add(model)
            else:
                self._wake_cards()

    async def _next(self, failed: Container[str]) -> int | None:
        """The batch whose turn it is, of those whose model works."""
        async with self._store.transaction() as tx:
            waiting = await batches_with_untagged(tx)
        for batch_id in waiting:
            with contextlib.suppress(NotFound):
                if await self._captions.model_of(batch_id) not in failed:
                    return batch_id
        return None
