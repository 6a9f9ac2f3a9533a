"""Re-captions asked for on a page: the tagger looks for minutes while the page asks how far it is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.errors import LoreleiError, Refused
from bot.rules.access import Deed
from bot.rules.bulk.codec import from_json
from bot.rules.bulk.operations import Mode, Recaption
from bot.services.bulk.edits import OFFER_SECONDS, BulkEdits, Offer
from bot.services.bulk.recaption import Recaptioner, announce
from bot.services.dataset.datasets import allowed
from bot.services.upkeep.under_way import UnderWay
from bot.store.caption_edits import latest_edit
from bot.store.database import Store

log = logging.getLogger(__name__)

AWAY_SECONDS = 60.0
"""A page that has not asked for so long is hidden or closed: whoever asked is told in the dataset's thread."""
KEPT = 200
"""Looks remembered, also those that ended and were not asked about since."""

Whose = tuple[int, int]
"""Dataset and member."""


@dataclass(slots=True)
class Look:
    """How far the tagger is, and what came of it."""

    asked_at: float
    """When a page last asked how far it is."""
    done: int = 0
    total: int = 0
    """Pictures; 0 until it is known."""
    edit_id: int = 0
    """Of the edit that is offered in the end."""
    failed: str = ""
    """What went wrong, as a sentence."""
    stopped: bool = False
    """It ends after the part the tagger is at."""
    told: bool = False
    """A page has shown what came of it."""

    @property
    def ended(self) -> bool:
        """Whether there is something to show."""
        return bool(self.edit_id or self.failed)

    def go_on(self) -> None:
        """Raises Refused once it was stopped."""
        if self.stopped:
            raise Refused("You stopped it; nothing was changed.")


class Looks:
    """One at a time for each member and dataset; kept while the bot runs, what is offered as long as any offer."""

    def __init__(
        self,
        store: Store,
        edits: BulkEdits,
        recaptioner: Recaptioner,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._edits = edits
        self._recaptioner = recaptioner
        self._clock = clock
        self._sleep = sleep
        self._started = clock()
        self._looks: dict[Whose, Look] = {}
        self._known: set[Whose] = set()
        """Whose offers of before the start are not to be looked for any more."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(
        self, dataset_id: int, user_id: int, mode: Mode, pictures: tuple[int, ...] | None, under_way: UnderWay
    ) -> Look:
        """Have the tagger look at these pictures, None for all; a bot that stops waits for what is `under_way`.

        Raises NotFound, NotYours, and Refused while it looks for this member already.
        """
        await self._allowed(dataset_id, user_id, "edit")
        known = self._looks.get((dataset_id, user_id))
        if known is not None and not known.ended:
            raise Refused("The tagger is looking for you already. Wait for it, or stop it.")
        self._make_room()
        self._known.add((dataset_id, user_id))
        look = self._looks[dataset_id, user_id] = Look(self._clock())
        work = self._work(look, (dataset_id, user_id), mode, pictures, under_way)
        task = asyncio.create_task(work, name=f"re-caption of {dataset_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return look

    async def seen(self, dataset_id: int, user_id: int) -> Look | None:
        """How far the member's look is, None when there is none or it was forgotten; raises NotFound, NotYours."""
        await self._allowed(dataset_id, user_id, "see")
        if (dataset_id, user_id) not in self._known:
            await self._recall((dataset_id, user_id))
        look = self._looks.get((dataset_id, user_id))
        if look is not None:
            look.asked_at, look.told = self._clock(), look.ended
        return look

    async def stop(self, dataset_id: int, user_id: int) -> None:
        """End the member's look after the part it is at, forget one that has ended; raises NotFound, NotYours."""
        await self._allowed(dataset_id, user_id, "see")
        self._known.add((dataset_id, user_id))
        look = self._looks.get((dataset_id, user_id))
        if look is not None and look.ended:
            del self._looks[dataset_id, user_id]
        elif look is not None:
            look.stopped = True

    async def close(self) -> None:
        """End those that are still going on, and the waiting for who may have closed the page."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(
        self, look: Look, whose: Whose, mode: Mode, pictures: tuple[int, ...] | None, under_way: UnderWay
    ) -> None:
        """Until the member knows what came of it, by the page or in the thread."""
        with under_way:
            offer = await self._offered(look, whose, mode, pictures)
            if offer is None:
                return
            if self._clock() - look.asked_at >= AWAY_SECONDS:
                await self._tell(offer, whose[1])
                return
        await self._sleep(AWAY_SECONDS)  # the page may have been closed since it last asked
        if self._looks.get(whose) is look and not look.told:
            await self._tell(offer, whose[1])

    async def _offered(self, look: Look, whose: Whose, mode: Mode, pictures: tuple[int, ...] | None) -> Offer | None:
        async def progress(done: int, total: int) -> None:
            look.done, look.total = done, total
            look.go_on()

        try:
            operation, notes = await self._recaptioner.look(*whose, pictures, mode, progress)
            look.go_on()  # stopped in the last part, often the only one
            offer = await self._edits.offer(*whose, operation, notes)
            look.go_on()
        except LoreleiError as error:
            log.info("a re-caption ended early: %s", error, extra={"dataset": whose[0]})
            look.failed = str(error)
        except Exception:
            log.exception("a re-caption failed", extra={"dataset": whose[0]})
            look.failed = "Something went wrong on my side; please try again."
        else:
            look.edit_id = offer.edit.id
            return offer
        return None

    async def _tell(self, offer: Offer, user_id: int) -> None:
        try:
            async with self._store.transaction() as tx:
                await announce(tx, offer, user_id)
        except LoreleiError as error:
            log.warning("a re-caption is not announced: %s", error, extra={"dataset": offer.dataset.id})

    async def _recall(self, whose: Whose) -> None:
        """Find what was offered before the start, if it is the last the member had worked out.

        One that was closed without being applied comes once more: that it was, only the bot before knew.
        """
        async with self._store.transaction() as tx:
            last = await latest_edit(tx, *whose)
        self._known.add(whose)
        if last is None or last.applied_at is not None:
            return
        recent = self._clock() - OFFER_SECONDS <= last.offered_at < self._started
        if recent and isinstance(from_json(last.operation), Recaption):
            self._looks.setdefault(whose, Look(self._clock(), edit_id=last.id))

    async def _allowed(self, dataset_id: int, user_id: int, deed: Deed) -> None:
        async with self._store.transaction() as tx:
            await allowed(tx, dataset_id, user_id, deed)

    def _make_room(self) -> None:
        ended = [whose for whose, look in self._looks.items() if look.ended]
        for whose in ended[: max(0, len(self._looks) - KEPT + 1)]:
            del self._looks[whose]
