"""Archives on their way in, without Discord."""

import dataclasses

import pytest

from bot.services.intake.posts import want_card
from bot.services.intake.unpack import Unpack
from bot.vision.zips.unzip import Unzipper
from tests.bot.services.conftest import OWNER, incoming, rows
from tests.bot.zips import packed, picture


@pytest.fixture
def unpack(intake, config) -> Unpack:
    return Unpack(intake, Unzipper(config.intake.max_file_bytes), config.intake)


def album(*seeds: int) -> bytes:
    return packed({f"{seed}.jpg": picture(seed) for seed in seeds})


async def test_an_archive_too_large_is_not_fetched(intake, config, dataset):
    async def never():
        raise AssertionError("it was fetched")

    small = Unpack(intake, Unzipper(1), dataclasses.replace(config.intake, max_zip_bytes=2**20))
    file = dataclasses.replace(incoming("a.zip", b"", 2**20 + 1), read=never)
    report = await small.add(dataset, OWNER, "m:1", file, want_card)
    assert report.refused == (
        "`a.zip` is larger than 1 MB. Send the pictures in several archives, or press Upload many.",
    )


async def test_the_same_archive_again_adds_what_was_missing(unpack, dataset, store):
    first = await unpack.add(dataset, OWNER, "m:1", incoming("a.zip", album(1, 2)), want_card)
    again = await unpack.add(dataset, OWNER, "m:1", incoming("a.zip", album(1, 2, 3)), want_card)
    assert [each.file_name for each in again.added] == ["1.jpg", "2.jpg", "3.jpg"]
    assert again.batch.id == first.batch.id
    assert (again.duplicates, again.refused) == ((), ())
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(3,)]


async def test_a_picture_twice_in_one_archive_is_named(unpack, dataset):
    data = packed({"a.jpg": picture(1), "b.jpg": picture(1)})
    report = await unpack.add(dataset, OWNER, "m:1", incoming("a.zip", data), want_card)
    assert len(report.added) == 1
    assert report.duplicates == ("`b.jpg` is the same as picture 1, `a.jpg`; it was not added again.",)


async def test_an_archive_without_pictures_says_so(unpack, dataset):
    report = await unpack.add(dataset, OWNER, "m:1", incoming("a.zip", packed({"notes.txt": b"x"})), want_card)
    assert report.refused[0] == "`a.zip` holds no JPEG, PNG, WEBP, HEIC or AVIF picture."
