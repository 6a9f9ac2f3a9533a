"""The card editor: dirty cards are drawn again, latest state wins, never more often than Discord and people like."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping

from bot.errors import MessageGone, PostError, PostRefused, PostUnclear
from bot.services.posting.flights import Flights
from bot.services.posting.messages import Drawer, Drawing, Poster
from bot.services.posting.outbox import CLOCK_SLACK_SECONDS, LONGEST_WAIT_SECONDS
from bot.store.cards import card_drawn, card_posted, card_posting, card_refused, dirty_cards, forget_card, get_card
from bot.store.database import Connection, Store
from bot.store.datasets import thread_goes
from bot.store.rows import Card, CardKind

log = logging.getLogger(__name__)

ROLL_OVER_SECONDS = 50 * 60.0
"""Discord limits edits of messages older than an hour (error 30046): a job's card moves to a new message before."""


class CardEditor:
    """Keeps the messages of cards in step with the database."""

    def __init__(
        self,
        store: Store,
        poster: Poster,
        drawers: Mapping[CardKind, Drawer],
        edit_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._poster = poster
        self._drawers = drawers
        self._edit_seconds = edit_seconds
        self._clock = clock
        self._flights = Flights()
        self._waits: dict[tuple[str, str, int], tuple[float, float]] = {}
        """Cards Discord failed at or refused, by their place: not before this time, and the wait that led to it;
        forgotten at a restart."""

    async def draw_due(self) -> int:
        """Draw the dirty cards whose time has come; returns how many were tried."""
        async with self._store.transaction() as tx:
            cards = await dirty_cards(tx)
        due = [card for card in cards if card.kind in self._drawers and self._is_due(card)]
        await self._flights.go((_key(card), self._draw(card)) for card in due)
        return len(due)

    async def close(self) -> None:
        """Break off what is still being drawn; it stays dirty."""
        await self._flights.close()

    def _is_due(self, card: Card) -> bool:
        now = self._clock()
        if _key(card) in self._flights or now < self._waits.get(_place(card), (0.0, 0.0))[0]:
            return False
        last = max(card.edited_at or 0.0, card.posted_at or 0.0)
        return card.message_id is None or bool(card.urgent) or now - last >= self._edit_seconds

    async def _draw(self, card: Card) -> None:
        try:
            drawing = await self._drawers[card.kind](card.ref)
            if drawing is None:
                async with self._store.transaction() as tx:
                    await forget_card(tx, card.kind, card.ref)
                return
            await self._put(card, drawing)
        except PostUnclear as error:
            wait = self._back_off(card)
            log.warning("card %s %s: %s; next try in %.0f s", card.kind, card.ref, error, wait)
            return
        except PostRefused as error:
            self._back_off(card)  # a card that changes each second must not ask each second
            await self._refused(card, error)
            return
        self._waits.pop(_place(card), None)
        async with self._store.transaction() as tx:
            await card_drawn(tx, card, self._clock())

    def _back_off(self, card: Card) -> float:
        wait = min(max(2 * self._waits.get(_place(card), (0.0, 0.5))[1], 1.0), LONGEST_WAIT_SECONDS)
        self._waits[_place(card)] = (self._clock() + wait, wait)
        return wait

    async def _refused(self, card: Card, error: PostRefused) -> None:
        async with self._store.transaction() as tx:
            if not await _is_wanted(tx, card):
                return
            await card_refused(tx, card, str(error))
        log.error("card %s %s is left as it is: %s", card.kind, card.ref, error)

    async def _put(self, card: Card, drawing: Drawing) -> None:
        if card.message_id is None or card.posting_at is not None or self._is_worn(card):
            await self._post(card, drawing)
            return
        try:
            await self._poster.edit(card.channel_id, card.message_id, drawing)
        except MessageGone:
            log.info("card %s %s was deleted; posting it anew", card.kind, card.ref)
            await self._post(card, drawing)

    def _is_worn(self, card: Card) -> bool:
        return card.kind == "job" and self._clock() - (card.posted_at or 0.0) >= ROLL_OVER_SECONDS

    async def _post(self, card: Card, drawing: Drawing) -> None:
        """Post the card anew, then remove the old message; a try whose answer was lost is looked for first."""
        message_id = None
        if card.posting_at is not None:
            message_id = await self._find(card, drawing, card.posting_at)
        if message_id is None:
            began = card.posting_at or self._clock()
            async with self._store.transaction() as tx:
                if not await _is_wanted(tx, card):
                    return
                await card_posting(tx, card, began)
            message_id = await self._poster.show(card.channel_id, drawing, _nonce(card, began))
        else:
            await self._poster.edit(card.channel_id, message_id, drawing)
        async with self._store.transaction() as tx:
            if wanted := await _is_wanted(tx, card):
                await card_posted(tx, card.kind, card.ref, message_id, self._clock())
        old = card.message_id if wanted else message_id
        if old is not None:
            await self._remove(card, old)

    async def _find(self, card: Card, drawing: Drawing, began: float) -> int | None:
        found = await self._poster.find(card.channel_id, drawing.marker, began - CLOCK_SLACK_SECONDS)
        return None if found == card.message_id else found

    async def _remove(self, card: Card, message_id: int) -> None:
        try:
            await self._poster.delete(card.channel_id, message_id)
        except PostError as error:  # the new card is there; an old one left behind only looks old
            log.info("the old card %s %s stays: %s", card.kind, card.ref, error)


async def _is_wanted(tx: Connection, card: Card) -> bool:
    """Whether the card still belongs where it was when its drawing began.

    Meanwhile its dataset may have been deleted (the thread, or the bot's messages in it, go before the rows do), or its
    thread, and it has moved to another.
    """
    now = await get_card(tx, card.kind, card.ref)
    return now is not None and now.channel_id == card.channel_id and not await thread_goes(tx, card.channel_id)


def _key(card: Card) -> tuple[str, str]:
    return card.kind, card.ref


def _place(card: Card) -> tuple[str, str, int]:
    return card.kind, card.ref, card.channel_id


def _nonce(card: Card, began: float) -> str:
    """The same for every try of one post, so that Discord itself drops a second one soon after the first."""
    return hashlib.sha256(f"{card.kind}:{card.ref}:{began!r}".encode()).hexdigest()[:24]
