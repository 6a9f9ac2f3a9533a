"""The pager of a batch: turn, edit, remove; and what happens when two want the same or Discord fails."""

import asyncio

import pytest

from bot.demo.harness import until
from bot.errors import TaggerError
from bot.rules.captions.caption import clean_caption
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


async def conflict(lab, card, theirs: str, mine: str):
    """The card that answers who was slower."""
    slow = await lab.form(card, "cap-edit")
    fast = await lab.form(card, "cap-edit")
    await lab.submit(fast, caption=theirs)
    await until_caption(lab, clean_caption(theirs, "lisaxl", "woman"))
    return await lab.shown(await lab.submit(slow, caption=mine), "You wrote")


async def test_of_two_captions_either_is_used_whole(lab, pictures):
    thread = await lab.create()
    card = await lab.batch(thread, pictures(1))
    theirs, mine = ("o_o, ||_||, *x*, " * 60)[:900], ("u_u, ```, @everyone, " * 60)[:970]
    asked = await conflict(lab, card, theirs, mine)
    assert asked.flags.ephemeral
    stored = await caption_of(lab)
    assert f"```\n{stored}\n```" in all_text(asked), "as written"
    assert all_text(asked).count("```") == 4, "no caption ends its block"
    assert len(all_text(asked)) < 4000
    await lab.restart()
    await lab.said(await lab.press(lab.alice, asked, "edit-drop"), "Nothing was changed")
    assert await caption_of(lab) == stored
    asked = await conflict(lab, card, "three", mine)
    await lab.restart()
    done = await lab.shown(await lab.press(lab.alice, asked, "edit-mine"), "done")
    assert await caption_of(lab) == clean_caption(mine, "lisaxl", "woman")
    await lab.until_card(thread, card.id, "@\u200beveryone")
    await lab.shown(await lab.press(lab.alice, done, "edit-undo"), "1 caption restored")
    assert await caption_of(lab) == "lisaxl, woman, three"


async def test_who_is_too_late_once_more_is_asked_once_more(lab, pictures):
    thread = await lab.create()
    card = await lab.batch(thread, pictures(1))
    asked = await conflict(lab, card, "one", "mine")
    await lab.submit(await lab.form(card, "cap-edit"), caption="two")
    await until_caption(lab, "lisaxl, woman, two")
    again = await lab.shown(await lab.press(lab.alice, asked, "edit-mine"), "lisaxl, woman, two")
    await lab.shown(await lab.press(lab.alice, again, "edit-mine"), "done")
    assert await caption_of(lab) == "lisaxl, woman, mine"


async def test_an_edit_begun_before_the_tagger_wrote_does_not_overwrite_it(lab, pictures, monkeypatch):
    gate, tag = asyncio.Event(), lab.bot.services.tagger.tag

    async def slow(paths, cut, model):
        await gate.wait()
        return await tag(paths, cut, model)

    monkeypatch.setattr(lab.bot.services.tagger, "tag", slow)
    thread = await lab.create()
    await lab.add(thread, pictures(1))
    card = await lab.until_card(thread, (await lab.card(thread, "cap-next")).id, "no tags yet")
    form = await lab.form(card, "cap-edit")
    gate.set()
    await lab.until_rows("SELECT tagged FROM picture", lambda rows: rows[0]["tagged"])
    tagged = await caption_of(lab)
    asked = await lab.shown(await lab.submit(form, caption="red hat"), tagged)
    assert await caption_of(lab) == tagged
    await lab.shown(await lab.press(lab.alice, asked, "edit-mine"), "done")
    assert await caption_of(lab) == "lisaxl, woman, red hat"


async def test_a_removed_picture_comes_back_with_its_caption(lab, pictures):
    thread = await lab.create()
    card = await lab.batch(thread, pictures(2))
    await lab.submit(await lab.form(card, "cap-edit:1"), caption="by hand")
    await until_caption(lab, "lisaxl, woman, by hand")
    files = {path.name for path in lab.config.paths.pictures.iterdir()}
    removed = []
    for picture in (1, 2):
        await lab.until_card(thread, card.id, f"#1 · IMG\\_{2039 + picture}")
        question = await lab.answer(await lab.press(lab.alice, _now(thread, card), f"cap-remove:{picture}"))
        assert "7 days" in all_text(question.message)
        result = await lab.press(lab.alice, question.message, "cap-remove-yes")
        removed.append(await lab.shown(result, "is removed"))
    await lab.until_card(thread, card.id, "All pictures of this batch were removed")
    assert {path.name for path in lab.config.paths.pictures.iterdir()} == files
    await lab.restart()
    await lab.said(await lab.press(lab.alice, removed[0], "cap-undo"), "1 picture brought back")
    await lab.until_card(thread, card.id, "by hand")
    assert [row["id"] for row in await lab.rows("SELECT id FROM picture")] == [1], "the one of the button"


def _now(thread, card):
    return next(each for each in thread.history() if each.id == card.id)


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
    await lab.press(lab.alice, question.message, "cap-remove-good")
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
