"""The report on a dataset's pictures and the squares, as members see and press them."""

import asyncio
import io
import random

import pytest
from PIL import Image

from bot.demo.harness import until
from tests.bot.conftest import encoded
from tests.bot.discord.lab import all_text, custom_ids
from trainer.contract.folder import JobFolder

pytestmark = pytest.mark.slow


def textured(seed: int, size: tuple[int, int] = (96, 96), blur: bool = False) -> bytes:
    """A sharp picture unlike any other seed's; or a blurred one."""
    rng = random.Random(seed)
    small = Image.frombytes("RGB", (12, 12), bytes(rng.randrange(256) for _ in range(432)))
    image = small.resize(size, Image.Resampling.BICUBIC if blur else Image.Resampling.NEAREST)
    return encoded(image, "PNG")


@pytest.fixture
async def thread(lab):
    """Alice's dataset with four pictures, of which 3 is 2 mirrored; measured."""
    made = await lab.create()
    second = Image.open(io.BytesIO(textured(2)))
    flipped = encoded(second.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG")
    files = [("a.png", textured(1)), ("b.png", textured(2)), ("c.png", flipped), ("d.png", textured(4))]
    await lab.batch(made, files)
    return made


async def report_of(lab, thread, words: str):
    """The report once it says so."""
    card = await lab.card(thread, "report-crop")
    return await lab.until_card(thread, card.id, words)


async def test_a_report_comes_by_itself_after_a_batch(lab, thread):
    card = await report_of(lab, thread, "the same picture twice")
    said = all_text(card)
    assert "**3 (= 2, mirrored)** the same picture twice" in said
    assert "Add pictures: 0 of at least 20 are usable" in said
    assert "Look for yourself" in said
    assert [file.filename for file in card.attachments] == ["report-1.jpg"]
    assert len(lab.cards(thread, "report-crop")) == 1


async def test_the_report_moves_below_the_next_batch_and_there_is_one(lab, thread):
    before = await report_of(lab, thread, "the same picture twice")
    await lab.batch(thread, [("e.png", textured(5))])
    await until(lambda: before.id not in {each.id for each in thread.history()}, "the old report's end")
    after = await lab.card(thread, "report-crop")
    assert thread.history()[-1].id == after.id
    assert len(lab.cards(thread, "report-crop")) == 1


async def test_check_brings_the_report_to_the_end(lab, thread):
    before = await report_of(lab, thread, "the same picture twice")
    await lab.post(lab.bob, thread, "nice ones")
    await lab.said(await lab.slash(lab.alice, thread, "dataset check"), f"<#{thread.id}>")
    await until(lambda: before.id not in {each.id for each in thread.history()}, "the old report's end")
    assert thread.history()[-1].id == (await lab.card(thread, "report-crop")).id
    await lab.said(await lab.slash(lab.bob, thread, "dataset check"), "somebody else")


async def test_check_without_pictures_says_so(lab):
    made = await lab.create()
    await lab.said(await lab.slash(lab.alice, made, "dataset check"), "no pictures to check")
    assert "v1:check:1" not in custom_ids(await lab.card(made, "add")), "nothing to check yet"


async def test_red_ones_are_dropped_by_one_tap_and_brought_back_after_a_restart(lab, thread):
    card = await report_of(lab, thread, "the same picture twice")
    batch = await lab.card(thread, "cap-next")
    await lab.said(await lab.press(lab.bob, card, "report-drop"), "somebody else")
    await lab.said(await lab.press(lab.alice, card, "report-drop"), "4 pictures dropped")
    card = await report_of(lab, thread, "no pictures to check")
    await lab.until_card(thread, (await lab.card(thread, "add")).id, "0 pictures")
    await lab.until_card(thread, batch.id, "All pictures of this batch were removed")
    await lab.restart()
    await lab.said(await lab.press(lab.alice, card, "report-undo"), "4 pictures brought back")
    await report_of(lab, thread, "the same picture twice")
    await lab.until_card(thread, batch.id, "solo")


async def test_the_answer_to_drop_red_names_the_numbers_and_brings_them_back(lab, thread):
    card = await report_of(lab, thread, "the same picture twice")
    pressed = await lab.press(lab.alice, card, "report-drop")
    await lab.said(pressed, "4 pictures dropped: 1-4, as they were numbered")
    await report_of(lab, thread, "no pictures to check")
    await lab.restart()
    answer = pressed.response
    await lab.press(lab.alice, answer.message, "report-undo")
    await until(lambda: "4 pictures brought back" in all_text(answer.message), "the answer to Undo")
    assert custom_ids(answer.message) == [], "it is done"
    await report_of(lab, thread, "the same picture twice")


async def test_each_pictures_verdict_is_on_its_page(lab):
    made = await lab.create()
    batch = await lab.batch(made, [("good.png", textured(1, (1024, 1024))), ("small.png", textured(2))])
    batch = await lab.until_card(made, batch.id, "🟢 Good: sharp, 1024 × 1024 pixels.")
    await lab.press(lab.alice, batch, "cap-next")
    await lab.until_card(made, batch.id, "🔴 Too small: 96 × 96 pixels. Send the originals.")


async def test_squares_turn_a_red_picture_green_everywhere(lab):
    made = await lab.create()
    batch = await lab.batch(made, [("strip.png", textured(1, (1024, 3300)))])
    card = await report_of(lab, made, "Not red any more in a square: **1**")
    await lab.until_card(made, batch.id, "🔴 A long strip: 1024 × 3300 pixels.")
    opened = await lab.press(lab.alice, card, "report-crop")
    await lab.said(opened, "In squares: 🟢 1. In their shapes: 🔴 1.")
    await lab.press(lab.alice, opened.response.message, "crop-use:1:1")
    card = await report_of(lab, made, "🟢 1 good")
    assert not any("report-drop" in each for each in custom_ids(card)), "nothing red is left to drop"
    await lab.until_card(made, batch.id, "🟢 Good: sharp, a square of 1024 × 1024 pixels.")


async def test_who_trains_on_squares_before_the_pictures_were_looked_at_is_asked(lab, monkeypatch):
    measurer = lab.bot.services.checks.measurer
    may_measure, measure = asyncio.Event(), measurer.measure

    async def later(path):
        await may_measure.wait()
        return await measure(path)

    monkeypatch.setattr(measurer, "measure", later)
    made = await lab.create()
    await lab.batch(made, [("a.png", textured(1))])
    plan = await lab.shown(
        await lab.slash(lab.alice, made, "train", preset="face-classic", epochs=7),
        "1 picture is still being looked at: started now, its square would be cut from the middle.",
    )
    assert custom_ids(plan) == ["v1:plan:1:face-classic:7", "v1:start:1:face-classic:7:unseen", "v1:dismiss:1"]
    may_measure.set()
    await report_of(lab, made, "Look for yourself")
    again = await lab.press(lab.alice, plan, "plan")
    shown = await lab.shown(again, "This preset cuts pictures to squares")
    assert custom_ids(shown) == ["v1:start:1:face-classic:7", "v1:dismiss:1"]


async def test_start_anyway_starts(lab, monkeypatch):
    async def never(path):
        await asyncio.Event().wait()

    monkeypatch.setattr(lab.bot.services.checks.measurer, "measure", never)
    made = await lab.create()
    await lab.batch(made, [("a.png", textured(1))])
    plan = await lab.shown(await lab.slash(lab.alice, made, "train", preset="face-classic"), "still being looked at")
    await lab.press(lab.alice, plan, "start")
    await lab.until_rows("SELECT id FROM job", lambda rows: len(rows) == 1)


async def test_an_old_reports_button_drops_nothing(lab, thread):
    card = await report_of(lab, thread, "the same picture twice")
    await lab.bot.services.captions.remove(3, lab.alice.id)
    refused = await lab.press(lab.alice, card, "report-drop")
    await lab.said(refused, "changed meanwhile")
    assert len(await lab.rows("SELECT id FROM picture")) == 3


async def test_squares_are_seen_and_used(lab, thread):
    card = await report_of(lab, thread, "the same picture twice")
    await lab.said(await lab.press(lab.bob, card, "report-crop"), "somebody else")
    opened = await lab.press(lab.alice, card, "report-crop")
    said = await lab.said(opened, "shapes are kept")
    shown = opened.response
    assert opened.ephemeral
    assert "**1, 2, 3, 4** under 512 pixels" in said, "nothing is enlarged in silence"
    await lab.restart()
    await lab.press(lab.alice, shown.message, "crop-use:1:1")
    await lab.until_rows("SELECT square FROM dataset", lambda rows: rows[0]["square"] == 1)
    await report_of(lab, thread, "Judged by their squares")
    await lab.alice.select(shown.message, values=["2"], custom_id="v1:crop-pick:1")
    await until(lambda: "2 / 4" in all_text(shown.message), "the second picture")
    await lab.press(lab.alice, shown.message, "crop-one:3")
    await until(lambda: "3 / 4" in all_text(shown.message), "the next picture")


async def test_a_large_dataset_has_pages(lab, thread, monkeypatch):
    card = await report_of(lab, thread, "the same picture twice")
    monkeypatch.setattr("bot.services.dataset.quality.PAGE", 3)
    await lab.slash(lab.alice, thread, "dataset check")
    await until(lambda: card.id not in {each.id for each in thread.history()}, "the old report's end")
    card = await lab.card(thread, "report-page")
    await lab.said(await lab.press(lab.bob, card, "report-page:1:1:f"), "somebody else")
    await lab.press(lab.alice, card, "report-page:1:1:f")
    await until(lambda: "v1:report-page:1:0:b" in custom_ids(lab.cards(thread, "report-page")[-1]), "the second page")
    assert "v1:report-page:1:1:f" not in custom_ids(lab.cards(thread, "report-page")[-1]), "nothing after the last"


@pytest.fixture
async def wide(lab):
    """A dataset with one wide picture; its square moves sideways."""
    made = await lab.create()
    await lab.batch(made, [("wide.png", textured(1, (192, 96)))])
    return made


async def test_one_square_is_moved_by_buttons_and_reset(lab, wide):
    card = await report_of(lab, wide, "Look for yourself")
    opened = await lab.press(lab.alice, card, "report-crop")
    await lab.said(opened, "shapes are kept")
    shown = opened.response
    await lab.alice.select(shown.message, values=["1"], custom_id="v1:crop-pick:1")
    one = await until(lambda: _with(shown, "crop-move"), "the square's buttons")
    assert "96 × 96 of 192 × 96 pixels, suggested" in all_text(one)
    assert "enlarged to 1024 to train" in all_text(one)
    await lab.press(lab.alice, one, "crop-move:1:left")
    moved = await lab.until_rows("SELECT focus FROM picture", lambda rows: rows[0]["focus"] != "")
    one = await until(lambda: _with(shown, "crop-reset"), "the reset button")
    await lab.press(lab.alice, one, "crop-move:1:up")
    await until(lambda: "no more room" in all_text(shown.message), "the reason")
    assert await lab.rows("SELECT focus FROM picture") == moved
    await lab.press(lab.alice, one, "crop-reset")
    await lab.until_rows("SELECT focus FROM picture", lambda rows: rows[0]["focus"] == "")
    await lab.press(lab.alice, one, "crop-all")
    await until(lambda: _with(shown, "crop-use"), "all squares")


def _with(shown, action: str):
    """The member's own message as it is now, once it has that button to press."""
    message = shown.message
    return message if any(each.split(":")[1] == action for each in custom_ids(message)) else None


async def test_a_training_carries_squares_and_focus(lab, wide):
    await report_of(lab, wide, "Look for yourself")
    crops, training = lab.bot.services.checks.crops, lab.bot.services.jobs.training
    await crops.move(1, lab.alice.id, "left")
    await crops.use(1, lab.alice.id, square=True)
    box = (await crops.one(1, lab.alice.id)).cut.box
    job = await training.submit(1, lab.alice.id)
    spec = JobFolder(lab.config.paths.jobs / job.id).spec()
    assert spec.config.square
    assert spec.pictures[0].focus == box


async def test_others_are_answered_while_pictures_are_measured(lab, monkeypatch):
    """The measuring process hangs; nobody waits for it."""
    asked = asyncio.Event()

    async def never(path):
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(lab.bot.services.checks.measurer, "measure", never)
    made = await lab.create()
    await lab.batch(made, [("a.png", textured(1))])
    await asked.wait()
    await lab.said(await lab.slash(lab.alice, made, "dataset list"), "lisaxl")
    await lab.said(await lab.slash(lab.alice, made, "dataset check"), "end of")
    assert "1 picture still being looked at" in all_text(await report_of(lab, made, "still being looked at"))
