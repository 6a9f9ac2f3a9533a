"""The pager of a batch: turn, edit, remove; and what happens when two want the same or Discord fails."""

import asyncio

import pytest

from bot.demo.harness import until
from bot.errors import TaggerError
from tests.bot.discord.lab import all_text, custom_ids

pytestmark = pytest.mark.slow


async def caption_of(lab, picture_id: int = 1) -> str:
    return (await lab.rows("SELECT caption FROM picture WHERE id = ?", picture_id))[0]["caption"]


async def test_the_pager_turns_within_its_batch_and_remembers_its_page(lab, pictures):
    thread = await lab.create()
    card = await lab.batch(thread, pictures(2))
    assert "v1:cap-prev:1" not in custom_ids(card), "nothing before the first"
    await lab.press(lab.alice, card, "cap-next")
    second = await lab.until_card(thread, card.id, "2 / 2")
    assert [attachment.filename for attachment in second.attachments] == ["picture-2.jpg"]
    assert "v1:cap-next:1" not in custom_ids(second), "nothing after the last"
    await lab.restart()
    await lab.form(second, "cap-edit:2")
    await lab.press(lab.alice, second, "cap-prev")
    await lab.until_card(thread, card.id, "1 / 2")


async def test_an_edit_is_stored_prefixed_once_and_shown_as_written(lab, pictures):
    thread = await lab.create()
    card = await lab.batch(thread, pictures(1))
    shown = await lab.form(card, "cap-edit")
    field = shown.modal["components"][0]["component"]
    assert field["value"] == await caption_of(lab)
    assert field["max_length"] == 1000
    await lab.submit(shown, caption="lisaxl, woman, *red* hat, @everyone <@1234567890123456789>")
    redrawn = await lab.until_card(thread, card.id, "hat")
    assert (await caption_of(lab)).startswith("lisaxl, woman, *red* hat")
    assert (await caption_of(lab)).count("lisaxl") == 1
    assert "\\*red\\* hat" in all_text(redrawn)
    assert "@everyone" not in all_text(redrawn)
    assert not redrawn.mentions


async def test_an_edit_is_in_the_database_even_when_discord_fails_to_show_it(lab, pictures):
    thread = await lab.create()
    card = await lab.batch(thread, pictures(1))
    shown = await lab.form(card, "cap-edit")
    lab.env.inject_error("POST", "/interactions/*/callback", status=500)
    await lab.submit(shown, caption="green hat")
    await until_caption(lab, "lisaxl, woman, green hat")


async def until_caption(lab, wanted: str) -> None:
    await lab.until_rows("SELECT caption FROM picture", lambda rows: rows[0]["caption"] == wanted)


async def test_two_edits_of_one_caption_lose_nothing(lab, pictures):
    thread = await lab.create()
    card = await lab.batch(thread, pictures(1))
    phone = await lab.form(card, "cap-edit")
    desktop = await lab.form(card, "cap-edit")
    await lab.submit(phone, caption="from the phone")
    await until_caption(lab, "lisaxl, woman, from the phone")
    refused = await lab.submit(desktop, caption="from the desktop")
    said = await lab.said(refused, "from the phone")
    assert "from the desktop" in said, "what was written is given back"
    assert await caption_of(lab) == "lisaxl, woman, from the phone"


async def test_only_the_owner_edits_removes_and_turns(lab, pictures):
    thread = await lab.create()
    card = await lab.batch(thread, pictures(2))
    before = await caption_of(lab)
    for action in ("cap-edit", "cap-remove", "cap-next"):
        result = await lab.press(lab.bob, card, action)
        assert result.modal is None
        await lab.said(result, "somebody else")
    assert await caption_of(lab) == before
    assert "1 / 2" in all_text(await lab.card(thread, "cap-next"))


async def test_remove_asks_once_and_takes_picture_and_file(lab, pictures):
    thread = await lab.create()
    card = await lab.batch(thread, pictures(2))
    files = {path.name for path in lab.config.paths.pictures.iterdir()}
    writing = await lab.form(card, "cap-edit:1")
    question = await lab.answer(await lab.press(lab.alice, card, "cap-remove:1"))
    await lab.said(await lab.press(lab.alice, question.message, "dismiss"), "Nothing was changed")
    question = await lab.answer(await lab.press(lab.alice, card, "cap-remove:1"))
    assert "IMG\\_2040.jpg" in all_text(question.message)
    await lab.press(lab.alice, question.message, "cap-remove-yes")
    redrawn = await lab.until_card(thread, card.id, "1 / 1")
    assert "2041" in all_text(redrawn)
    assert len(files - {path.name for path in lab.config.paths.pictures.iterdir()}) == 1
    late = await lab.submit(writing, caption="too late")
    await lab.said(late, "was removed")
    question = await lab.answer(await lab.press(lab.alice, redrawn, "cap-remove:2"))
    await lab.press(lab.alice, question.message, "cap-remove-yes")
    await lab.until_card(thread, card.id, "All pictures of this batch were removed")
    await lab.until_card(thread, (await lab.card(thread, "add")).id, "0 pictures")


async def test_without_a_tagger_captions_can_be_written_by_hand(lab, pictures, monkeypatch, caplog):
    async def broken(paths, cut, model):
        raise TaggerError("The tagger's model is missing.")

    monkeypatch.setattr(lab.bot.services.tagger, "tag", broken)
    thread = await lab.create()
    await lab.add(thread, pictures(1))
    card = await lab.until_card(thread, (await lab.card(thread, "cap-next")).id, "lisaxl, woman")
    assert "no tags yet" in all_text(card)
    shown = await lab.form(card, "cap-edit")
    await lab.submit(shown, caption="by hand")
    await lab.until_card(thread, card.id, "by hand")
    await until(lambda: "captions wait" in caplog.text, "the host's log line")
    caplog.clear()


async def test_captions_cut_short_by_a_restart_are_written_after_it(lab, pictures, monkeypatch):
    async def never(paths, cut, model):
        await asyncio.Event().wait()

    monkeypatch.setattr(lab.bot.services.tagger, "tag", never)
    thread = await lab.create()
    await lab.add(thread, pictures(1))
    card = await lab.card(thread, "cap-next")
    await lab.restart()
    await lab.until_card(thread, card.id, "solo")


async def test_lost_caption_cards_are_found_and_posted_again(lab, pictures):
    thread = await lab.create()
    await lab.said(await lab.slash(lab.alice, thread, "dataset captions"), "no pictures yet")
    card = await lab.batch(thread, pictures(1))
    await lab.said(
        await lab.slash(lab.alice, thread, "dataset captions"),
        f"https://discord.com/channels/{lab.guild.id}/{thread.id}/{card.id}",
    )
    lab.env.backend.delete_message(thread.id, card.id)
    await lab.said(await lab.slash(lab.bob, thread, "dataset captions"), "somebody else")
    await lab.slash(lab.alice, thread, "dataset captions")
    assert (await lab.card(thread, "cap-edit")).id != card.id
