"""The report over an open database: measured once, red ones dropped and brought back whole, squares kept."""

import asyncio
import dataclasses

import pytest

from bot.errors import MeasureError, NotFound, NotYours, Refused
from bot.rules.pictures.crop import suggested
from bot.rules.pictures.measures import Alike
from bot.rules.pictures.quality import Level
from bot.services.dataset.captions import Captions
from bot.services.dataset.crops import Crops
from bot.services.dataset.quality import Quality
from bot.services.intake.measuring import Measuring
from bot.services.upkeep.retention import DAY, UNDO_DAYS, Retention
from bot.store.database import Store
from bot.store.quality import count_unmeasured
from bot.vision.sheets.painter import Painter
from tests.bot.conftest import make_picture
from tests.bot.rules.test_quality import face, measures
from tests.bot.services.conftest import OTHER, OWNER, incoming, rows

NOW = 5000.0


class ScriptedMeasurer:
    """Every picture is fine but those in `faults`; counts what it is asked."""

    def __init__(self) -> None:
        self.faults = {}
        self.measured = []
        self.compared = []
        self.pairs = []
        self.broken = False

    async def measure(self, path):
        if self.broken:
            raise MeasureError("It does not work.")
        self.measured.append(path.name)
        return self.faults.get(path.name, measures())

    async def compare(self, new, old):
        self.compared.append((sorted(new), sorted(old)))
        keys = {*new, *old}
        return [pair for pair in self.pairs if {pair.first, pair.second} <= keys and pair.second in new]


@pytest.fixture
def measurer() -> ScriptedMeasurer:
    return ScriptedMeasurer()


@pytest.fixture
def woken() -> list:
    return []


@pytest.fixture
def measuring(store, files, measurer, woken) -> Measuring:
    return Measuring(store, files, measurer, lambda: woken.append(1), lambda: NOW)


@pytest.fixture
def quality(store, files, config) -> Quality:
    return Quality(store, files, config, Painter(), lambda: NOW)


@pytest.fixture
def crops(store, files, config) -> Crops:
    return Crops(store, files, config, Painter())


@pytest.fixture
async def batch(store, intake, dataset):
    """Five pictures just added, as if of 1200 × 1500 pixels: only what a test says is wrong with them."""
    offered = [incoming(f"{seed}.jpg", make_picture(seed=seed)) for seed in range(5)]
    report = await intake.add(dataset.id, OWNER, "m", offered)
    async with store.transaction() as tx:
        await tx.execute("UPDATE picture SET width = 1200, height = 1500")
    return report.added


async def blur(measurer, measuring, *pictures):
    for picture in pictures:
        measurer.faults[picture.file] = measures(sharpness=2.0)
    await measuring.measure_all()


async def test_each_picture_is_measured_and_compared_once(store, measuring, measurer, quality, batch, woken):
    await measuring.measure_all()
    await measuring.measure_all()
    assert measurer.measured == [picture.file for picture in batch]
    assert measurer.compared == [([picture.id for picture in batch], [])]
    assert woken == [1]
    report = await quality.look(batch[0].dataset_id)
    assert [each.verdict.level for each in report.pictures] == [Level.GREEN] * 5
    assert (report.waiting, report.pages, report.red) == (0, 1, [])


async def test_later_pictures_are_compared_with_the_earlier(intake, dataset, measuring, measurer, quality, batch):
    await measuring.measure_all()
    more = (await intake.add(dataset.id, OWNER, "n", [incoming("x.jpg", make_picture(seed=9))])).added
    measurer.pairs = [Alike(batch[1].id, more[0].id, 0.99, True)]
    await measuring.measure_all()
    assert measurer.compared[1] == ([more[0].id], [picture.id for picture in batch])
    report = await quality.look(dataset.id)
    assert [each.number for each in report.red] == [6], "the smaller of the two"
    assert "The same as picture 2, mirrored." in [each.sentence for each in report.pictures[5].verdict.findings]


async def test_a_restart_goes_on_where_it_stopped(store, measuring, measurer, quality, batch):
    measurer.broken = True
    await measuring.measure_all()
    async with store.transaction() as tx:
        assert await count_unmeasured(tx, batch[0].dataset_id) == 5
    assert (await quality.look(batch[0].dataset_id)).waiting == 5
    measurer.broken = False
    await measuring.measure_all()
    assert len(measurer.measured) == 5


async def test_one_that_comes_while_others_are_compared_is_not_forgotten(intake, dataset, measuring, measurer, batch):
    async def compare(new, old):
        measurer.compare = later
        await intake.add(dataset.id, OWNER, "n", [incoming("x.jpg", make_picture(seed=9))])
        return await later(new, old)

    later, measurer.compare = measurer.compare, compare
    await measuring.measure_all()
    await measuring.measure_all()
    assert [len(new) for new, _ in measurer.compared] == [5, 1]


async def test_one_that_cannot_be_measured_is_said_and_not_asked_again(measuring, measurer, quality, batch):
    measurer.faults[batch[2].file] = None
    await measuring.measure_all()
    await measuring.measure_all()
    assert len(measurer.measured) == 5
    report = await quality.look(batch[0].dataset_id)
    assert report.pictures[2].verdict.sentence.startswith("I could not measure it.")


async def test_red_ones_are_dropped_and_brought_back_whole(
    store, files, config, measuring, measurer, quality, captions, crops, batch
):
    await captions.edit(batch[1].id, OWNER, "my own words", 0)
    await crops.move(batch[1].id, OWNER, "up")
    await blur(measurer, measuring, batch[1], batch[3])
    before = await rows(store, "SELECT * FROM picture ORDER BY id")
    report = await quality.look(batch[0].dataset_id)
    assert (await quality.drop_red(batch[0].dataset_id, OWNER, report.red_digest)).pictures == 2
    assert len(await rows(store, "SELECT id FROM picture")) == 3
    assert all(files.path(picture.file).exists() for picture in batch), "kept for the undo"
    assert (await quality.look(batch[0].dataset_id)).last_drop.pictures == 2
    await store.close()

    reopened = await Store.open(config.paths.database)
    again = Quality(reopened, files, config, Painter(), lambda: NOW)
    assert await again.undo(batch[0].dataset_id, OWNER) == (2, 0)
    after = await rows(reopened, "SELECT * FROM picture ORDER BY id")
    assert [row[:-1] for row in after] == [row[:-1] for row in before]
    assert len(await rows(reopened, "SELECT * FROM measure")) == 5, "nothing is measured twice"
    with pytest.raises(Refused, match="nothing to bring back"):
        await again.undo(batch[0].dataset_id, OWNER)
    await reopened.close()


async def test_an_undo_leaves_what_was_added_again(intake, measuring, measurer, quality, batch):
    await blur(measurer, measuring, batch[0], batch[1])
    dataset_id = batch[0].dataset_id
    await quality.drop_red(dataset_id, OWNER, (await quality.look(dataset_id)).red_digest)
    again = await intake.add(dataset_id, OWNER, "n", [incoming("again.jpg", make_picture(seed=0))])
    assert len(again.added) == 1
    assert await quality.undo(dataset_id, OWNER) == (1, 1)


async def test_an_undo_needs_room(intake, config, measuring, measurer, quality, batch):
    await blur(measurer, measuring, *batch)
    dataset_id = batch[0].dataset_id
    await quality.drop_red(dataset_id, OWNER, (await quality.look(dataset_id)).red_digest)
    most = config.intake.max_pictures
    for start in range(20, 20 + most, 5):
        offered = [incoming(f"{seed}.jpg", make_picture((80 + seed, 80), seed)) for seed in range(start, start + 5)]
        await intake.add(dataset_id, OWNER, f"more{start}", offered)
    with pytest.raises(Refused, match="no room"):
        await quality.undo(dataset_id, OWNER)
    assert (await quality.look(dataset_id)).last_drop.pictures == 5, "it can be tried again"


async def test_only_what_was_seen_is_dropped_and_only_by_the_owner(measuring, measurer, quality, batch):
    await blur(measurer, measuring, batch[0])
    dataset_id = batch[0].dataset_id
    digest = (await quality.look(dataset_id)).red_digest
    for user, given, error in ((OTHER, digest, NotYours), (OWNER, "00000000", Refused)):
        with pytest.raises(error):
            await quality.drop_red(dataset_id, user, given)
    for work in (quality.undo(dataset_id, OTHER), quality.check(dataset_id, OTHER), quality.turn(dataset_id, OTHER, 1)):
        with pytest.raises(NotYours):
            await work
    assert (await quality.drop_red(dataset_id, OWNER, digest)).pictures == 1
    with pytest.raises(Refused, match="changed meanwhile"):
        await quality.drop_red(dataset_id, OWNER, digest)


async def test_of_two_who_drop_at_once_one_is_told_that_the_report_has_changed(measuring, measurer, quality, batch):
    await blur(measurer, measuring, batch[0], batch[1])
    dataset_id = batch[0].dataset_id
    digest = (await quality.look(dataset_id)).red_digest
    drops = (quality.drop_red(dataset_id, OWNER, digest) for _ in range(2))
    first, second = await asyncio.gather(*drops, return_exceptions=True)
    assert first.pictures == 2
    assert isinstance(second, Refused)


async def test_a_crash_after_the_comparison_loses_no_report(store, dataset, measuring, measurer, batch, monkeypatch):
    """Whoever is compared is not compared again, so the report must be wanted with it or not at all."""
    async with store.transaction() as tx:
        await tx.execute("UPDATE dataset SET thread_id = 77")

    async def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bot.services.intake.measuring.mark_batches_dirty", die)
        with pytest.raises(KeyboardInterrupt):
            await measuring.measure_all()
    assert await rows(store, "SELECT kind FROM card WHERE kind = 'report'") == []
    await measuring.measure_all()
    assert await rows(store, "SELECT dirty > 0 FROM card WHERE kind = 'report'") == [(1,)]


async def test_a_thread_that_is_made_during_the_comparison_gets_the_report(store, measuring, measurer, batch):
    compare = measurer.compare

    async def slowly(new, old):
        async with store.transaction() as tx:
            await tx.execute("UPDATE dataset SET thread_id = 77")
        return await compare(new, old)

    measurer.compare = slowly
    await measuring.measure_all()
    assert await rows(store, "SELECT channel_id, dirty > 0 FROM card WHERE kind = 'report'") == [(77, 1)]


async def test_after_some_days_dropped_pictures_are_gone_for_good(
    store, files, config, measuring, measurer, quality, batch
):
    await blur(measurer, measuring, batch[0])
    dataset_id = batch[0].dataset_id
    await quality.drop_red(dataset_id, OWNER, (await quality.look(dataset_id)).red_digest)
    await Retention(store, config, files, lambda: NOW + UNDO_DAYS * DAY - 1).nightly()
    assert files.path(batch[0].file).exists()
    await Retention(store, config, files, lambda: NOW + UNDO_DAYS * DAY + 1).nightly()
    assert not files.path(batch[0].file).exists()
    assert len(await rows(store, "SELECT * FROM measure")) == 4
    assert (await quality.look(dataset_id)).last_drop is None


async def test_a_deleted_dataset_leaves_nothing(store, files, datasets, measuring, measurer, quality, batch):
    await blur(measurer, measuring, batch[0])
    dataset_id = batch[0].dataset_id
    await quality.drop_red(dataset_id, OWNER, (await quality.look(dataset_id)).red_digest)
    await datasets.delete(dataset_id, OWNER)
    for table in ("picture", "measure", "twin", "dropped", "card"):
        assert await rows(store, f"SELECT * FROM {table}") == [], table
    assert not [picture.file for picture in batch if files.path(picture.file).exists()]


async def test_a_removed_pictures_measures_and_pairs_go_with_it(store, measuring, measurer, captions, batch):
    measurer.pairs = [Alike(batch[0].id, batch[1].id, 0.99, False)]
    await measuring.measure_all()
    assert len(await rows(store, "SELECT * FROM twin")) == 1
    await captions.remove(batch[1].id, OWNER)
    assert await rows(store, "SELECT * FROM twin") == []
    assert len(await rows(store, "SELECT * FROM measure")) == 4


async def test_squares_are_suggested_moved_and_reset(crops, measuring, batch):
    await measuring.measure_all()
    view = await crops.all(batch[0].dataset_id, OWNER)
    assert not view.used
    assert [cut.box for cut in view.cuts] == [suggested("character", 1200, 1500, measures())] * 5
    assert [cut.side for cut in view.cuts] == [1200] * 5
    first = batch[0].id
    assert await crops.move(first, OWNER, "down")
    assert not await crops.move(first, OWNER, "left"), "as wide as the picture already"
    moved = (await crops.one(first, OWNER)).cut
    assert moved.chosen
    assert moved.box[1] > view.cuts[0].box[1]
    await crops.reset(first, OWNER)
    assert (await crops.one(first, OWNER)).cut == view.cuts[0]
    for work in (crops.all(batch[0].dataset_id, OTHER), crops.one(first, OTHER), crops.move(first, OTHER, "up")):
        with pytest.raises(NotYours):
            await work
    with pytest.raises(NotFound):
        await crops.one(999, OWNER)


async def test_squares_are_used_when_said(crops, config, batch):
    dataset_id = batch[0].dataset_id
    assert (await crops.use(dataset_id, OWNER, square=True)).square == 1
    assert (await crops.all(dataset_id, OWNER)).used
    await crops.use(dataset_id, OWNER, square=False)
    assert not (await crops.all(dataset_id, OWNER)).used


async def test_a_dropped_picture_is_no_longer_shown_in_squares(crops, measuring, measurer, quality, batch):
    await blur(measurer, measuring, batch[0])
    dataset_id = batch[0].dataset_id
    await quality.drop_red(dataset_id, OWNER, (await quality.look(dataset_id)).red_digest)
    assert len((await crops.all(dataset_id, OWNER)).cuts) == 4
    assert dataclasses.astuple(await quality.look(dataset_id))[4] == 0


@pytest.fixture
async def pair(store, measurer, measuring, batch):
    """The first picture of a person, as if of 3000 × 1500 pixels, with somebody else beside; all measured."""
    async with store.transaction() as tx:
        await tx.execute("UPDATE dataset SET kind = 'person'")
        await tx.execute("UPDATE picture SET width = 3000, height = 1500 WHERE id = ?", (batch[0].id,))
    two = (face(0.2, 0.2, 0.1, 0.25), face(0.6, 0.2, 0.1, 0.2))
    measurer.faults[batch[0].file] = measures(faces=two)
    await measuring.measure_all()
    return batch[0]


async def test_squares_turn_red_to_green_and_a_nudge_turns_it_back(store, quality, crops, captions, pair):
    async def level():
        report, page = await quality.look(pair.dataset_id), await captions.page(pair.batch_id, 0)
        assert report.pictures[0].verdict == page.verdict, "the pager says what the report says"
        return page.verdict.level

    report = await quality.look(pair.dataset_id)
    assert (await level(), report.mended, report.squares) == (Level.RED, (1,), {})
    await crops.use(pair.dataset_id, OWNER, square=True)
    report = await quality.look(pair.dataset_id)
    assert await level() is Level.GREEN
    assert (report.red, report.mended) == ([], ())
    assert report.squares[pair.id] == (await crops.one(pair.id, OWNER)).cut.box
    with pytest.raises(Refused):
        await quality.drop_red(pair.dataset_id, OWNER, report.red_digest)
    await store_drawn(store)
    for _ in range(8):
        await crops.move(pair.id, OWNER, "right")
    assert await level() is Level.RED
    drawn_again = await rows(store, "SELECT DISTINCT kind FROM card WHERE dirty > 0 ORDER BY kind")
    assert drawn_again == [("batch",), ("report",)], "they say otherwise now"
    await crops.reset(pair.id, OWNER)
    assert await level() is Level.GREEN
    await crops.use(pair.dataset_id, OWNER, square=False)
    assert await level() is Level.RED


async def store_drawn(store):
    """As if the dataset had a report and its batch's pager, both drawn."""
    async with store.transaction() as tx:
        for kind in ("batch", "report"):
            await tx.execute("INSERT OR IGNORE INTO card (kind, ref, channel_id) VALUES (?, '1', 7)", (kind,))
        await tx.execute("UPDATE card SET dirty = 0")


async def test_squares_of_the_hosts_preset_are_judged_without_a_word_of_the_member(
    store, files, config, tagger, quality, crops, pair
):
    training = dataclasses.replace(config.training, preset="face-classic")
    host = dataclasses.replace(config, training=training)
    squares = Quality(store, files, host, Painter())
    report = await squares.look(pair.dataset_id)
    assert (report.red, len(report.squares)) == ([], 5)
    captions = Captions(store, files, tagger, host.tagger, training)
    assert (await captions.page(pair.batch_id, 0)).verdict == report.pictures[0].verdict
    assert (await Crops(store, files, host, Painter()).all(pair.dataset_id, OWNER)).used
    await crops.use(pair.dataset_id, OWNER, square=False)
    assert len((await squares.look(pair.dataset_id)).red) == 1


async def test_the_squares_show_how_they_would_be_judged(crops, pair):
    view = await crops.all(pair.dataset_id, OWNER)
    assert not view.used
    assert [cut.verdict.level for cut in view.cuts] == [Level.GREEN] * 5
    assert [each.level for each in view.kept] == [Level.RED] + [Level.GREEN] * 4
    for _ in range(8):
        await crops.move(pair.id, OWNER, "right")
    assert (await crops.one(pair.id, OWNER)).cut.verdict.level is Level.RED


async def test_an_answers_undo_is_for_its_own_drop_alone(store, files, config, measurer, measuring, batch):
    times = iter((NOW, NOW + 1))
    quality = Quality(store, files, config, Painter(), lambda: next(times))
    dataset_id = batch[0].dataset_id
    await blur(measurer, measuring, batch[0])
    await quality.drop_red(dataset_id, OWNER, (await quality.look(dataset_id)).red_digest)
    first = (await quality.look(dataset_id)).last_drop.number
    async with store.transaction() as tx:
        await tx.execute("DELETE FROM measure WHERE file = ?", (batch[1].file,))
    await blur(measurer, measuring, batch[1])
    await quality.drop_red(dataset_id, OWNER, (await quality.look(dataset_id)).red_digest)
    second = (await quality.look(dataset_id)).last_drop.number
    with pytest.raises(Refused, match="Others were dropped since"):
        await quality.undo(dataset_id, OWNER, first)
    assert await quality.undo(dataset_id, OWNER, second) == (1, 0)
    assert await quality.undo(dataset_id, OWNER, first) == (1, 0)
