"""The report on a dataset's pictures: judged by rules, red ones dropped and brought back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bot.config import Config
from bot.errors import NotFound, Refused
from bot.rules.pictures.measures import Box
from bot.rules.pictures.quality import Level
from bot.rules.pictures.report import Group, Seen, advice, groups, mended
from bot.services.dataset.datasets import allowed, existing
from bot.services.dataset.files import FileStore
from bot.services.dataset.verdicts import looked_at
from bot.store import quality as rows
from bot.store.cards import add_card, get_card, mark_batches_dirty, mark_dirty, move_to_end, set_page
from bot.store.database import Connection, Store
from bot.store.pictures import count_pictures, picture_by_id, pictures_of_dataset
from bot.store.quality import Drop
from bot.store.rows import Dataset, Picture
from bot.vision.sheets.painter import Cell, Painter

PAGE = 30
"""Pictures of one contact sheet."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a dataset's report shows."""

    dataset: Dataset
    pictures: tuple[Seen, ...]
    groups: tuple[Group, ...]
    advice: tuple[str, ...]
    waiting: int
    """Pictures that are still being measured."""
    last_drop: Drop | None
    page: int
    """Of the contact sheet, from 0."""
    pages: int
    squares: Mapping[int, Box]
    """What each picture is cut to, by its id, and judged by; empty where shapes are kept."""
    mended: tuple[int, ...]
    """Where shapes are kept: numbers of the red pictures that squares would make good enough."""

    @property
    def red(self) -> list[Seen]:
        """What *Drop red* would take."""
        return [each for each in self.pictures if each.verdict.level is Level.RED]

    @property
    def red_digest(self) -> str:
        """Names exactly these red pictures, so that a button drops what its presser saw."""
        return hashlib.sha256(repr([each.picture_id for each in self.red]).encode()).hexdigest()[:8]


class Quality:
    """Reports on pictures that bot.services.intake.measuring has measured."""

    def __init__(
        self,
        store: Store,
        files: FileStore,
        config: Config,
        painter: Painter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._files = files
        self._config = config
        self._painter = painter
        self._clock = clock

    async def look(self, dataset_id: int) -> Report:
        """The report as things are now; raises NotFound."""
        async with self._store.transaction() as tx:
            return await self._look(tx, dataset_id)

    async def _look(self, tx: Connection, dataset_id: int) -> Report:
        dataset = await existing(tx, dataset_id)
        pictures = await pictures_of_dataset(tx, dataset_id)
        looked = await looked_at(tx, dataset, pictures, self._config.training)
        waiting = await rows.count_unmeasured(tx, dataset_id)
        last_drop = await rows.last_drop(tx, dataset_id)
        card = await get_card(tx, "report", dataset_id)
        pages = max(1, -(-len(pictures) // PAGE))
        squares = looked.config.square
        seen = looked.judged(square=squares)
        return Report(
            dataset=dataset,
            pictures=tuple(seen),
            groups=tuple(groups(seen)),
            advice=tuple(advice(dataset.kind, seen, looked.config.batch_size)) if seen else (),
            waiting=waiting,
            last_drop=last_drop,
            page=max(0, min(card.page if card else 0, pages - 1)),
            pages=pages,
            squares=looked.boxes() if squares else {},
            mended=() if squares else tuple(mended(seen, looked.judged(square=True))),
        )

    async def sheet(self, report: Report) -> bytes:
        """JPEG of the report's page; what squares cut away is dimmed. Raises MeasureError."""
        async with self._store.transaction() as tx:
            files = {each.id: each.file for each in await pictures_of_dataset(tx, report.dataset.id)}
        shown = report.pictures[report.page * PAGE : (report.page + 1) * PAGE]
        return await self._painter.sheet(
            [
                Cell(self._files.path(files[id]), each.number, each.verdict.level, report.squares.get(id))
                for each in shown
                if (id := each.picture_id) in files
            ]
        )

    async def check(self, dataset_id: int, user_id: int) -> Dataset:
        """Bring the report to the end of its thread; raises NotFound, NotYours, Refused."""
        async with self._store.transaction() as tx:
            dataset = await allowed(tx, dataset_id, user_id, "see")
            if dataset.thread_id is None:
                raise Refused("This dataset has no thread yet: /dataset show makes one.")
            if not await count_pictures(tx, dataset_id):
                raise Refused("There are no pictures to check yet. Add some first.")
            await add_card(tx, "report", dataset_id, dataset.thread_id)
            await move_to_end(tx, "report", dataset_id, self._clock())
        return dataset

    async def turn(self, dataset_id: int, user_id: int, page: int) -> None:
        """Show another page of the contact sheet; raises NotFound, NotYours."""
        async with self._store.transaction() as tx:
            await allowed(tx, dataset_id, user_id, "see")
            await set_page(tx, "report", dataset_id, page)

    async def drop_red(self, dataset_id: int, user_id: int, digest: str) -> Drop:
        """Take out the red pictures of the report whose `red_digest` this is.

        Raises NotFound, NotYours, and Refused when the report has changed since.
        """
        async with self._store.transaction() as tx:
            await allowed(tx, dataset_id, user_id, "edit")
            report = await self._look(tx, dataset_id)
            if digest != report.red_digest or not report.red:
                raise Refused("The report has changed meanwhile. Look at it once more, then press again.")
            return await self._drop(tx, dataset_id, user_id, {each.picture_id for each in report.red})

    async def drop_chosen(self, dataset_id: int, user_id: int, chosen: Collection[int]) -> Drop:
        """Take out pictures of the dataset, whatever the report says of them; what is gone already is left out.

        Raises NotFound when all of them are, NotYours, Refused.
        """
        async with self._store.transaction() as tx:
            await allowed(tx, dataset_id, user_id, "edit")
            return await self._drop(tx, dataset_id, user_id, chosen)

    async def drop_one(self, picture_id: int, user_id: int) -> Picture:
        """Take out one picture, whatever the report says of it; raises NotFound, NotYours, Refused."""
        async with self._store.transaction() as tx:
            picture = await picture_by_id(tx, picture_id)
            if picture is None:
                raise NotFound("This picture was removed.")
            await allowed(tx, picture.dataset_id, user_id, "edit")
            await self._drop(tx, picture.dataset_id, user_id, [picture.id])
        return picture

    async def _drop(self, tx: Connection, dataset_id: int, user_id: int, chosen: Collection[int]) -> Drop:
        gone = [each for each in await pictures_of_dataset(tx, dataset_id) if each.id in chosen]
        if not gone:
            raise NotFound("This was removed already.")
        drop = Drop(self._clock(), len(gone))
        await rows.drop(tx, gone, user_id, drop.dropped_at)
        await self._redraw(tx, dataset_id)
        return drop

    async def undo(
        self, dataset_id: int, user_id: int, drop: int | None = None, *, picture_id: int | None = None
    ) -> tuple[int, int]:
        """Bring back what was dropped last, or with that picture; how many are back, how many had been added again.

        With `drop` only the drop of that number, as the last. Raises NotFound, NotYours, Refused (nothing to undo,
        others were dropped since, or no room).
        """
        async with self._store.transaction() as tx:
            await allowed(tx, dataset_id, user_id, "edit")
            last = await rows.last_drop(tx, dataset_id, picture_id)
            if last is None:
                raise Refused("There is nothing to bring back any more.")
            if drop not in (None, last.number):
                raise Refused("Others were dropped since, or these are back. The report can still undo the last drop.")
            most = self._config.intake.max_pictures
            if await count_pictures(tx, dataset_id) + last.pictures > most:
                raise Refused(f"There is no room for them: {most} pictures is the most. Remove some, then undo.")
            back = await rows.bring_back(tx, dataset_id, last)
            await self._redraw(tx, dataset_id)
        return len(back), last.pictures - len(back)

    async def _redraw(self, tx: Connection, dataset_id: int) -> None:
        """Every card that shows the dataset's pictures."""
        await mark_dirty(tx, "report", dataset_id, urgent=True)
        await mark_dirty(tx, "dataset", dataset_id, urgent=True)
        await mark_batches_dirty(tx, dataset_id, urgent=True)
