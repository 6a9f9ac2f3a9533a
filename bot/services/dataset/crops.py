"""Squares: what is cut out of each picture, seen before it is used, and moved by the press of a button."""

from __future__ import annotations

from dataclasses import dataclass

from bot.config import Config
from bot.errors import NotFound
from bot.rules.access import Deed
from bot.rules.pictures import crop
from bot.rules.pictures.crop import Move
from bot.rules.pictures.measures import Box
from bot.rules.pictures.quality import Verdict
from bot.services.dataset.datasets import allowed, existing
from bot.services.dataset.files import FileStore
from bot.services.dataset.verdicts import LookedAt, looked_at
from bot.store import quality as rows
from bot.store.cards import mark_batches_dirty, mark_dirty
from bot.store.database import Connection, Store
from bot.store.pictures import picture_by_id, pictures_of_dataset
from bot.store.rows import Dataset, Picture
from bot.vision.sheets.painter import Cell, Painter

PAGE = 25
"""Pictures of one sheet: as many as a select offers."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A picture and its square."""

    picture: Picture
    number: int
    """From 1, in its dataset."""
    box: Box
    chosen: bool
    """A member moved it; else it is the suggested one."""
    verdict: Verdict | None
    """What the report says of the square where squares are used; None until the picture is measured."""

    @property
    def side(self) -> int:
        """Of the square, in pixels of the picture."""
        return crop.pixels(self.box, self.picture.width)


@dataclass(frozen=True, slots=True)
class CutsView:
    """The squares of a dataset."""

    dataset: Dataset
    cuts: tuple[Cut, ...]
    used: bool
    """Trainings use the squares; else they keep the pictures' shapes."""
    kept: tuple[Verdict, ...]
    """What the report says of the measured pictures where shapes are kept."""
    page: int
    pages: int

    @property
    def whole(self) -> int:
        """How many pictures are square already and lose nothing."""
        return sum(cut.picture.width == cut.picture.height == cut.side for cut in self.cuts)


@dataclass(frozen=True, slots=True)
class CutView:
    """One picture's square."""

    dataset: Dataset
    cut: Cut
    total: int
    previous: int | None
    """Id of the picture before it in the dataset."""
    next: int | None


class Crops:
    """Reads and changes squares; the pictures themselves stay as they are."""

    def __init__(self, store: Store, files: FileStore, config: Config, painter: Painter) -> None:
        self._store = store
        self._files = files
        self._config = config.training
        self._painter = painter

    async def all(self, dataset_id: int, user_id: int, page: int = 0) -> CutsView:
        """The dataset's squares; raises NotFound (also when there are no pictures), NotYours."""
        async with self._store.transaction() as tx:
            dataset = await allowed(tx, dataset_id, user_id, "see")
            looked = await looked_at(tx, dataset, await pictures_of_dataset(tx, dataset_id), self._config)
        cuts = _cuts(looked)
        if not cuts:
            raise NotFound("There are no pictures yet. Add some first.")
        pages = -(-len(cuts) // PAGE)
        kept = tuple(each.verdict for each in looked.judged(square=False))
        return CutsView(dataset, tuple(cuts), looked.config.square, kept, max(0, min(page, pages - 1)), pages)

    async def one(self, picture_id: int, user_id: int) -> CutView:
        """The square of one picture; raises NotFound, NotYours."""
        async with self._store.transaction() as tx:
            return await self._one(tx, picture_id, user_id, "see")

    async def move(self, picture_id: int, user_id: int, move: Move) -> bool:
        """Move the square; whether there was room to. Raises NotFound, NotYours."""
        async with self._store.transaction() as tx:
            cut = (await self._one(tx, picture_id, user_id, "edit")).cut
            box = crop.moved(cut.box, move, cut.picture.width, cut.picture.height)
            if box == cut.box:
                return False
            await rows.set_focus(tx, picture_id, box)
            await _moved(tx, cut.picture)
        return True

    async def reset(self, picture_id: int, user_id: int) -> None:
        """Back to the suggested square; raises NotFound, NotYours."""
        async with self._store.transaction() as tx:
            view = await self._one(tx, picture_id, user_id, "edit")
            await rows.set_focus(tx, picture_id, None)
            await _moved(tx, view.cut.picture)

    async def use(self, dataset_id: int, user_id: int, *, square: bool) -> Dataset:
        """Train the dataset on squares, or on the pictures' own shapes; raises NotFound, NotYours."""
        async with self._store.transaction() as tx:
            await allowed(tx, dataset_id, user_id, "edit")
            await rows.set_square(tx, dataset_id, square)
            await mark_dirty(tx, "report", dataset_id, urgent=True)
            await mark_batches_dirty(tx, dataset_id)  # their pagers say what is judged
            return await existing(tx, dataset_id)

    async def sheet(self, view: CutsView) -> bytes:
        """JPEG of a page of squares, framed as they are judged. Raises MeasureError."""
        shown = view.cuts[view.page * PAGE : (view.page + 1) * PAGE]
        return await self._painter.sheet(
            [
                Cell(
                    self._files.path(cut.picture.file), cut.number, cut.verdict.level if cut.verdict else None, cut.box
                )
                for cut in shown
            ]
        )

    async def pair(self, cut: Cut) -> bytes:
        """JPEG of a picture before and after. Raises MeasureError."""
        return await self._painter.pair(self._files.path(cut.picture.file), cut.box)

    async def _one(self, tx: Connection, picture_id: int, user_id: int, deed: Deed) -> CutView:
        picture = await picture_by_id(tx, picture_id)
        if picture is None:
            raise NotFound("This picture was removed.")
        dataset = await allowed(tx, picture.dataset_id, user_id, deed)
        cuts = _cuts(await looked_at(tx, dataset, await pictures_of_dataset(tx, dataset.id), self._config))
        place = next(place for place, cut in enumerate(cuts) if cut.picture.id == picture_id)
        return CutView(
            dataset,
            cuts[place],
            len(cuts),
            cuts[place - 1].picture.id if place else None,
            cuts[place + 1].picture.id if place + 1 < len(cuts) else None,
        )


def _cuts(looked: LookedAt) -> list[Cut]:
    boxes = looked.boxes()
    verdicts = {each.picture_id: each.verdict for each in looked.judged(square=True)}
    return [
        Cut(picture, number, boxes[picture.id], bool(picture.focus), verdicts.get(picture.id))
        for number, picture in enumerate(looked.pictures, 1)
    ]


async def _moved(tx: Connection, picture: Picture) -> None:
    """What its square shows is judged anew: by the report, and by the pager of its batch."""
    await mark_dirty(tx, "report", picture.dataset_id)
    await mark_dirty(tx, "batch", picture.batch_id)
