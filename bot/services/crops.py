"""Squares: what is cut out of each picture, seen before it is used, and moved by the press of a button."""

from __future__ import annotations

from dataclasses import dataclass

from bot.config import Config
from bot.errors import NotFound
from bot.rules import crop
from bot.rules.access import Deed
from bot.rules.crop import Move
from bot.rules.measures import Box
from bot.services.datasets import allowed, existing
from bot.services.files import FileStore
from bot.store import quality as rows
from bot.store.cards import mark_dirty
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
    page: int
    pages: int


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
            cuts = await _cuts(tx, dataset)
        if not cuts:
            raise NotFound("There are no pictures yet. Add some first.")
        pages = -(-len(cuts) // PAGE)
        preset = self._config.config_for(self._config.preset_for(dataset.kind))
        used = preset.square if dataset.square is None else bool(dataset.square)
        return CutsView(dataset, tuple(cuts), used, max(0, min(page, pages - 1)), pages)

    async def boxes(self, dataset_id: int) -> dict[int, Box]:
        """The square of each picture, by its id."""
        async with self._store.transaction() as tx:
            return {cut.picture.id: cut.box for cut in await _cuts(tx, await existing(tx, dataset_id))}

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
            await mark_dirty(tx, "report", cut.picture.dataset_id)
        return True

    async def reset(self, picture_id: int, user_id: int) -> None:
        """Back to the suggested square; raises NotFound, NotYours."""
        async with self._store.transaction() as tx:
            view = await self._one(tx, picture_id, user_id, "edit")
            await rows.set_focus(tx, picture_id, None)
            await mark_dirty(tx, "report", view.dataset.id)

    async def use(self, dataset_id: int, user_id: int, *, square: bool) -> Dataset:
        """Train the dataset on squares, or on the pictures' own shapes; raises NotFound, NotYours."""
        async with self._store.transaction() as tx:
            await allowed(tx, dataset_id, user_id, "edit")
            await rows.set_square(tx, dataset_id, square)
            await mark_dirty(tx, "report", dataset_id, urgent=True)
            return await existing(tx, dataset_id)

    async def sheet(self, view: CutsView) -> bytes:
        """JPEG of a page of squares. Raises MeasureError."""
        shown = view.cuts[view.page * PAGE : (view.page + 1) * PAGE]
        return await self._painter.sheet(
            [Cell(self._files.path(cut.picture.file), cut.number, None, cut.box) for cut in shown]
        )

    async def pair(self, cut: Cut) -> bytes:
        """JPEG of a picture before and after. Raises MeasureError."""
        return await self._painter.pair(self._files.path(cut.picture.file), cut.box)

    async def _one(self, tx: Connection, picture_id: int, user_id: int, deed: Deed) -> CutView:
        picture = await picture_by_id(tx, picture_id)
        if picture is None:
            raise NotFound("This picture was removed.")
        dataset = await allowed(tx, picture.dataset_id, user_id, deed)
        cuts = await _cuts(tx, dataset)
        place = next(place for place, cut in enumerate(cuts) if cut.picture.id == picture_id)
        return CutView(
            dataset,
            cuts[place],
            len(cuts),
            cuts[place - 1].picture.id if place else None,
            cuts[place + 1].picture.id if place + 1 < len(cuts) else None,
        )


async def _cuts(tx: Connection, dataset: Dataset) -> list[Cut]:
    measures = await rows.measures_of(tx, dataset.id)
    pictures = await pictures_of_dataset(tx, dataset.id)
    return [
        Cut(picture, number, crop.focus_of(dataset, picture, measures.get(picture.id)), bool(picture.focus))
        for number, picture in enumerate(pictures, 1)
    ]
