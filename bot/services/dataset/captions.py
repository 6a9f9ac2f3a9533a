"""Captions: written by the tagger, mended by people; and the pages of a batch's card."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from bot.config import TaggerConfig, TrainingConfig
from bot.errors import NotFound, Refused
from bot.rules.bulk.captions import Captioned, Subject
from bot.rules.bulk.operations import AddTags, RemoveTags, carry_out
from bot.rules.captions.caption import build_caption, clean_caption
from bot.rules.captions.tagging import TagOptions, caption_tags
from bot.rules.pictures.quality import Level, Verdict
from bot.services.dataset.datasets import allowed, existing
from bot.services.dataset.files import FileStore
from bot.services.dataset.tag_options import cut_of, options_of
from bot.services.dataset.verdicts import judged
from bot.store import pictures
from bot.store.cards import mark_dirty
from bot.store.database import Connection, Store
from bot.store.rows import Dataset, Picture
from bot.vision.tagging.tagger import CHUNK, Tagger
from bot.vision.tagging.wd14 import TagResult

log = logging.getLogger(__name__)

UNCAPTIONED = "uncaptioned"
"""What a pager shows when it leaves out the pictures that have a caption."""
AS_SHIPPED = TrainingConfig()
"""Trainings of a host who set nothing."""
RED_ONLY = "red"
"""What a pager shows when it leaves out the pictures that may stay, as the report sees it."""


@dataclass(frozen=True, slots=True)
class PageView:
    """One page of a batch's card."""

    dataset: Dataset
    picture: Picture
    index: int
    """Of the page in its batch, from 0."""
    total: int
    number: int
    """Of the picture in its dataset, from 1."""
    problems: tuple[str, ...]
    """Sentences on what its caption lacks, and, until it is measured, on what the first look said of the picture."""
    uncaptioned: int = 0
    """Pictures of the batch whose caption is only trigger and class word."""
    red: int = 0
    """Pictures of the batch that are better dropped, as far as they were measured."""
    shows: str = ""
    """The pages are only those pictures: UNCAPTIONED or RED_ONLY."""
    verdict: Verdict | None = None
    """What the report says of the picture; None until it is measured."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A picture taken out."""

    picture: Picture
    left_in_batch: int
    left_in_dataset: int


class CaptionChanged(Refused):
    """A caption is not what its writer saw; `picture` is as it now stands, `caption` what was to be stored."""

    def __init__(self, picture: Picture, caption: str) -> None:
        super().__init__("This caption was changed while you were writing, so yours was not stored.")
        self.picture = picture
        self.caption = caption


class Captions:
    """Reads and changes captions."""

    def __init__(
        self,
        store: Store,
        files: FileStore,
        tagger: Tagger,
        host: TaggerConfig,
        training: TrainingConfig = AS_SHIPPED,
    ) -> None:
        self._store = store
        self._files = files
        self._tagger = tagger
        self._host = host
        self._training = training

    async def page(self, batch_id: int, index: int, shows: str = "") -> PageView:
        """The batch's page nearest to `index`; raises NotFound when the batch holds no picture any more.

        With `shows` the pages are only of pictures without a caption, or of red ones, as long as there are any.
        """
        async with self._store.transaction() as tx:
            dataset = await self._dataset_of_batch(tx, batch_id)
            found = await pictures.pictures_of_batch(tx, batch_id)
            if not found:
                raise NotFound("All pictures of this batch were removed.")
            verdicts = await self._verdicts(tx, dataset)
            parts = {UNCAPTIONED: [each for each in found if is_bare(dataset, each)]}
            red = {id for id, verdict in verdicts.items() if verdict.level is Level.RED}
            parts[RED_ONLY] = [each for each in found if each.id in red]
            shown = parts.get(shows) or found
            index = max(0, min(index, len(shown) - 1))
            picture = shown[index]
            number = await pictures.number_of(tx, picture)
        return PageView(
            dataset=dataset,
            picture=picture,
            index=index,
            total=len(shown),
            number=number,
            problems=_problems(picture, measured=picture.id in verdicts),
            uncaptioned=len(parts[UNCAPTIONED]),
            red=len(parts[RED_ONLY]),
            shows=shows if parts.get(shows) else "",
            verdict=verdicts.get(picture.id),
        )

    async def _verdicts(self, tx: Connection, dataset: Dataset) -> dict[int, Verdict]:
        """What the report says of the dataset's measured pictures, by id."""
        seen = await judged(tx, dataset, await pictures.pictures_of_dataset(tx, dataset.id), self._training)
        return {each.picture_id: each.verdict for each in seen}

    async def find(self, batch_id: int, number: int) -> tuple[int, int]:
        """Batch and page of the picture with this number in the batch's dataset; raises NotFound, and Refused."""
        async with self._store.transaction() as tx:
            dataset = await self._dataset_of_batch(tx, batch_id)
            found = await pictures.pictures_of_dataset(tx, dataset.id)
        if not 1 <= number <= len(found):
            raise Refused(f"There are pictures 1 to {len(found)}; {number} is not among them.")
        picture = found[number - 1]
        return picture.batch_id, [each.id for each in found if each.batch_id == picture.batch_id].index(picture.id)

    async def get(self, picture_id: int) -> Picture:
        """The picture; raises NotFound."""
        async with self._store.transaction() as tx:
            return await _existing_picture(tx, picture_id)

    async def edit(
        self,
        picture_id: int,
        user_id: int,
        text: str,
        revision: int,
        *,
        tagged: bool | None = None,
        redraw: bool = False,
    ) -> Picture:
        """Store a caption of the owner or a helper, cleaned, on top of `revision`; durable on return.

        `tagged` is whether that one was more than provisional; None: whoever asks has looked. With `redraw` the cards
        that show it follow, for whoever does not draw them as an answer. Raises NotFound, NotYours, and CaptionChanged
        when somebody edited, or the tagger wrote, in between.
        """
        async with self._store.transaction() as tx:
            picture = await _existing_picture(tx, picture_id)
            dataset = await allowed(tx, picture.dataset_id, user_id, "edit")
            caption = clean_caption(text, dataset.trigger, dataset.class_word)
            edited = None
            if tagged is None or tagged == bool(picture.tagged):
                edited = await pictures.write_edit(tx, picture_id, caption, revision)
            if edited is None and picture.caption != caption:
                raise CaptionChanged(picture, caption)
            if edited is not None and redraw:
                await _redraw(tx, edited)
            return edited or picture

    async def change_tags(
        self, picture_id: int, user_id: int, revision: int, gone: Sequence[str], new: Sequence[str]
    ) -> Picture:
        """Take tags out of one caption and write others in; sentences stay as they are.

        Raises NotFound, NotYours, and Refused when somebody edited in between or it would be too long.
        """
        async with self._store.transaction() as tx:
            picture = await _existing_picture(tx, picture_id)
            dataset = await allowed(tx, picture.dataset_id, user_id, "edit")
            if picture.revision != revision:
                raise Refused("This caption was changed meanwhile, so nothing was done. Press Tags again.")
            caption, subject = picture.caption, Subject(dataset.trigger, dataset.class_word)
            for operation in (RemoveTags(tags=tuple(gone)), AddTags(text=", ".join(new))):
                edit = carry_out(operation, [Captioned(picture.id, 1, caption)], subject)
                if edit.too_long:
                    raise Refused("The caption would be longer than 1,000 characters. Take some tags out first.")
                caption = edit.changes[0].after if edit.changes else caption
            await mark_dirty(tx, "batch", picture.batch_id, urgent=True)
            return await pictures.write_edit(tx, picture_id, caption, revision) or picture

    async def remove(self, picture_id: int, user_id: int) -> Removed:
        """Take a picture out of its dataset, its file too if no other dataset holds it.

        Raises NotFound or NotYours.
        """
        async with self._files.lock:
            async with self._store.transaction() as tx:
                picture = await _existing_picture(tx, picture_id)
                await allowed(tx, picture.dataset_id, user_id, "edit")
                await pictures.delete_picture(tx, picture_id)
                await mark_dirty(tx, "report", picture.dataset_id)
                await _redraw(tx, picture)
                needed = await pictures.is_referenced(tx, picture.file)
                in_batch = len(await pictures.pictures_of_batch(tx, picture.batch_id))
                in_dataset = await pictures.count_pictures(tx, picture.dataset_id)
            if not needed:
                await self._files.remove(picture.file)
        return Removed(picture, in_batch, in_dataset)

    async def tag_part(self, batch_id: int) -> int | None:
        """Write the tagger's captions of the batch's next pictures; returns how many, None when none waits.

        The first picture of a batch goes alone, so that a caption is there in seconds, the others together. A person's
        edit always wins, and a picture that was removed meanwhile is left out; one that cannot be opened keeps
        `trigger, class` and is not asked about again. Raises NotFound and TaggerError.
        """
        async with self._store.transaction() as tx:
            dataset = await self._dataset_of_batch(tx, batch_id)
            found = await pictures.pictures_of_batch(tx, batch_id)
        new = [each for each in found if not each.tagged]  # what write_tagged takes
        if not new:
            return None
        return await self._tag(dataset, new[: CHUNK if len(new) < len(found) else 1])

    async def model_of(self, batch_id: int) -> str:
        """The tagger that writes the batch's captions, empty for the host's; raises NotFound."""
        async with self._store.transaction() as tx:
            return options_of(await self._dataset_of_batch(tx, batch_id), self._host).model

    async def _tag(self, dataset: Dataset, new: Sequence[Picture]) -> int:
        options = options_of(dataset, self._host)
        paths = [self._files.path(picture.file) for picture in new]
        results = await self._tagger.tag(paths, cut_of(options), options.model)
        written = 0
        async with self._store.transaction() as tx:
            for picture, result in zip(new, results, strict=True):
                caption = tagged_caption(dataset, result, options)
                written += await pictures.write_tagged(tx, picture.id, caption)
            await _redraw(tx, new[0])
        return written

    async def _dataset_of_batch(self, tx: Connection, batch_id: int) -> Dataset:
        batch = await pictures.batch_by_id(tx, batch_id)
        if batch is None:
            raise NotFound("This batch no longer exists.")
        return await existing(tx, batch.dataset_id)


async def _existing_picture(tx: Connection, picture_id: int) -> Picture:
    picture = await pictures.picture_by_id(tx, picture_id)
    if picture is None:
        raise NotFound("This picture was removed.")
    await existing(tx, picture.dataset_id)
    return picture


async def _redraw(tx: Connection, picture: Picture) -> None:
    """The cards that show the picture; in the transaction that changes it, so that no crash comes between."""
    await mark_dirty(tx, "batch", picture.batch_id, urgent=True)
    await mark_dirty(tx, "dataset", picture.dataset_id, urgent=True)


def _problems(picture: Picture, *, measured: bool) -> tuple[str, ...]:
    """The report's verdict says what the first look said, and more."""
    waiting = () if picture.tagged else ("The caption has no tags yet; you can write them yourself.",)
    return (*(() if measured else picture.warning_list), *waiting)


def is_bare(dataset: Dataset, picture: Picture) -> bool:
    """Whether the caption says nothing but trigger and class word."""
    return picture.caption == build_caption(dataset.trigger, dataset.class_word, ())


def tagged_caption(dataset: Dataset, result: TagResult | None, options: TagOptions) -> str:
    """The caption of what the tagger saw; of a picture it could not open only the prefix."""
    tags: list[str] = []
    if result is not None:
        general, characters = ([tag for tag, _ in part] for part in (result.general, result.characters))
        tags = caption_tags(general, characters, result.rating, options)
    return build_caption(dataset.trigger, dataset.class_word, tags)
