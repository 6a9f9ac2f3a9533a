"""What a dataset's web page asks for: its pictures and captions, more pictures, an edit, a removal.

The same services and rules as in Discord; the cards there follow what is done here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.config import IntakeConfig
from bot.errors import NotFound
from bot.rules.access import Role, role_of
from bot.services.dataset.captions import CaptionChanged, Captions
from bot.services.dataset.datasets import allowed
from bot.services.dataset.quality import Quality, Report
from bot.services.intake.intake import BatchReport, Incoming, Intake
from bot.services.intake.posts import Posts, growing
from bot.store import pictures
from bot.store.database import Store
from bot.store.helpers import helper_of
from bot.store.rows import Dataset, Picture


@dataclass(frozen=True, slots=True)
class Sheet:
    """A dataset with all its pictures, as the member may see it."""

    dataset: Dataset
    role: Role
    pictures: tuple[Picture, ...]
    report: Report
    """Of those that were measured."""


@dataclass(frozen=True, slots=True)
class Edited:
    """What became of an edit: `picture` is as it now stands."""

    dataset: Dataset
    picture: Picture
    stored: bool
    """False when somebody else (or the tagger) was faster."""


class Desk:
    """Everything a member does on the page of a dataset."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        captions: Captions,
        quality: Quality,
        posts: Posts,
        limits: IntakeConfig,
        wake_cards: Callable[[], None],
    ) -> None:
        self._store = store
        self._intake = intake
        self._captions = captions
        self._quality = quality
        self._posts = posts
        self.limits = limits
        """Of files and of the dataset."""
        self._wake_cards = wake_cards

    async def sheet(self, dataset_id: int, user_id: int) -> Sheet:
        """The dataset as it stands; raises NotFound, NotYours."""
        async with self._store.transaction() as tx:
            dataset = await allowed(tx, dataset_id, user_id, "see")
            role = role_of(dataset, user_id, await helper_of(tx, dataset_id, user_id))
            found = await pictures.pictures_of_dataset(tx, dataset_id)
        return Sheet(dataset, role, tuple(found), await self._quality.look(dataset_id))

    async def may_add(self, dataset_id: int, user_id: int) -> None:
        """Raises what `add` would raise before a file has come in: NotFound, NotYours, Refused."""
        await self._intake.may_add(dataset_id, user_id)

    async def add(self, dataset_id: int, user_id: int, source: str, file: Incoming) -> BatchReport:
        """Add one picture to the batch of `source`; the same file again is answered as added.

        Raises NotFound, NotYours, Refused, StorageError; what is wrong with the file is in the report.
        """
        with self._posts.under_way:
            report = await self._intake.add_more(dataset_id, user_id, source, [file], also=growing)
        self._posts.follow_up(report)
        return report

    async def add_archive(self, dataset_id: int, user_id: int, source: str, file: Incoming) -> BatchReport:
        """Add an archive's pictures as a batch of their own, as one handed over in Discord; may be tried again.

        Raises NotFound, NotYours, Refused, StorageError; what was left out is in the report.
        """
        with self._posts.under_way:
            return await self._posts.hand_over(dataset_id, user_id, source, [file])

    async def picture(self, dataset_id: int, user_id: int, picture_id: int) -> Picture:
        """A picture of this dataset; raises NotFound, NotYours."""
        return (await self._found(dataset_id, user_id, picture_id))[1]

    async def edit(self, dataset_id: int, user_id: int, picture_id: int, text: str, seen: str, revision: int) -> Edited:
        """Store a caption on top of the one `seen` at that revision; another that took its place stays and comes back.

        Raises NotFound, NotYours, Refused.
        """
        dataset, now = await self._found(dataset_id, user_id, picture_id)
        if (now.caption, now.revision) != (seen, revision):  # also the tagger's, which counts as no revision
            return Edited(dataset, now, stored=False)
        try:
            edited = await self._captions.edit(
                picture_id, user_id, text, revision, tagged=bool(now.tagged), redraw=True
            )
        except CaptionChanged as changed:
            return Edited(dataset, changed.picture, stored=False)
        self._wake_cards()
        return Edited(dataset, edited, stored=True)

    async def remove(self, dataset_id: int, user_id: int, picture_id: int) -> None:
        """Take a picture out for good; raises NotFound, NotYours, Refused."""
        await self.picture(dataset_id, user_id, picture_id)
        await self._captions.remove(picture_id, user_id)
        self._wake_cards()

    async def _found(self, dataset_id: int, user_id: int, picture_id: int) -> tuple[Dataset, Picture]:
        async with self._store.transaction() as tx:
            dataset = await allowed(tx, dataset_id, user_id, "see")
            found = await pictures.picture_by_id(tx, picture_id)
        if found is None or found.dataset_id != dataset_id:
            raise NotFound("This picture was removed.")
        return dataset, found
