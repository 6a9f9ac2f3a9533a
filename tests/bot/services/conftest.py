"""The services of the intake over an open database, without Discord; the tagger is scripted."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from bot.errors import TaggerError
from bot.services.dataset.captions import Captions
from bot.services.dataset.datasets import Datasets
from bot.services.dataset.files import FileStore
from bot.services.intake.intake import Incoming, Intake
from bot.store.datasets import NewDataset
from bot.store.rows import Dataset
from bot.vision.decoding.decoder import DecodedPicture, Decoder
from bot.vision.tagging.wd14 import Cut, TagResult

OWNER, OTHER, GUILD, CHANNEL = 11, 12, 1, 2


class ScriptedTagger:
    """Says the same tags of every picture, or fails; `meanwhile` runs while it first thinks."""

    def __init__(self) -> None:
        self.result = TagResult((("1girl", 0.9), ("smile", 0.8)), (("some heroine", 0.9),), "general")
        self.broken = False
        self.gone: set[int] = set()
        self.asked: list[Path] = []
        self.cut, self.model = Cut(), ""
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def tag(self, paths: Sequence[Path], cut: Cut, model: str) -> list[TagResult | None]:
        if self.broken:
            raise TaggerError("The tagger is broken.")
        before = len(self.asked)
        self.asked += paths
        self.cut, self.model = cut, model
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return [None if before + place in self.gone else self.result for place in range(len(paths))]


class Jobs:
    """Stands in for the training service: notes which datasets' jobs were asked to stop."""

    def __init__(self) -> None:
        self.stopped: list[int] = []

    async def stop(self, dataset_id: int) -> None:
        self.stopped.append(dataset_id)


@pytest.fixture
def files(config) -> FileStore:
    return FileStore(config.paths.pictures)


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def datasets(store, files, config, jobs) -> Datasets:
    return Datasets(store, files, config, jobs.stop, clock=lambda: 1000.0)


class QuickDecoder(Decoder):
    """Takes any bytes for a picture of 96 × 80 pixels: for tests that are not about decoding."""

    async def decode(self, data: bytes, shown: str) -> DecodedPicture:
        return DecodedPicture(data, "jpg", 96, 80)


@pytest.fixture
def intake(store, files, config) -> Intake:
    """Without the decoder's processes."""
    return Intake(store, files, QuickDecoder(config.intake), config, clock=lambda: 2000.0)


@pytest.fixture
def real_intake(store, files, config) -> Intake:
    return Intake(store, files, Decoder(config.intake), config, clock=lambda: 2000.0)


@pytest.fixture
def tagger() -> ScriptedTagger:
    return ScriptedTagger()


@pytest.fixture
def captions(store, files, tagger, config) -> Captions:
    return Captions(store, files, tagger, config.tagger)


@pytest.fixture
def asked() -> Callable[..., NewDataset]:
    """What a member types for a new dataset; any part may be given."""

    def ask(**parts) -> NewDataset:
        usual = {"guild_id": GUILD, "channel_id": CHANNEL, "owner_id": OWNER, "name": "Lisa", "trigger": "lisaxl"}
        return NewDataset(**{**usual, "class_word": "woman", "kind": "character", **parts})

    return ask


@pytest.fixture
async def dataset(datasets, asked) -> Dataset:
    """An open dataset of OWNER."""
    return await datasets.create(asked())


def incoming(name: str, data: bytes, size: int | None = None) -> Incoming:
    """A file offered."""

    async def read() -> bytes:
        return data

    return Incoming(name, len(data) if size is None else size, read)


async def rows(store, sql: str, *values) -> list:
    """What the database holds."""
    async with store.transaction() as tx:
        return [tuple(row) for row in await tx.execute_fetchall(sql, values)]


async def tag_all(captions: Captions, batch_id: int) -> int:
    """Has every new picture of the batch captioned; how many were."""
    written = 0
    while (part := await captions.tag_part(batch_id)) is not None:
        written += part
    return written
