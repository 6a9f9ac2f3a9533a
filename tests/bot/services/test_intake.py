"""Handing over pictures: what is kept, what is answered, and that nothing is half there or there twice."""

import asyncio
import hashlib

import pytest
from PIL import Image

from bot.errors import NotFound, NotYours, Refused, StorageError
from bot.services.intake.intake import Incoming
from tests.bot.conftest import encoded, make_picture, quarters
from tests.bot.services.conftest import OTHER, OWNER, incoming, rows


def stored_files(config) -> set[str]:
    return {path.name for path in config.paths.pictures.iterdir()} if config.paths.pictures.is_dir() else set()


async def test_pictures_are_stored_with_a_first_caption(real_intake, dataset, store, config):
    offered = [incoming(f"{seed}.jpg", make_picture((96, 80), seed)) for seed in range(3)]
    report = await real_intake.add(dataset.id, OWNER, "message 1", offered)
    assert [picture.file_name for picture in report.added] == ["0.jpg", "1.jpg", "2.jpg"]
    assert report.duplicates == report.refused == ()
    for picture in report.added:
        assert picture.caption == "lisaxl, woman"
        assert (picture.width, picture.height, picture.tagged, picture.revision) == (96, 80, 0, 0)
        data = (config.paths.pictures / picture.file).read_bytes()
        assert picture.file == f"{hashlib.sha256(data).hexdigest()}.jpg"
        assert "small (96 × 80 pixels)" in picture.warning_list[0]
    assert stored_files(config) == {picture.file for picture in report.added}
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(3,)]


async def test_a_large_picture_has_nothing_wrong_with_it(real_intake, dataset):
    report = await real_intake.add(dataset.id, OWNER, "m", [incoming("a.jpg", make_picture((1024, 1200)))])
    assert report.added[0].warning_list == []


async def test_the_rest_of_the_batch_goes_on(real_intake, dataset, config):
    offered = [
        incoming("notes.txt", b"hello"),
        incoming("good.jpg", make_picture()),
        incoming("huge.jpg", make_picture(), size=3 * 2**20),
        incoming("liar.jpg", b"x" * (2 * 2**20 + 1), size=10),
        incoming("tiny.png", make_picture((63, 63), format="PNG")),
    ]
    report = await real_intake.add(dataset.id, OWNER, "m", offered)
    assert [picture.file_name for picture in report.added] == ["good.jpg"]
    assert len(report.refused) == 4
    for sentence, name in zip(report.refused, ["notes.txt", "huge.jpg", "liar.jpg", "tiny.png"], strict=True):
        assert sentence.startswith(f"`{name}` ")
    assert "larger than 2 MB" in report.refused[1]
    assert "larger than 2 MB" in report.refused[2]


async def test_a_file_declared_too_large_is_not_read(intake, dataset):
    async def read() -> bytes:
        raise AssertionError("it was read")

    report = await intake.add(dataset.id, OWNER, "m", [Incoming("a.jpg", 2**30, read)])
    assert "larger than" in report.refused[0]


async def test_a_file_that_cannot_be_fetched_is_a_sentence(intake, dataset):
    async def read() -> bytes:
        raise OSError("connection reset")

    report = await intake.add(dataset.id, OWNER, "m", [Incoming("a.jpg", 10, read), incoming("b.jpg", make_picture())])
    assert report.refused == ("`a.jpg` could not be fetched from Discord. Send it once more.",)
    assert len(report.added) == 1


async def test_the_same_bytes_are_the_same_picture(intake, dataset):
    data = make_picture()
    first = await intake.add(dataset.id, OWNER, "m1", [incoming("a.jpg", data), incoming("again.jpg", data)])
    assert len(first.added) == 1
    assert first.duplicates == ("`again.jpg` is the same as picture 1, `a.jpg`; it was not added again.",)
    second = await intake.add(
        dataset.id, OWNER, "m2", [incoming("b.jpg", make_picture(seed=1)), incoming("c.jpg", data)]
    )
    assert second.duplicates == ("`c.jpg` is the same as picture 1, `a.jpg`; it was not added again.",)


async def test_the_same_pixels_in_another_file_are_the_same_picture(real_intake, dataset):
    image = quarters((96, 96))
    offered = [incoming("a.png", encoded(image, "PNG")), incoming("b.png", encoded(image, "PNG", compress_level=0))]
    report = await real_intake.add(dataset.id, OWNER, "m", offered)
    assert len(report.added) == 1
    assert len(report.duplicates) == 1


async def test_two_datasets_share_a_file_but_not_a_row(intake, datasets, dataset, asked, config):
    other = await datasets.create(asked(name="Other", owner_id=OTHER))
    data = make_picture()
    mine = await intake.add(dataset.id, OWNER, "m", [incoming("a.jpg", data)])
    theirs = await intake.add(other.id, OTHER, "m", [incoming("a.jpg", data)])
    assert mine.added[0].file == theirs.added[0].file
    assert len(stored_files(config)) == 1


async def test_a_message_delivered_again_adds_nothing(intake, dataset, store):
    offered = [incoming("a.jpg", make_picture()), incoming("b.jpg", make_picture(seed=1))]
    first = await intake.add(dataset.id, OWNER, "m", offered)
    again = await intake.add(dataset.id, OWNER, "m", offered)
    assert again.replayed
    assert again.batch == first.batch
    assert again.added == first.added
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(2,)]


async def test_a_message_delivered_twice_at_once_adds_it_once(intake, dataset, store):
    offered = [incoming("a.jpg", make_picture()), incoming("b.jpg", make_picture(seed=1))]
    reports = await asyncio.gather(*(intake.add(dataset.id, OWNER, "m", offered) for _ in range(3)))
    assert sorted(report.replayed for report in reports) == [False, True, True]
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(2,)]
    assert await rows(store, "SELECT COUNT(*) FROM batch") == [(1,)]


async def test_what_must_follow_is_written_with_the_pictures(intake, dataset, store):
    async def card(tx, report) -> None:
        await tx.execute("INSERT INTO card (kind, ref, channel_id) VALUES ('batch', ?, 5)", (str(report.batch.id),))

    report = await intake.add(dataset.id, OWNER, "m1", [incoming("a.jpg", make_picture())], card)
    assert await rows(store, "SELECT ref FROM card") == [(str(report.batch.id),)]
    await intake.add(dataset.id, OWNER, "m1", [incoming("a.jpg", make_picture())], card)
    await intake.add(dataset.id, OWNER, "m2", [incoming("a.jpg", make_picture())], card)
    assert len(await rows(store, "SELECT ref FROM card")) == 1

    async def fail(tx, report) -> None:
        raise RuntimeError("died")

    with pytest.raises(RuntimeError):
        await intake.add(dataset.id, OWNER, "m3", [incoming("b.jpg", make_picture(seed=1))], fail)
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(1,)]
    assert await rows(store, "SELECT COUNT(*) FROM batch") == [(1,)]


async def test_no_batch_is_left_when_nothing_was_added(intake, dataset, store):
    await intake.add(dataset.id, OWNER, "m1", [incoming("a.jpg", make_picture())])
    report = await intake.add(
        dataset.id, OWNER, "m2", [incoming("x.jpg", b"x", size=2**30), incoming("copy.jpg", make_picture())]
    )
    assert report.batch is None
    assert report.added == ()
    assert await rows(store, "SELECT source FROM batch") == [("m1",)]


async def test_a_full_dataset_says_so_once(intake, dataset, store):
    """The limit of these tests is 12."""
    offered = [incoming(f"{seed}.png", make_picture(seed=seed, format="PNG")) for seed in range(10)]
    await intake.add(dataset.id, OWNER, "m1", offered)
    offered = [incoming(f"{seed}.png", make_picture(seed=seed, format="PNG")) for seed in range(10, 14)]
    report = await intake.add(dataset.id, OWNER, "m2", offered)
    assert len(report.added) == 2
    assert report.refused == (
        "The dataset is full: 12 pictures is the most. Left out: `12.png`, `13.png`. Remove pictures to make room.",
    )

    async def read() -> bytes:
        raise AssertionError("it was read although there is no room")

    report = await intake.add(dataset.id, OWNER, "m3", [Incoming("more.png", 5, read)])
    assert report.refused[0].startswith("The dataset is full")
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(12,)]


async def test_two_hand_overs_at_once_do_not_overfill(intake, dataset, store):
    batches = [
        [incoming(f"{seed}.png", make_picture(seed=seed, format="PNG")) for seed in range(start, start + 8)]
        for start in (0, 8)
    ]
    await asyncio.gather(*(intake.add(dataset.id, OWNER, f"m{number}", files) for number, files in enumerate(batches)))
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(12,)]


async def test_more_than_ten_files_at_once(intake, dataset):
    offered = [incoming(f"{seed}.jpg", make_picture(seed=seed)) for seed in range(10)]
    report = await intake.add(dataset.id, OWNER, "m", [*offered, incoming("late.jpg", make_picture())])
    assert report.refused[-1] == "At most 10 files are taken at once; add these again: `late.jpg`."


async def test_names_that_repeat_get_their_place(real_intake, dataset):
    offered = [incoming("image.jpg", b"x"), incoming("image.jpg", b"y"), incoming("z.jpg", b"z")]
    report = await real_intake.add(dataset.id, OWNER, "m", offered)
    assert [sentence.split(" is ")[0] for sentence in report.refused] == [
        "`image.jpg` (file 1)",
        "`image.jpg` (file 2)",
        "`z.jpg`",
    ]


async def test_a_hostile_file_name_is_only_text(real_intake, dataset, config):
    name = "../../../etc/`passwd`\u202e\n@everyone.jpg"
    report = await real_intake.add(dataset.id, OWNER, "m", [incoming(name, make_picture()), incoming(name, b"x")])
    assert report.added[0].file_name == "../../../etc/`passwd` @everyone.jpg"
    assert report.refused[0].startswith("`../../../etc/'passwd' @everyone.jpg`")
    assert stored_files(config) == {report.added[0].file}


async def test_only_the_owner_of_an_open_dataset_adds_to_it(intake, datasets, dataset, asked):
    offered = [incoming("a.jpg", make_picture())]
    with pytest.raises(NotYours):
        await intake.add(dataset.id, OTHER, "m", offered)
    with pytest.raises(NotFound):
        await intake.add(999, OWNER, "m", offered)
    person = await datasets.create(asked(name="Me", kind="person"))
    with pytest.raises(Refused, match="waits for your consent"):
        await intake.add(person.id, OWNER, "m", offered)
    await datasets.give_consent(person.id, OWNER)
    assert len((await intake.add(person.id, OWNER, "m", offered)).added) == 1


async def test_a_dataset_deleted_meanwhile_gets_nothing(intake, datasets, dataset, store):
    async def read() -> bytes:
        await datasets.delete(dataset.id, OWNER)
        return make_picture()

    with pytest.raises(NotFound):
        await intake.add(dataset.id, OWNER, "m", [Incoming("a.jpg", 10, read)])
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(0,)]


async def test_a_full_disk_adds_nothing(intake, dataset, store, config):
    config.paths.pictures.parent.mkdir(exist_ok=True)
    config.paths.pictures.write_text("not a folder")
    with pytest.raises(StorageError, match="could not be stored"):
        await intake.add(dataset.id, OWNER, "m", [incoming("a.jpg", make_picture())])
    assert await rows(store, "SELECT COUNT(*) FROM batch") == [(0,)]


async def test_what_a_crash_left_is_swept(intake, dataset, files, config):
    report = await intake.add(dataset.id, OWNER, "m", [incoming("a.jpg", make_picture())])
    orphan = await files.put(encoded(Image.new("RGB", (9, 9)), "JPEG"), "jpg")
    (config.paths.pictures / f".{orphan}.abc").write_bytes(b"half")
    (config.paths.pictures / "readme.txt").write_text("not ours")

    async def referenced() -> set[str]:
        return {report.added[0].file}

    assert await files.sweep(referenced) == 2
    assert stored_files(config) == {report.added[0].file, "readme.txt"}


async def test_only_hashes_are_paths(files):
    for name in ("../x.jpg", "a.jpg", "/etc/passwd", f"{'a' * 64}.exe", f"{'a' * 64}.jpg/x", ""):
        with pytest.raises(ValueError, match="not a stored picture"):
            files.path(name)
