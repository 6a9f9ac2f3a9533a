"""Having the tagger look again at pictures that have captions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bot.config import TaggerConfig
from bot.errors import NotFound, Refused
from bot.rules.bulk.captions import Subject
from bot.rules.bulk.operations import Mode, Recaption
from bot.services.bulk.edits import BulkEdits, Offer
from bot.services.dataset.captions import tagged_caption
from bot.services.dataset.files import FileStore
from bot.services.dataset.tag_options import cut_of, options_of
from bot.store.database import Connection
from bot.store.outbox import add_post
from bot.vision.tagging.tagger import CHUNK, Tagger
from bot.vision.tagging.wd14 import TagResult

Progress = Callable[[int, int], Awaitable[object]]
"""Told how many of how many pictures were looked at."""


class Recaptioner:
    """Makes the operation that writes what the tagger sees now; it is offered like any other."""

    def __init__(self, edits: BulkEdits, files: FileStore, tagger: Tagger, host: TaggerConfig) -> None:
        self._edits = edits
        self._files = files
        self._tagger = tagger
        self._host = host

    async def look(
        self,
        dataset_id: int,
        user_id: int,
        pictures: tuple[int, ...] | None,
        mode: Mode,
        progress: Progress | None = None,
    ) -> tuple[Recaption, list[str]]:
        """Tag the chosen pictures, None for all, by the dataset's options; with sentences on what failed.

        `progress` is awaited before each part, what it raises ends the look. Raises NotFound, NotYours, Refused,
        TaggerError.
        """
        now = await self._edits.captions(dataset_id, user_id)
        subject = now.subject
        chosen = [each for each in now.pictures if pictures is None or each.id in pictures]
        wanted = [each for each in chosen if not (mode == "fill" and subject.items(each.caption))]
        if not chosen:
            raise NotFound("These pictures were removed." if pictures else "There are no pictures yet. Add some first.")
        if not wanted:
            raise Refused("All of them have captions already, so there is nothing to fill.")
        options = options_of(now.dataset, self._host)
        paths = [self._files.path(each.file) for each in wanted]
        results: list[TagResult | None] = []
        for start in range(0, len(paths), CHUNK):
            if progress is not None:
                await progress(start, len(paths))
            results += await self._tagger.tag(paths[start : start + CHUNK], cut_of(options), options.model)
        tags = {
            picture.id: _items(subject, tagged_caption(now.dataset, result, options))
            for picture, result in zip(wanted, results, strict=True)
            if result is not None
        }
        failed = len(wanted) - len(tags)
        notes = [f"{failed} could not be opened by the tagger; they are left out."] if failed else []
        return Recaption(mode=mode, tags=tags, pictures=pictures), notes


async def announce(tx: Connection, offer: Offer, user_id: int) -> None:
    """Say in the dataset's thread that the captions are there, for a member whose own answer could not be shown."""
    if offer.dataset.thread_id is not None:
        values = {"user": user_id, "edit": offer.edit.id, "captions": len(offer.changes)}
        await add_post(tx, offer.dataset.thread_id, "recaptioned", None, values, offer.edit.offered_at)


def _items(subject: Subject, caption: str) -> tuple[str, ...]:
    return tuple(subject.items(caption))
