"""Pictures handed over in every way there is, and what is answered."""

import asyncio
import dataclasses

import discord
import pytest

from bot.demo.harness import until
from bot.errors import StoreError
from tests.bot.discord.lab import all_text

pytestmark = pytest.mark.slow


async def pictures_of(lab) -> list[str]:
    """Names of all stored pictures, as the members called them."""
    return [row["file_name"] for row in await lab.rows("SELECT file_name FROM picture ORDER BY id")]


async def test_add_takes_attachments_and_answers_with_one_card(lab, pictures):
    thread = await lab.create()
    said = await lab.add(thread, pictures(3))
    assert "Added 3 pictures" in said
    card = await lab.card(thread, "cap-next")
    card = await lab.until_card(thread, card.id, "lisaxl, woman, ")
    assert "1 / 3" in all_text(card)
    assert "96×96" in all_text(card)
    assert [attachment.filename for attachment in card.attachments] == ["picture-1.jpg"]
    assert len(lab.cards(thread, "cap-next")) == 1
    dataset_card = await lab.card(thread, "add")
    await lab.until_card(thread, dataset_card.id, "3 pictures")


async def test_add_works_elsewhere_by_name_and_asks_when_unclear(lab, pictures):
    first = await lab.create("Lisa", "lisaxl")
    (file,) = pictures(1)
    await lab.said(
        await lab.slash(lab.alice, lab.lobby, "dataset add", picture1=file, dataset="lisa"),
        "Added 1 picture",
    )
    await lab.create("Eva", "evaxl")
    unclear = await lab.slash(lab.alice, lab.lobby, "dataset add", picture1=file)
    await lab.said(unclear, "which dataset")
    unknown = await lab.slash(lab.alice, lab.lobby, "dataset add", picture1=file, dataset="nobody")
    await lab.said(unknown, "no dataset of that name")
    stranger = await lab.slash(lab.bob, first, "dataset add", picture1=file)
    await lab.said(stranger, "somebody else")
    assert len(await pictures_of(lab)) == 1


async def test_the_upload_form_takes_ten_files_even_across_a_restart_until_the_dataset_is_full(lab, pictures):
    thread = await lab.create()
    shown = await lab.form(await lab.card(thread, "add"), "add:")
    await lab.restart()
    result = await lab.submit(shown, pictures=pictures(10))
    await lab.said(result, "Added 10 pictures")
    assert await pictures_of(lab) == [name for name, _ in pictures(10)]
    said = await lab.add(thread, pictures(2, first=10))
    assert "Added 1 picture" in said
    assert "11 pictures is the most" in said
    assert "No picture was added" in await lab.add(thread, pictures(1, first=30))


async def test_the_upload_command_opens_the_form_for_the_owner_only(lab):
    thread = await lab.create()
    opened = await lab.slash(lab.alice, thread, "dataset upload")
    await until(lambda: opened.modal, "the form")
    refused = await lab.slash(lab.bob, thread, "dataset upload")
    assert refused.modal is None
    await lab.said(refused, "somebody else")
    pressed = await lab.press(lab.bob, await lab.card(thread, "add"), "add:")
    await lab.said(pressed, "somebody else")


async def test_the_message_menu_elsewhere_takes_the_only_dataset_or_asks(lab, pictures):
    await lab.create()
    post = await lab.post(lab.alice, lab.lobby, "look", pictures(2))
    result = await lab.menu(lab.alice, lab.lobby, post)
    await lab.said(result, "Added 2 pictures")
    await lab.create("Eva", "evaxl")
    other = await lab.post(lab.alice, lab.lobby, "more", pictures(1, first=5))
    question = await lab.answer(await lab.menu(lab.alice, lab.lobby, other))
    await lab.restart()
    chosen = await lab.alice.select(question.message, ["2"], custom_id=f"v1:pick:{lab.lobby.id}:{other.id}")
    await lab.said(chosen, "Added 1 picture")
    rows = await lab.rows("SELECT dataset_id FROM picture ORDER BY id")
    assert [row["dataset_id"] for row in rows] == [1, 1, 2]


async def test_the_message_menu_refuses_what_is_not_ones_own(lab, pictures):
    await lab.create()
    foreign = await lab.post(lab.bob, lab.lobby, "mine", pictures(1))
    refused = await lab.menu(lab.alice, lab.lobby, foreign)
    await lab.said(refused, "your own messages")
    bare = await lab.post(lab.alice, lab.lobby, "no picture")
    await lab.said(await lab.menu(lab.alice, lab.lobby, bare), "no picture attached")
    await lab.said(await lab.menu(lab.bob, lab.lobby, foreign), "no dataset here")
    assert await pictures_of(lab) == []


async def test_posts_count_in_the_datasets_thread_and_from_its_owner_only(lab, pictures):
    thread = await lab.create()
    for actor, place in ((lab.bob, thread), (lab.alice, lab.lobby)):
        await lab.post(actor, place, "", pictures(1, first=20))
    await lab.post(lab.alice, thread, "just talking")
    post = await lab.post(lab.alice, thread, "here", pictures(2))
    await lab.card(thread, "cap-next")
    assert await pictures_of(lab) == ["IMG_2040.jpg", "IMG_2041.jpg"]
    # The menu on a post that was taken already adds nothing and says so.
    result = await lab.menu(lab.alice, thread, post)
    await lab.said(result, "already")
    assert len(await pictures_of(lab)) == 2
    assert len(lab.cards(thread, "cap-next")) == 1


async def test_bad_files_and_duplicates_are_named_and_the_rest_goes_on(lab, pictures):
    thread = await lab.create()
    await lab.batch(thread, pictures(1))
    good, known = pictures(1, first=1)[0], pictures(1)[0]
    mixed = [("notes.txt", b"hello"), good, known, ("cut @everyone.jpg", good[1][:400]), ("empty.png", b"")]
    await lab.post(lab.alice, thread, "", mixed)
    card = await until(lambda: lab.cards(thread, "cap-next")[1:], "the second card")
    shown = all_text(card[0])
    for name in ("notes.txt", "IMG_2040.jpg", "cut", "empty.png"):
        assert name in shown
    assert "1 / 1" in shown
    turned = await lab.form(await lab.captioned(thread, card[0].id), "cap-edit")
    await lab.submit(turned, caption="still there")
    redrawn = await lab.until_card(thread, card[0].id, "still there")
    assert "notes.txt" in all_text(redrawn), "what was refused stays on the card when it is drawn anew"
    assert await pictures_of(lab) == ["IMG_2040.jpg", "IMG_2041.jpg"]


async def test_only_bad_files_get_sentences_and_no_card(lab):
    thread = await lab.create()
    said = await lab.add(thread, [("virus.exe", b"MZ" + bytes(100)), ("empty.jpg", b"")])
    assert "No picture was added" in said
    assert "virus.exe" in said
    assert "empty.jpg" in said
    await lab.post(lab.alice, thread, "", [("bad.gif", b"GIF89a-not-really")])
    reply = await until(lambda: [m for m in thread.history() if "bad.gif" in m.content], "a reply")
    assert reply[0].reference is not None
    assert lab.cards(thread, "cap-next") == []


async def test_an_attachment_discord_lost_is_a_sentence(lab, pictures):
    thread = await lab.create()
    download = lab.env.bot.http.get_from_cdn
    answers = iter([discord.NotFound(_answer(404), "gone")])

    async def failing(url):
        for error in answers:
            raise error
        return await download(url)

    lab.env.bot.http.get_from_cdn = failing
    said = await lab.add(thread, pictures(2))
    assert "Added 1 picture" in said
    assert "could not be fetched" in said


async def test_a_person_dataset_takes_nothing_before_the_attestation(lab, pictures):
    await lab.slash(
        lab.alice, lab.lobby, "dataset create", name="Lisa", trigger="lisaxl", class_word="woman", kind="person"
    )
    (file,) = pictures(1)
    await lab.said(await lab.slash(lab.alice, lab.lobby, "dataset add", picture1=file), "confirmation")
    assert await pictures_of(lab) == []


async def test_a_bot_that_is_stopped_finishes_what_was_handed_over(lab, pictures, monkeypatch):
    thread = await lab.create()
    download, asked, may_go_on = lab.env.bot.http.get_from_cdn, asyncio.Event(), asyncio.Event()

    async def slow(url):
        asked.set()
        await may_go_on.wait()
        return await download(url)

    monkeypatch.setattr(lab.env.bot.http, "get_from_cdn", slow)
    await lab.post(lab.alice, thread, "here", pictures(2))
    await asked.wait()
    stopping = asyncio.create_task(lab.bot.close())
    await asyncio.sleep(0)
    may_go_on.set()
    await stopping
    await lab.restart()
    assert await pictures_of(lab) == ["IMG_2040.jpg", "IMG_2041.jpg"]
    card = await lab.card(thread, "cap-next")
    await lab.until_card(thread, card.id, "solo")


async def test_a_post_that_meets_a_full_disk_is_read_at_the_next_start(lab, pictures, monkeypatch, caplog):
    thread = await lab.create()

    async def refusing(thread_id):
        raise StoreError("the disk is full")

    monkeypatch.setattr(lab.bot.services.datasets, "for_thread", refusing)
    await lab.post(lab.alice, thread, "here", pictures(2))
    await until(lambda: "a post waits: the disk is full" in caplog.text, "the post in the log")
    await lab.restart()
    card = await lab.card(thread, "cap-next")
    await lab.until_card(thread, card.id, "solo")
    assert await pictures_of(lab) == ["IMG_2040.jpg", "IMG_2041.jpg"]


def _answer(status: int):
    class Answer:
        reason = "injected"

    Answer.status = status
    return Answer()


async def test_posts_that_came_while_the_bot_was_away_are_taken_in_order_and_once(lab, pictures):
    thread = await lab.create()
    await lab.post(lab.alice, thread, "first", pictures(1))
    await lab.post(lab.alice, thread, "", [("bad.gif", b"GIF89a-not-really")])
    await until(lambda: [m for m in thread.history() if "bad.gif" in m.content], "a reply")

    await lab.bot.close()
    await lab.post(lab.alice, thread, "second", pictures(1, first=1))
    await lab.post(lab.bob, thread, "not mine", pictures(1, first=20))
    await lab.post(lab.alice, thread, "third", pictures(1, first=2))
    await lab.restart()
    await lab.until_rows("SELECT * FROM picture", lambda rows: len(rows) == 3)
    assert await pictures_of(lab) == ["IMG_2040.jpg", "IMG_2041.jpg", "IMG_2042.jpg"]

    await lab.restart()
    await lab.post(lab.alice, thread, "fourth", pictures(1, first=3))
    await lab.until_rows("SELECT * FROM picture", lambda rows: len(rows) == 4)
    assert len([m for m in thread.history() if "bad.gif" in m.content]) == 1, "an answer is given once"


async def test_what_was_posted_while_reading_was_off_stays_unread(lab, pictures):
    thread = await lab.create()
    config = lab.config
    lab.config = dataclasses.replace(config, intake=dataclasses.replace(config.intake, message_content=False))
    await lab.restart()
    await lab.post(lab.alice, thread, "not for the bot", pictures(1))
    lab.config = config
    await lab.restart()
    await lab.post(lab.alice, thread, "for the bot", pictures(1, first=1))
    await lab.until_rows("SELECT * FROM picture", lambda rows: len(rows) == 1)
    assert await pictures_of(lab) == ["IMG_2041.jpg"]
