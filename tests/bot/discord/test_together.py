"""Where checks, captions and sharing meet: helpers' checks and bulk edits, copies and merges of checked pictures."""

import hashlib
import io

import aiohttp
import pytest
from PIL import Image

from bot.demo.harness import free, until
from bot.rules.bulk.captions import tag_code
from bot.threads import _create
from tests.bot.conftest import encoded
from tests.bot.discord.lab import all_text, buttons, custom_ids
from tests.bot.discord.test_check import report_of, textured

pytestmark = pytest.mark.slow

FINE = (640, 640)
"""Of a picture that is small for SDXL and may stay; textured()'s own size is red."""


def mirrored(data: bytes) -> bytes:
    return encoded(Image.open(io.BytesIO(data)).transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG")


def report(lab, thread) -> list:
    """The report; for a moment none, while it moves to the end of the thread."""
    return lab.cards(thread, "report-crop")[-1:]


def labels(lab, thread) -> str:
    return str([each.label for card in report(lab, thread) for each in buttons(card)])


async def measured(lab):
    """Every picture is tagged, measured and compared."""
    done = "SELECT tagged AND compared AS done FROM picture"
    await lab.until_rows(done, lambda rows: rows and all(row["done"] for row in rows))


@pytest.fixture
async def thread(lab):
    """Alice's dataset, with which bob helps: two pictures that may stay, and between them a small one."""
    made = await lab.create()
    files = [("a.png", textured(1, FINE)), ("small.png", textured(2)), ("c.png", textured(3, FINE))]
    await lab.batch(made, files)
    question = await lab.answer(await lab.press(lab.alice, await lab.card(made, "add"), "helpers"))
    await free(lab.env)
    await lab.alice.select(question.message, [lab.bob], custom_id=next(iter(custom_ids(question.message))))
    await lab.until_rows("SELECT state FROM helper", lambda rows: [row["state"] for row in rows] == ["active"])
    await measured(lab)
    return made


async def remove_solo(lab, thread):
    """Bob takes `solo` out of every caption; the card with its Undo."""
    card = await lab.shown(await lab.slash(lab.bob, thread, "captions tags"), "Captions of")
    tag = await lab.shown(await lab.choose(lab.bob, card, "tags-pick", tag_code("solo")), "in 3 of")
    offer = await lab.shown(await lab.press(lab.bob, tag, "tag-remove"), "3 of 3")
    return await lab.shown(await lab.press(lab.bob, offer, "edit-apply"), "3 captions changed")


async def test_a_helper_edits_in_bulk_checks_drops_red_and_undoes_all_of_it(lab, thread):
    before = await lab.captions()
    done = await remove_solo(lab, thread)
    assert all("solo" not in caption for caption in await lab.captions())
    await lab.said(await lab.slash(lab.bob, thread, "dataset check"), "end of")
    await until(lambda: "Drop 1 red" in labels(lab, thread), "red")
    await lab.said(await lab.press(lab.bob, await lab.card(thread, "report-crop"), "report-drop"), "1 picture dropped")
    await lab.until_rows("SELECT id FROM picture", lambda rows: [row["id"] for row in rows] == [1, 3])
    await until(
        lambda: any("report-undo" in each for each in (i for c in report(lab, thread) for i in custom_ids(c))), "undo"
    )
    await lab.said(
        await lab.press(lab.bob, await lab.card(thread, "report-crop"), "report-undo"), "1 picture brought back"
    )
    # The dropped picture's part in the bulk edit came back with it.
    await lab.shown(await lab.press(lab.bob, done, "edit-undo"), "3 captions restored")
    assert await lab.captions() == before
    history = await lab.said(await lab.slash(lab.alice, thread, "captions history"), "solo")
    assert f"<@{lab.bob.id}>" in history


async def test_a_helper_moves_a_square_from_the_pager_and_nobody_else_does(lab, thread):
    pager = await lab.card(thread, "cap-next")
    opened = await lab.press(lab.bob, pager, "crop-open:1")
    await lab.said(opened, "1 / 3")
    one = await lab.answer(opened)
    assert opened.ephemeral
    await lab.press(lab.bob, one.message, "crop-move:1:closer")
    await until(lambda: "no more room" in all_text(one.message), "the reason")
    await lab.press(lab.bob, one.message, "crop-one:2")
    await until(lambda: "2 / 3" in all_text(one.message), "the next picture")
    assert pager.id == (await lab.card(thread, "cap-next")).id, "the pager stays"
    stranger = lab.guild.add_member(lab.env.create_user("eve"))
    await lab.said(await lab.press(stranger, pager, "crop-open:1"), "somebody else")
    await lab.said(await lab.press(stranger, pager, "cap-tags"), "somebody else")


async def test_red_ones_alone_on_the_pager_until_they_are_gone(lab, thread):
    card = await lab.card(thread, "cap-next")

    def now():
        return next(each for each in thread.history() if each.id == card.id)

    await until(lambda: "v1:cap-red:1" in custom_ids(now()), "the filter")
    await lab.press(lab.bob, now(), "cap-red")
    red = await lab.until_card(thread, card.id, "1 / 1 red · #2")
    assert "96 × 96" in all_text(red)
    assert all(len(row.children) <= 3 for row in red.components[0].children if hasattr(row, "children"))
    await lab.restart()
    question = await lab.answer(await lab.press(lab.bob, red, "cap-remove:2"))
    await lab.press(lab.bob, question.message, "cap-remove-yes")
    shown = await lab.until_card(thread, card.id, "1 / 2 · #1")
    assert not any("cap-red" in each or "cap-all" in each for each in custom_ids(shown))
    await until(lambda: report(lab, thread) and "Drop" not in labels(lab, thread), "no red")


async def test_a_copy_is_checked_anew_and_writes_captions_alike(lab, thread):
    await lab.bot.services.bulk.settings.change(1, lab.bob.id, undesired=("smile",))
    await lab.bot.services.checks.crops.use(1, lab.bob.id, square=True)
    question = await lab.answer(await lab.slash(lab.alice, thread, "dataset copy"))
    await lab.press(lab.alice, question.message, "copy-yes")
    copy = (await until(lambda: lab.lobby.threads[1:], "the copy's thread"))[0]
    await measured(lab)
    assert "small" in all_text(await lab.card(copy, "report-crop")).lower()
    found = await lab.rows("SELECT tag_options, square FROM dataset")
    assert found[0] == found[1]
    assert "smile" in found[1]["tag_options"]


async def test_a_copy_that_is_compared_before_its_thread_is_made_gets_its_report_with_it(lab, thread, monkeypatch):
    async def late(dataset, channel):
        await measured(lab)
        return await _create(dataset, channel)

    monkeypatch.setattr("bot.threads._create", late)
    question = await lab.answer(await lab.slash(lab.alice, thread, "dataset copy"))
    await lab.press(lab.alice, question.message, "copy-yes")
    copy = (await until(lambda: lab.lobby.threads[1:], "the copy's thread"))[0]
    assert "small" in all_text(await lab.card(copy, "report-crop")).lower()


async def test_merged_pictures_are_compared_with_those_there_and_an_older_edit_leaves_them(lab, thread):
    done = await remove_solo(lab, thread)
    other = await lab.create("Eva", "evaxl")
    await lab.batch(other, [("twin.png", mirrored(textured(1, FINE)))])
    await measured(lab)
    plan = await lab.bot.services.arrange.merge(2, 1, lab.alice.id)
    assert plan.moving == 3
    card = await lab.card(other, "report-crop")
    await until(
        lambda: "the same picture twice" in "".join(map(all_text, report(lab, other))), f"the twins on {card.id}"
    )
    captions = await lab.captions()
    assert all(caption.startswith("evaxl, woman, ") for caption in captions)
    await lab.said(await lab.press(lab.bob, done, "edit-undo"), "edited since")
    assert await lab.captions() == captions


async def test_a_page_upload_is_measured_and_the_page_shows_the_verdict(lab):
    thread = await lab.create()
    result = await lab.press(lab.alice, await lab.card(thread, "add"), "page")
    link = next(each.url for each in buttons((await lab.answer(result)).message) if each.url)
    address, _, secret = link.partition("#")
    headers = {"Authorization": f"Bearer {secret}"}
    data = textured(1)
    async with aiohttp.ClientSession(headers=headers) as session:
        target = f"{address}api/file/{hashlib.sha256(data).hexdigest()}"
        async with session.put(target, params={"name": "a.png"}, data=data) as answer:
            assert (await answer.json())["state"] == "added"
        assert "small" in all_text(await report_of(lab, thread, "1 better dropped")).lower()
        async with session.get(f"{address}api/dataset") as answer:
            picture = (await answer.json())["pictures"][0]
    assert picture["level"] == "red"
    assert "96 × 96" in picture["why"]
