"""Intake: from files a member handed over to stored, upright, stripped pictures with a first caption."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bot.config import Config
from bot.errors import PictureRefused, Refused
from bot.rules.captions.caption import build_caption, clean_caption
from bot.rules.names import plain, shown_file
from bot.rules.pictures.quality import GOOD_SIDE
from bot.services.dataset.datasets import allowed
from bot.services.dataset.files import FileStore, sha256_of
from bot.store import pictures
from bot.store.database import Connection, Store
from bot.store.pictures import NewPicture
from bot.store.rows import Batch, Dataset, Picture
from bot.vision.decoding.decoder import DecodedPicture, Decoder

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Files that are read and decoded side by side."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file offered; nothing of it is trusted."""

    name: str
    size: int
    """Bytes as declared; checked again once they are here."""
    read: Callable[[], Awaitable[bytes]]
    """Gets the bytes; raises PictureRefused or OSError when they cannot be had."""
    caption: str = ""
    """What a text file beside it said; the tagger then leaves the picture alone."""

    @classmethod
    def holding(cls, name: str, data: bytes, caption: str = "") -> Incoming:
        """A file whose bytes are here already."""

        async def read() -> bytes:
            return data

        return cls(name, len(data), read, caption)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a hand-over, in sentences where something was left out."""

    dataset: Dataset
    batch: Batch | None
    """None when nothing was added."""
    added: tuple[Picture, ...] = ()
    duplicates: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    replayed: bool = False
    """The same message or interaction had been taken before; `added` is what came of it then."""


Also = Callable[[Connection, BatchReport], Awaitable[None]]
"""Writes more rows in the transaction that adds a batch."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A file that became a picture."""

    shown: str
    name: str
    source_sha256: str
    decoded: DecodedPicture
    caption: str = ""


@dataclass(frozen=True, slots=True)
class _HandOver:
    dataset: Dataset
    user_id: int
    source: str
    also: Also | None
    grows: bool = False
    """More files come under the same source, one hand-over after the other."""


class Intake:
    """Takes hand-overs, several at a time."""

    def __init__(
        self,
        store: Store,
        files: FileStore,
        decoder: Decoder,
        config: Config,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._files = files
        self._decoder = decoder
        self._limits = config.intake
        self._clock = clock
        self._reading = asyncio.Semaphore(AT_ONCE)  # files in memory at once, over all members

    async def add(
        self, dataset_id: int, user_id: int, source: str, files: Sequence[Incoming], also: Also | None = None
    ) -> BatchReport:
        """Add the files to a dataset of the member's or one they help with; `source` names the message or interaction.

        A file that cannot be used is answered with a sentence and the rest goes on. The same `source` again adds
        nothing. When something was added, `also` runs in the transaction that adds it: what has to follow (the batch's
        card) is then never lost to a crash in between. Raises NotFound, NotYours, Refused (waits for consent),
        StorageError.
        """
        async with self._store.transaction() as tx:
            dataset = await self._open(tx, dataset_id, user_id)
            before = await self._replay(tx, dataset, source)
            room = self._limits.max_pictures - await pictures.count_pictures(tx, dataset_id)
        if before is not None:
            return before
        names = _shown_names(files)
        if room <= 0:
            return BatchReport(dataset, None, refused=(self._full(names),))
        most = self._limits.max_files
        results = await asyncio.gather(
            *(self._take(file, shown) for file, shown in zip(files[:most], names[:most], strict=True))
        )
        refused = [each for each in results if isinstance(each, str)]
        if names[most:]:
            refused.append(f"At most {most} files are taken at once; add these again: {', '.join(names[most:])}.")
        ready = [each for each in results if isinstance(each, _Ready)]
        return await self._keep(_HandOver(dataset, user_id, source, also), ready, refused)

    async def add_more(
        self, dataset_id: int, user_id: int, source: str, files: Sequence[Incoming], also: Also | None = None
    ) -> BatchReport:
        """Add at most AT_ONCE more files to the batch of `source`, which the first of them makes.

        For hand-overs too large for one piece (an archive, the upload page). A picture that came under this source
        before counts as added, so that a try whose answer was lost can be made again. Raises as `add` does.
        """
        async with self._store.transaction() as tx:
            dataset = await self._open(tx, dataset_id, user_id)
        names = _shown_names(files)
        results = await asyncio.gather(
            *(self._take(file, shown) for file, shown in zip(files[:AT_ONCE], names, strict=False))
        )
        refused = [each for each in results if isinstance(each, str)]
        ready = [each for each in results if isinstance(each, _Ready)]
        return await self._keep(_HandOver(dataset, user_id, source, also, grows=True), ready, refused)

    async def may_add(self, dataset_id: int, user_id: int) -> Dataset:
        """The dataset, if it takes pictures of the member's; raises NotFound, NotYours, Refused."""
        async with self._store.transaction() as tx:
            return await self._open(tx, dataset_id, user_id)

    async def room(self, dataset_id: int) -> int:
        """How many more pictures the dataset takes."""
        async with self._store.transaction() as tx:
            return self._limits.max_pictures - await pictures.count_pictures(tx, dataset_id)

    async def _take(self, file: Incoming, shown: str) -> _Ready | str:
        """Read and decode one file; a sentence when it cannot be used."""
        try:
            async with self._reading:
                data = await self._bytes_of(file, shown)
                decoded = await self._decoder.decode(data, shown)
                sha256 = await asyncio.to_thread(sha256_of, data)
                return _Ready(shown, file.name, sha256, decoded, file.caption)
        except PictureRefused as refusal:
            return str(refusal)

    async def _bytes_of(self, file: Incoming, shown: str) -> bytes:
        return await fetched(file, shown, self._limits.max_file_bytes, "Send a smaller copy, for example as JPEG.")

    async def _keep(self, hand_over: _HandOver, ready: Sequence[_Ready], refused: list[str]) -> BatchReport:
        """Write the files, then all rows in one transaction: a hand-over is there as a whole or not at all."""
        async with self._files.lock:
            files = [await self._files.put(each.decoded.data, each.decoded.suffix) for each in ready]
            async with self._store.transaction() as tx:
                dataset = await self._open(tx, hand_over.dataset.id, hand_over.user_id)
                before = None if hand_over.grows else await self._replay(tx, dataset, hand_over.source)
                if before is not None:
                    return before
                report = await self._insert(tx, hand_over, list(zip(ready, files, strict=True)), refused)
                if report.batch is not None and hand_over.also is not None:
                    await hand_over.also(tx, report)
                return report

    async def _insert(
        self, tx: Connection, hand_over: _HandOver, ready: list[tuple[_Ready, str]], refused: list[str]
    ) -> BatchReport:
        dataset = hand_over.dataset
        room = self._limits.max_pictures - await pictures.count_pictures(tx, dataset.id)
        batch = await pictures.batch_by_source(tx, dataset.id, hand_over.source)
        added: list[Picture] = []
        duplicates: list[str] = []
        left_out: list[str] = []
        for each, file in ready:
            same = await pictures.same_picture(tx, dataset.id, each.source_sha256, file)
            if same is not None and hand_over.grows and batch is not None and _came_before(same, each, batch):
                added.append(same)
            elif same is not None:
                place = f"picture {await pictures.number_of(tx, same)}, {shown_file(same.file_name)}"
                duplicates.append(f"{each.shown} is the same as {place}; it was not added again.")
            elif room <= 0:
                left_out.append(each.shown)
            else:
                if batch is None:
                    batch = await pictures.insert_batch(
                        tx, dataset.id, hand_over.user_id, self._clock(), hand_over.source
                    )
                added.append(await pictures.insert_picture(tx, batch, _row_of(dataset, each, file)))
                room -= 1
        if left_out:
            refused = [*refused, self._full(left_out)]
        return BatchReport(dataset, batch, tuple(added), tuple(duplicates), tuple(refused))

    async def _open(self, tx: Connection, dataset_id: int, user_id: int) -> Dataset:
        dataset = await allowed(tx, dataset_id, user_id, "add")
        if dataset.state != "open":
            raise Refused(
                "This dataset waits for your consent. Use /dataset show, press I confirm, then add the pictures."
            )
        return dataset

    async def _replay(self, tx: Connection, dataset: Dataset, source: str) -> BatchReport | None:
        batch = await pictures.batch_by_source(tx, dataset.id, source)
        if batch is None:
            return None
        found = await pictures.pictures_of_batch(tx, batch.id)
        return BatchReport(dataset, batch, tuple(found), replayed=True)

    def _full(self, names: Sequence[str]) -> str:
        return full_sentence(self._limits.max_pictures, names)


async def fetched(file: Incoming, shown: str, limit: int, remedy: str) -> bytes:
    """The file's bytes; raises PictureRefused when there are more than `limit`, or they cannot be had."""
    too_big = PictureRefused(f"{shown} is larger than {limit / 2**20:.0f} MB. {remedy}")
    if file.size > limit:
        raise too_big
    try:
        data = await file.read()
    except OSError as error:
        log.warning("a file could not be fetched: %s", error)
        raise PictureRefused(f"{shown} could not be fetched from Discord. Send it once more.") from error
    if len(data) > limit:
        raise too_big
    return data


def _came_before(same: Picture, ready: _Ready, batch: Batch) -> bool:
    """Whether it is the same file of the same hand-over once more, rather than a second copy under another name."""
    return (same.batch_id, same.file_name) == (batch.id, _kept_name(ready.name))


def _kept_name(name: str) -> str:
    return plain(name)[:200]


def full_sentence(most: int, names: Sequence[str]) -> str:
    """What did not fit into a full dataset; `names` as they may stand in a sentence."""
    return (
        f"The dataset is full: {most} pictures is the most. Left out: {', '.join(names)}. Remove pictures to make room."
    )


def _shown_names(files: Sequence[Incoming]) -> list[str]:
    """Names for sentences; phones call every picture image.jpg, so names that repeat get their place too."""
    shown = [shown_file(file.name) for file in files]
    count = Counter(shown)
    return [f"{name} (file {place})" if count[name] > 1 else name for place, name in enumerate(shown, 1)]


def _row_of(dataset: Dataset, ready: _Ready, file: str) -> NewPicture:
    decoded = ready.decoded
    caption = build_caption(dataset.trigger, dataset.class_word, ())
    if ready.caption:
        caption = clean_caption(ready.caption, dataset.trigger, dataset.class_word)
    warnings = []
    if min(decoded.width, decoded.height) < GOOD_SIDE:
        warnings.append(
            f"It is small ({decoded.width} × {decoded.height} pixels), so it may train soft;"
            f" {GOOD_SIDE} pixels or more on the shorter side are better."
        )
    return NewPicture(
        file=file,
        source_sha256=ready.source_sha256,
        file_name=_kept_name(ready.name),
        width=decoded.width,
        height=decoded.height,
        caption=caption,
        tagged=bool(ready.caption),
        warnings=tuple(warnings),
    )
