"""Captions: the tagger writes them, people mend them, and nobody's work is lost."""

import pytest

from bot.errors import NotFound, NotYours, TaggerError
from bot.services.dataset.captions import CaptionChanged
from bot.store.cards import add_card
from tests.bot.conftest import make_picture
from tests.bot.services.conftest import OTHER, OWNER, incoming, rows, tag_all


@pytest.fixture
async def batch(intake, dataset):
    """Three pictures just added."""
    offered = [incoming(f"{seed}.jpg", make_picture(seed=seed)) for seed in range(3)]
    return await intake.add(dataset.id, OWNER, "m", offered)


async def test_the_tagger_writes_captions(captions, batch, tagger, files):
    assert await tag_all(captions, batch.batch.id) == 3
    assert tagger.asked == [files.path(picture.file) for picture in batch.added]
    page = await captions.page(batch.batch.id, 0)
    assert page.picture.caption == "lisaxl, woman, smile"  # 1girl says woman again, a character's name has no place
    assert page.picture.tagged
    assert await tag_all(captions, batch.batch.id) == 0
    assert len(tagger.asked) == 3


async def clean_card(store, batch_id):
    """The batch's card as it is once it was drawn; what follows has to make it dirty."""
    async with store.transaction() as tx:
        await add_card(tx, "batch", batch_id, 77)
        await tx.execute("UPDATE card SET dirty = 0, urgent = 0")


@pytest.mark.parametrize("what", ["tagged", "edited", "tags", "removed"])
async def test_the_cards_follow_in_the_same_transaction(captions, batch, store, what):
    """Between two of them a crash could come, and the card would show the old text for good."""
    picture = batch.added[0]
    await clean_card(store, batch.batch.id)
    match what:
        case "tagged":
            await captions.tag_part(batch.batch.id)
        case "edited":
            await captions.edit(picture.id, OWNER, "my words", 0, redraw=True)
        case "tags":
            await captions.change_tags(picture.id, OWNER, 0, [], ["smile"])
        case "removed":
            await captions.remove(picture.id, OWNER)
    assert await rows(store, "SELECT dirty, urgent FROM card WHERE kind = 'batch'") == [(1, 1)]


async def test_a_style_keeps_characters(captions, intake, datasets, asked):
    style = await datasets.create(asked(name="Ink", trigger="inky", class_word="", kind="style"))
    report = await intake.add(style.id, OWNER, "m", [incoming("a.jpg", make_picture())])
    await tag_all(captions, report.batch.id)
    assert (await captions.get(report.added[0].id)).caption == "inky, 1girl, smile, some heroine"


async def test_a_broken_tagger_leaves_the_first_captions_and_is_made_good(captions, batch, tagger):
    tagger.broken = True
    with pytest.raises(TaggerError):
        await tag_all(captions, batch.batch.id)
    page = await captions.page(batch.batch.id, 0)
    assert page.picture.caption == "lisaxl, woman"
    assert any("no tags yet" in problem for problem in page.problems)
    tagger.broken = False
    assert await tag_all(captions, batch.batch.id) == 3
    assert (await captions.page(batch.batch.id, 0)).picture.tagged


async def test_a_person_is_faster_than_the_tagger(captions, batch, tagger):
    first, second, _ = batch.added

    async def meanwhile() -> None:
        await captions.edit(first.id, OWNER, "my words", 0)
        await captions.remove(second.id, OWNER)

    tagger.meanwhile = meanwhile
    assert await tag_all(captions, batch.batch.id) == 1
    assert (await captions.get(first.id)).caption == "lisaxl, woman, my words"


async def test_a_picture_that_cannot_be_opened_keeps_its_prefix_and_is_asked_about_once(captions, batch, tagger, store):
    tagger.gone = {1}
    assert await tag_all(captions, batch.batch.id) == 3
    assert (await captions.get(batch.added[1].id)).caption == "lisaxl, woman"
    assert await tag_all(captions, batch.batch.id) == 0
    assert len(tagger.asked) == 3


async def test_an_edit_is_cleaned_and_counted(captions, batch):
    edited = await captions.edit(batch.added[0].id, OWNER, "Smile,, woman , lisaxl", 0)
    assert edited.caption == "lisaxl, woman, Smile"
    assert edited.revision == 1
    assert edited.tagged
    assert await captions.get(edited.id) == edited


async def test_an_edit_of_an_old_text_is_refused_with_both_texts(captions, batch):
    picture = batch.added[0]
    await captions.edit(picture.id, OWNER, "first", 0)
    with pytest.raises(CaptionChanged) as refusal:
        await captions.edit(picture.id, OWNER, "second", 0)
    assert refusal.value.picture.caption == "lisaxl, woman, first"
    assert refusal.value.caption == "lisaxl, woman, second"
    assert (await captions.get(picture.id)).caption == "lisaxl, woman, first"
    same = await captions.edit(picture.id, OWNER, "lisaxl, first", 0)
    assert (same.caption, same.revision) == ("lisaxl, woman, first", 1), "nothing is lost, so nobody is asked"


async def test_an_edit_of_a_provisional_caption_does_not_replace_the_taggers(captions, batch):
    picture = batch.added[0]
    await tag_all(captions, batch.batch.id)
    tagged = await captions.get(picture.id)
    assert (tagged.revision, tagged.tagged) == (picture.revision, 1)
    with pytest.raises(CaptionChanged):
        await captions.edit(picture.id, OWNER, "hat", picture.revision, tagged=False)
    assert await captions.get(picture.id) == tagged
    edited = await captions.edit(picture.id, OWNER, "hat", picture.revision, tagged=True)
    assert edited.caption == "lisaxl, woman, hat"


async def test_pages(captions, batch):
    ids = [picture.id for picture in batch.added]
    for asked, index in ((0, 0), (2, 2), (7, 2), (-1, 0)):
        page = await captions.page(batch.batch.id, asked)
        assert (page.index, page.total, page.number) == (index, 3, index + 1)
        assert page.picture.id == ids[index]


async def test_numbers_count_in_the_dataset(captions, intake, dataset, batch):
    later = await intake.add(dataset.id, OWNER, "m2", [incoming("z.jpg", make_picture(seed=9))])
    page = await captions.page(later.batch.id, 0)
    assert (page.index, page.total, page.number) == (0, 1, 4)


async def test_removing_takes_the_file_too(captions, batch, files, store):
    removed = await captions.remove(batch.added[1].id, OWNER)
    assert (removed.left_in_batch, removed.left_in_dataset) == (2, 2)
    assert not files.path(batch.added[1].file).exists()
    assert files.path(batch.added[0].file).exists()
    for picture in (batch.added[0], batch.added[2]):
        await captions.remove(picture.id, OWNER)
    with pytest.raises(NotFound, match="All pictures"):
        await captions.page(batch.batch.id, 0)
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(0,)]


async def test_a_file_that_another_dataset_needs_stays(captions, batch, intake, datasets, asked, files):
    other = await datasets.create(asked(name="Other", owner_id=OTHER))
    shared = await intake.add(other.id, OTHER, "m", [incoming("a.jpg", make_picture(seed=0))])
    await captions.remove(batch.added[0].id, OWNER)
    assert files.path(shared.added[0].file).exists()
    await captions.remove(shared.added[0].id, OTHER)
    assert not files.path(shared.added[0].file).exists()


async def test_only_the_owner_changes_anything(captions, batch, datasets, dataset):
    picture = batch.added[0]
    with pytest.raises(NotYours):
        await captions.edit(picture.id, OTHER, "x", 0)
    with pytest.raises(NotYours):
        await captions.remove(picture.id, OTHER)
    await captions.remove(picture.id, OWNER)
    for act in (captions.get(picture.id), captions.edit(picture.id, OWNER, "x", 0), captions.remove(picture.id, OWNER)):
        with pytest.raises(NotFound):
            await act
    await datasets.delete(dataset.id, OWNER)
    with pytest.raises(NotFound):
        await captions.page(batch.batch.id, 0)
