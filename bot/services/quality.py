"""The report on a dataset's pictures: judged by rules, red ones dropped and brought back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bot.config import Config
from bot.errors import Refused
from bot.rules.measures import Alike, Box, Measures
from bot.rules.quality import Level, Twin, faces_seen, verdict
from bot.rules.report import Group, Seen, advice, groups
from bot.services.datasets import existing, owned
from bot.services.files import FileStore
from bot.store import quality as rows
from bot.store.cards import add_card, get_card, mark_dirty, move_to_end, set_page
from bot.store.database import Connection, Store
from bot.store.pictures import count_pictures, pictures_of_dataset
from bot.store.quality import Drop
from bot.store.rows import Dataset, Picture
from bot.vision.painter import Cell, Painter

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

    @property
    def red(self) -> list[Seen]:
        """What *Drop red* would take."""
        return [each for each in self.pictures if each.verdict.level is Level.RED]

    @property
    def red_digest(self) -> str:
        """Names exactly these red pictures, so that a button drops what its presser saw."""
        return hashlib.sha256(repr([each.picture_id for each in self.red]).encode()).hexdigest()[:8]


class Quality:
    """Reports on pictures that bot.services.measuring has measured."""

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
            dataset = await existing(tx, dataset_id)
            pictures = await pictures_of_dataset(tx, dataset_id)
            measures = await rows.measures_of(tx, dataset_id)
            twins = await rows.twins_of(tx, dataset_id)
            waiting = await rows.count_unmeasured(tx, dataset_id)
            last_drop = await rows.last_drop(tx, dataset_id)
            card = await get_card(tx, "report", dataset_id)
        seen = _seen(dataset, pictures, measures, twins)
        pages = max(1, -(-len(pictures) // PAGE))
        config = self._config.training
        batch_size = config.config_for(config.preset_for(dataset.kind)).batch_size
        return Report(
            dataset=dataset,
            pictures=tuple(seen),
            groups=tuple(groups(seen)),
            advice=tuple(advice(dataset.kind, seen, batch_size)) if seen else (),
            waiting=waiting,
            last_drop=last_drop,
            page=max(0, min(card.page if card else 0, pages - 1)),
            pages=pages,
        )

    async def sheet(self, report: Report, boxes: Mapping[int, Box]) -> bytes:
        """JPEG of the report's page; `boxes` by picture id: what squares keep. Raises MeasureError."""
        async with self._store.transaction() as tx:
            files = {each.id: each.file for each in await pictures_of_dataset(tx, report.dataset.id)}
        shown = report.pictures[report.page * PAGE : (report.page + 1) * PAGE]
        return await self._painter.sheet(
            [
                Cell(self._files.path(files[id]), each.number, each.verdict.level, boxes.get(id))
                for each in shown
                if (id := each.picture_id) in files
            ]
        )

    async def check(self, dataset_id: int, user_id: int) -> Dataset:
        """Bring the report to the end of its thread; raises NotFound, NotYours, Refused."""
        async with self._store.transaction() as tx:
            dataset = await owned(tx, dataset_id, user_id)
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
            await owned(tx, dataset_id, user_id)
            await set_page(tx, "report", dataset_id, page)

    async def drop_red(self, dataset_id: int, user_id: int, digest: str) -> int:
        """Take out the red pictures of the report whose `red_digest` this is; returns how many.

        Raises NotFound, NotYours, and Refused when the report has changed since.
        """
        report = await self.look(dataset_id)
        async with self._store.transaction() as tx:
            await owned(tx, dataset_id, user_id)
            if digest != report.red_digest or not report.red:
                raise Refused("The report has changed meanwhile. Look at it once more, then press again.")
            red = {each.picture_id for each in report.red}
            gone = [each for each in await pictures_of_dataset(tx, dataset_id) if each.id in red]
            await rows.drop(tx, gone, user_id, self._clock())
            await self._redraw(tx, dataset_id)
        return len(gone)

    async def undo(self, dataset_id: int, user_id: int) -> tuple[int, int]:
        """Bring the last dropped pictures back; how many are back, and how many had been added again by then.

        Raises NotFound, NotYours, Refused (nothing to undo, or no room).
        """
        async with self._store.transaction() as tx:
            await owned(tx, dataset_id, user_id)
            last = await rows.last_drop(tx, dataset_id)
            if last is None:
                raise Refused("There is nothing to bring back any more.")
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
        await tx.execute(
            "UPDATE card SET dirty = dirty + 1, urgent = 1 WHERE kind = 'batch'"
            " AND ref IN (SELECT CAST(id AS TEXT) FROM batch WHERE dataset_id = ?)",
            (dataset_id,),
        )


def _seen(
    dataset: Dataset, pictures: Sequence[Picture], measures: Mapping[int, Measures | None], twins: Sequence[Alike]
) -> list[Seen]:
    """The pictures that were measured, judged; numbers are their places in the dataset."""
    numbers = {picture.id: number for number, picture in enumerate(pictures, 1)}
    by_id = {picture.id: picture for picture in pictures}
    seen = faces_seen([each for each in measures.values() if each is not None])
    found: dict[int, list[Twin]] = {}
    for pair in twins:
        if pair.first in by_id and pair.second in by_id:
            first, second = by_id[pair.first], by_id[pair.second]
            first_better = _worth(first, measures) >= _worth(second, measures)
            for mine, other, worse in ((first, second, not first_better), (second, first, first_better)):
                found.setdefault(mine.id, []).append(Twin(numbers[other.id], pair.likeness, pair.mirrored, worse))
    return [
        Seen(
            picture_id=picture.id,
            number=numbers[picture.id],
            verdict=verdict(
                dataset.kind,
                picture.width,
                picture.height,
                measures[picture.id],
                found.get(picture.id, ()),
                faces_seen=seen,
            ),
            measures=measures[picture.id],
            has_trigger=dataset.trigger in picture.caption.lower(),
        )
        for picture in pictures
        if picture.id in measures
    ]


def _worth(picture: Picture, measures: Mapping[int, Measures | None]) -> tuple[int, float, int]:
    """Of two alike pictures the larger is kept, then the sharper, then the one that came first."""
    known = measures.get(picture.id)
    return picture.width * picture.height, known.sharpness if known else 0.0, -picture.id
