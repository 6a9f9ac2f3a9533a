"""Captions: written by the tagger, mended by people; and the pages of a batch's card."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from bot.errors import NotFound, Refused
from bot.rules.caption import build_caption, clean_caption
from bot.services.datasets import allowed, existing
from bot.services.files import FileStore
from bot.store import pictures
from bot.store.database import Connection, Store
from bot.store.rows import Dataset, Picture
from bot.vision.tagger import Tagger
from bot.vision.wd14 import TagResult

log = logging.getLogger(__name__)


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
    """Sentences on what is wrong with the picture or its caption."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A picture taken out."""

    picture: Picture
    left_in_batch: int
    left_in_dataset: int


class Captions:
    """Reads and changes captions."""

    def __init__(self, store: Store, files: FileStore, tagger: Tagger) -> None:
        self._store = store
        self._files = files
        self._tagger = tagger

    async def page(self, batch_id: int, index: int) -> PageView:
        """The batch's page nearest to `index`; raises NotFound when the batch holds no picture any more."""
        async with self._store.transaction() as tx:
            dataset = await self._dataset_of_batch(tx, batch_id)
            found = await pictures.pictures_of_batch(tx, batch_id)
            if not found:
                raise NotFound("All pictures of this batch were removed.")
            index = max(0, min(index, len(found) - 1))
            picture = found[index]
            number = await pictures.number_of(tx, picture)
        return PageView(dataset, picture, index, len(found), number, _problems(picture))

    async def get(self, picture_id: int) -> Picture:
        """The picture; raises NotFound."""
        async with self._store.transaction() as tx:
            return await _existing_picture(tx, picture_id)

    async def edit(self, picture_id: int, user_id: int, text: str, revision: int) -> Picture:
        """Store a caption of the owner or a helper, cleaned, on top of `revision`; durable on return.

        Raises NotFound, NotYours, and Refused with the newer caption when somebody edited in between.
        """
        async with self._store.transaction() as tx:
            picture = await _existing_picture(tx, picture_id)
            dataset = await allowed(tx, picture.dataset_id, user_id, "edit")
            caption = clean_caption(text, dataset.trigger, dataset.class_word)
            edited = await pictures.write_edit(tx, picture_id, caption, revision)
            if edited is None:
                raise Refused(
                    "This caption was changed while you were writing, so yours was not stored. It now reads: "
                    f"{picture.caption}\nPress Edit again to go on from there. You wrote: {caption}"
                )
            return edited

    async def remove(self, picture_id: int, user_id: int) -> Removed:
        """Take a picture out of its dataset, its file too if no other dataset holds it.

        Raises NotFound or NotYours.
        """
        async with self._files.lock:
            async with self._store.transaction() as tx:
                picture = await _existing_picture(tx, picture_id)
                await allowed(tx, picture.dataset_id, user_id, "edit")
                await pictures.delete_picture(tx, picture_id)
                needed = await pictures.is_referenced(tx, picture.file)
                in_batch = len(await pictures.pictures_of_batch(tx, picture.batch_id))
                in_dataset = await pictures.count_pictures(tx, picture.dataset_id)
            if not needed:
                await self._files.remove(picture.file)
        return Removed(picture, in_batch, in_dataset)

    async def tag_batch(self, batch_id: int) -> int:
        """Write the tagger's captions of the batch's new pictures; a person's edit always wins. Returns how many.

        A picture that was removed meanwhile is left out; one that cannot be opened keeps `trigger, class` and is not
        asked about again. Raises NotFound, and TaggerError when the tagger cannot work: captions then wait as they are.
        """
        async with self._store.transaction() as tx:
            dataset = await self._dataset_of_batch(tx, batch_id)
            new = [each for each in await pictures.pictures_of_batch(tx, batch_id) if not each.tagged]
        if not new:
            return 0
        results = await self._tagger.tag([self._files.path(picture.file) for picture in new])
        written = 0
        async with self._store.transaction() as tx:
            for picture, result in zip(new, results, strict=True):
                tags = () if result is None else _tags_for(dataset, result)
                caption = build_caption(dataset.trigger, dataset.class_word, tags)
                written += await pictures.write_tagged(tx, picture.id, caption)
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


def _problems(picture: Picture) -> tuple[str, ...]:
    waiting = () if picture.tagged else ("The caption has no tags yet; you can write them yourself.",)
    return (*picture.warning_list, *waiting)


def _tags_for(dataset: Dataset, result: TagResult) -> Sequence[str]:
    """General tags, then characters; of a person or character the trigger word is the name, so no other is put in."""
    named = dataset.kind in ("person", "character")
    return [tag for tag, _ in (*result.general, *(() if named else result.characters))]
