"""A dataset with captioned pictures and the services of bulk editing over it."""

import pytest

from bot.services.bulk.edits import BulkEdits
from bot.services.bulk.files import CaptionFiles
from bot.services.bulk.patterns import Patterns
from tests.bot.services.conftest import OWNER, incoming


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def edits(store, clock) -> BulkEdits:
    return BulkEdits(store, Patterns(seconds=30.0), clock)


@pytest.fixture
def caption_files(edits) -> CaptionFiles:
    return CaptionFiles(edits)


@pytest.fixture
async def three(intake, dataset, captions, write):
    """Three captioned pictures of OWNER's dataset; their ids."""
    offered = [incoming(f"IMG_{number}.jpg", bytes([number] * 9)) for number in (1, 2, 3)]
    report = await intake.add(dataset.id, OWNER, "m", offered)
    ids = [each.id for each in report.added]
    await write(dict(zip(ids, ("smile, hat", "smile", "smile, She sits, reading."), strict=True)))
    return ids


@pytest.fixture
def write(store):
    """Stores bodies by picture, as captions people wrote."""

    async def set_bodies(bodies):
        async with store.transaction() as tx:
            for picture_id, body in bodies.items():
                caption = ", ".join(["lisaxl, woman", *([body] if body else [])])
                await tx.execute(
                    "UPDATE picture SET caption = ?, tagged = 1, revision = revision + 1 WHERE id = ?",
                    (caption, picture_id),
                )

    return set_bodies


@pytest.fixture
def bodies(store):
    """What stands behind the prefix, in the order of the pictures."""

    async def get():
        async with store.transaction() as tx:
            rows = await tx.execute_fetchall("SELECT caption FROM picture ORDER BY id")
        return [str(row[0]).removeprefix("lisaxl, woman").removeprefix(", ") for row in rows]

    return get
