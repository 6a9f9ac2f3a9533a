"""The pager's further ways: tags of one picture by menu, going to a number, uncaptioned ones alone; tagger options."""

import dataclasses

import pytest

from bot.demo.harness import until
from bot.rules.bulk.captions import tag_code
from tests.bot.discord.lab import all_text, custom_ids

pytestmark = pytest.mark.slow


async def write(lab, **captions):
    """Captions by picture: `p1="lisaxl, woman, hat"`."""
    async with lab.bot.services.store.transaction() as tx:
        for name, caption in captions.items():
            await tx.execute("UPDATE picture SET caption = ? WHERE id = ?", (caption, int(name[1:])))


async def test_tags_of_one_picture_are_chosen_several_at_once(lab, pictures):
    thread = await lab.create()
    card = await lab.batch(thread, pictures(2))
    await lab.until_rows("SELECT tagged FROM picture", lambda rows: all(row["tagged"] for row in rows))
    await write(lab, p1="lisaxl, woman, hat, smile, She sits, reading.", p2="lisaxl, woman, beard, glasses")
    menu = await lab.shown(await lab.press(lab.alice, card, "cap-tags"), "#1")
    keep = next(each for each in _selects(menu) if "keep" in each.custom_id)
    assert [(option.label, option.default) for option in keep.options] == [("hat", True), ("smile", True)]
    menu = await lab.shown(
        await lab.choose(lab.alice, menu, "cap-tags-keep", tag_code("smile")), "> lisaxl, woman, smile"
    )
    result = await lab.choose(lab.alice, menu, "cap-tags-more", tag_code("glasses"), tag_code("beard"))
    await lab.shown(result, "beard")
    assert (await lab.captions())[0] == "lisaxl, woman, smile, glasses, beard, She sits, reading."
    await lab.until_card(thread, card.id, "beard")
    await lab.said(await lab.press(lab.bob, card, "cap-tags"), "somebody else")


async def test_a_menu_of_an_older_caption_changes_nothing(lab, pictures):
    thread = await lab.create()
    card = await lab.batch(thread, pictures(1))
    menu = await lab.shown(await lab.press(lab.alice, card, "cap-tags"), "#1")
    edit = await lab.form(card, "cap-edit")
    await lab.submit(edit, caption="by hand")
    await lab.until_card(thread, card.id, "by hand")
    await lab.said(await lab.choose(lab.alice, menu, "cap-tags-keep"), "changed meanwhile")
    assert await lab.captions() == ["lisaxl, woman, by hand"]


async def test_going_to_a_number_on_this_card_and_on_another(lab, pictures):
    thread = await lab.create()
    first = await lab.batch(thread, pictures(2))
    second = await lab.batch(thread, pictures(2, first=2))
    assert "#3" in all_text(second)
    form = await lab.form(second, "cap-jump")
    await lab.submit(form, pictures="#4")
    await lab.until_card(thread, second.id, "2 / 2")
    form = await lab.form(second, "cap-jump")
    await lab.said(await lab.submit(form, pictures="2"), f"/{first.id}")
    await lab.until_card(thread, first.id, "2 / 2")
    for wrong, why in (("9", "1 to 4"), ("two", "number")):
        form = await lab.form(second, "cap-jump")
        await lab.said(await lab.submit(form, pictures=wrong), why)
    await lab.said(await lab.press(lab.bob, second, "cap-jump"), "somebody else")


async def test_uncaptioned_pictures_alone_until_there_are_none(lab, pictures):
    thread = await lab.create()
    card = await lab.batch(thread, pictures(3))
    await lab.until_rows("SELECT tagged FROM picture", lambda rows: all(row["tagged"] for row in rows))
    await write(lab, p2="lisaxl, woman", p3="lisaxl, woman")
    await lab.slash(lab.alice, thread, "dataset captions")
    card = await lab.until_card(thread, card.id, "1 / 3")
    await until(lambda: any("cap-bare" in each for each in custom_ids(_now(thread, card))), "the filter")
    await lab.said(await lab.press(lab.bob, _now(thread, card), "cap-bare"), "somebody else")
    await lab.press(lab.alice, _now(thread, card), "cap-bare")
    card = await lab.until_card(thread, card.id, "1 / 2 uncaptioned · #2")
    await lab.restart()
    form = await lab.form(card, "cap-edit:2")
    await lab.submit(form, caption="hat")
    card = await lab.until_card(thread, card.id, "1 / 1 uncaptioned · #3")
    await lab.press(lab.alice, card, "cap-all")
    card = await lab.until_card(thread, card.id, "1 / 3")
    assert "v1:cap-bare:1" in custom_ids(card)
    await lab.press(lab.alice, card, "cap-bare")
    card = await lab.until_card(thread, card.id, "1 / 1 uncaptioned")
    form = await lab.form(card, "cap-edit:3")
    await lab.submit(form, caption="hat")
    card = await lab.until_card(thread, card.id, "1 / 3")
    assert not any("cap-bare" in each or "cap-all" in each for each in custom_ids(card))


async def test_tagger_options_are_kept_and_used(lab, pictures):
    thread = await lab.create()
    await lab.batch(thread, pictures(1))
    await lab.said(await lab.slash(lab.bob, thread, "captions options"), "somebody else")
    card = await lab.shown(await lab.slash(lab.alice, thread, "captions options"), "Tagger of")
    form = await lab.form(card, "tagger-words")
    await lab.submit(
        form, undesired="smile, @everyone", replaced="solo -> alone\nbright background -> daylight", first=""
    )
    card = await lab.shown(await lab.slash(lab.alice, thread, "captions options"), "alone")
    assert "@everyone" not in all_text(card)
    form = await lab.form(card, "tagger-words")
    await lab.said(await lab.submit(form, undesired="", replaced="solo", first=""), "one replacement a line")
    form = await lab.form(card, "tagger-model")
    chosen = {"model": ["-"], "profile": ["plain"], "names": ["keep"], "extras": ["last", "underscores"]}
    await lab.said(await lab.submit(form, cut="2", **chosen), "from 0 to 1")
    form = await lab.form(card, "tagger-model")
    card = await lab.shown(await lab.submit(form, cut="0,3", **chosen), "Thresholds** tags 0.3, names 0.3")
    await lab.restart()
    await lab.add(thread, pictures(1, first=1))
    rows = await lab.until_rows("SELECT * FROM picture", lambda found: len(found) == 2 and found[1]["tagged"])
    words = rows[1]["caption"].split(", ")
    assert words[2] == "alone"
    assert words[-1] == "general"
    assert "smile" not in words
    assert "looking_at_viewer" in words
    card = await lab.shown(await lab.slash(lab.alice, thread, "captions options"), "alone")
    card = await lab.shown(await lab.press(lab.alice, card, "tagger-reset"), "0.35, names 0.85")
    form = await lab.press(lab.alice, card, "tagger-again")
    await until(lambda: form.modal, "a modal")
    offer = await lab.shown(await lab.submit(form, mode=["overwrite"], pictures="2"), "1 of 2")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "done")
    assert "solo" in (await lab.captions())[1]


@pytest.fixture
def quick(quick, tiny_tagger):
    """A host that offers the members a second model."""
    return dataclasses.replace(
        quick, tagger=dataclasses.replace(quick.tagger, models=("nobody/other", str(tiny_tagger)))
    )


async def test_another_model_can_be_chosen_of_those_the_host_offers(lab, pictures):
    thread = await lab.create()
    await lab.batch(thread, pictures(1))
    card = await lab.shown(await lab.slash(lab.alice, thread, "captions options"), "Tagger of")
    form = await lab.form(card, "tagger-model")
    models = form.modal["components"][0]["component"]["options"]
    assert [each["label"] for each in models][1:] == ["other", "tiny-tagger0"]
    plain = {"profile": ["plain"], "names": ["keep"], "cut": "auto", "extras": []}
    await lab.shown(await lab.submit(form, model=[lab.config.tagger.models[1]], **plain), "MCut")
    card = await lab.shown(await lab.slash(lab.alice, thread, "captions options"), "MCut")
    assert (await lab.rows("SELECT tag_options FROM dataset"))[0]["tag_options"].count("tiny-tagger") == 1


def _selects(message):
    return [each for part in message.components for row in part.children for each in getattr(row, "children", [])]


def _now(thread, card):
    return next(each for each in thread.history() if each.id == card.id)
