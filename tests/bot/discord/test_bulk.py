"""Bulk editing on Discord: tags with counts, one tag everywhere, find and replace, files, history with undo."""

import asyncio
import io
import threading
import zipfile

import pytest

from bot.demo.harness import until
from bot.rules.bulk.captions import tag_code
from bot.services.bulk import edits, recaption
from tests.bot.discord.lab import all_text, custom_ids

pytestmark = pytest.mark.slow


@pytest.fixture
async def thread(lab, pictures):
    """A dataset with three captioned pictures."""
    made = await lab.create()
    await lab.batch(made, pictures(3))
    await lab.until_rows("SELECT tagged FROM picture", lambda rows: all(row["tagged"] for row in rows))
    return made


async def open_tags(lab, thread):
    return await lab.shown(await lab.slash(lab.alice, thread, "captions tags"), "Captions of")


async def open_tag(lab, thread, tag):
    card = await open_tags(lab, thread)
    return await lab.shown(await lab.choose(lab.alice, card, "tags-pick", tag_code(tag)), "in 3 of")


async def write(lab, *captions):
    """Captions as people might have written them."""
    async with lab.bot.services.store.transaction() as tx:
        for number, caption in enumerate(captions, 1):
            await tx.execute("UPDATE picture SET caption = ?, revision = revision + 1 WHERE id = ?", (caption, number))


async def test_a_tag_is_removed_everywhere_and_brought_back(lab, thread):
    before = await lab.captions()
    assert all("solo" in caption for caption in before)
    card = await open_tags(lab, thread)
    assert "`  3` solo" in all_text(card)
    tag = await open_tag(lab, thread, "solo")
    assert "Pictures 1-3" in all_text(tag)
    offer = await lab.shown(
        await lab.press(lab.alice, tag, "tag-remove"), "3 of 3 pictures".replace("pictures", "captions")
    )
    assert "~~" in all_text(offer)
    assert "solo" in all_text(offer)
    assert await lab.captions() == before, "nothing is done before it is confirmed"
    done = await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "3 captions changed")
    after = await lab.captions()
    assert after == [caption.replace(", solo", "") for caption in before]
    await lab.shown(await lab.press(lab.alice, done, "edit-undo"), "3 captions restored")
    assert await lab.captions() == before


async def test_the_button_on_the_datasets_card_opens_the_tags_for_its_owner_alone(lab, thread):
    card = await lab.card(thread, "tags-open")
    tags = await lab.shown(await lab.press(lab.alice, card, "tags-open"), "3 pictures")
    assert tags.flags.ephemeral
    await lab.said(await lab.press(lab.bob, card, "tags-open"), "somebody else")
    await lab.said(await lab.slash(lab.bob, thread, "captions tags"), "somebody else")


async def test_a_tag_is_renamed_moved_and_its_pictures_shown(lab, thread):
    await write(lab, "lisaxl, woman, smile, solo", "lisaxl, woman, solo", "lisaxl, woman, hat, solo")
    tag = await open_tag(lab, thread, "solo")
    form = await lab.form(tag, "tag-rename")
    offer = await lab.shown(await lab.submit(form, new="alone, indoors"), "3 of 3")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "done")
    assert await lab.captions() == [
        "lisaxl, woman, smile, alone, indoors",
        "lisaxl, woman, alone, indoors",
        "lisaxl, woman, hat, alone, indoors",
    ]
    tag = await open_tag(lab, thread, "indoors")
    offer = await lab.shown(await lab.press(lab.alice, tag, "tag-move"), "3 of 3")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "done")
    assert (await lab.captions())[0] == "lisaxl, woman, indoors, smile, alone"
    tag = await open_tag(lab, thread, "alone")
    gallery = await lab.shown(await lab.press(lab.alice, tag, "tag-show"), "1 / 1")
    assert [each.filename for each in gallery.attachments] == ["picture-1.jpg", "picture-2.jpg", "picture-3.jpg"]
    back = await lab.shown(await lab.press(lab.alice, gallery, "tag-open"), "in 3 of")
    assert not back.attachments
    assert await lab.shown(await lab.press(lab.alice, back, "tags-page"), "Captions of")


async def test_what_is_shown_of_a_tag_can_be_worked_on(lab, thread):
    await write(lab, "lisaxl, woman, solo", "lisaxl, woman, hat", "lisaxl, woman, solo")
    card = await open_tags(lab, thread)
    tag = await lab.shown(await lab.choose(lab.alice, card, "tags-pick", tag_code("solo")), "in 2 of")
    shown = await lab.shown(await lab.press(lab.alice, tag, "tag-show"), "1 / 1")
    for value in ("replace", "recaption", "add"):
        form = await lab.choose(lab.alice, shown, "tag-with", value)
        await until(lambda form=form: form.modal, "a modal")
        assert form.modal["components"][-1]["component"]["value"] == "1, 3"
    offer = await lab.shown(await lab.submit(form, tags="hat", place=["last"], pictures="1, 3"), "2 of 3")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "done")
    assert await lab.captions() == ["lisaxl, woman, solo, hat", "lisaxl, woman, hat", "lisaxl, woman, solo, hat"]


async def test_tags_are_added_to_chosen_pictures(lab, thread):
    before = await lab.captions()
    form = await lab.asked(thread, "captions add")
    offer = await lab.shown(await lab.submit(form, tags="Red Hat, solo", place=["last"], pictures="1, 3"), "2 of 3")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "2 captions changed")
    after = await lab.captions()
    assert after == [f"{before[0]}, Red Hat", before[1], f"{before[2]}, Red Hat"]
    form = await lab.asked(thread, "captions add")
    await lab.said(await lab.submit(form, tags="x", place=["first"], pictures="9"), "pictures 1 to 3")
    form = await lab.asked(thread, "captions add")
    await lab.said(await lab.submit(form, tags="solo", place=["last"]), "No caption would change")


async def test_text_and_patterns_are_replaced_and_sentences_survive(lab, thread):
    sentence = "A photo of lisaxl, laughing. Behind her: 1,000 books!"
    await write(lab, f"lisaxl, woman, {sentence}", "lisaxl, woman, smile, hat1", "lisaxl, woman, hat2")
    form = await lab.asked(thread, "captions replace")
    offer = await lab.shown(await lab.submit(form, find=r"hat(\d)", by=r"cap \1", how=["pattern"]), "2 of 3")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "2 captions changed")
    assert await lab.captions() == [f"lisaxl, woman, {sentence}", "lisaxl, woman, smile, cap 1", "lisaxl, woman, cap 2"]
    form = await lab.asked(thread, "captions replace")
    offer = await lab.shown(await lab.submit(form, find="Behind her", by="Before her", how=["text"]), "1 of 3")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "1 caption changed")
    assert (await lab.captions())[0].endswith("Before her: 1,000 books!")
    form = await lab.asked(thread, "captions replace")
    await lab.said(await lab.submit(form, find="(", by="", how=["pattern"]), "not a pattern")


async def test_what_changed_meanwhile_is_shown_before_anything_is_done(lab, thread):
    tag = await open_tag(lab, thread, "solo")
    offer = await lab.shown(await lab.press(lab.alice, tag, "tag-remove"), "3 of 3")
    await write(lab, "lisaxl, woman, smile", "lisaxl, woman, solo, hat")
    await lab.restart()
    fresh = await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "changed meanwhile")
    assert "2 of 3" in all_text(fresh)
    assert (await lab.captions())[1] == "lisaxl, woman, solo, hat"
    await lab.shown(await lab.press(lab.alice, fresh, "edit-apply"), "2 captions changed")
    assert (await lab.captions())[:2] == ["lisaxl, woman, smile", "lisaxl, woman, hat"]


async def test_history_names_who_and_undoes_after_a_restart(lab, thread):
    await lab.said(await lab.slash(lab.alice, thread, "captions history"), "Nothing was changed in bulk")
    before = await lab.captions()
    for find, by in (("solo", "*x*"), ("x", "yy")):
        form = await lab.asked(thread, "captions replace")
        offer = await lab.shown(await lab.submit(form, find=find, by=by, how=["text"]), "3 of 3")
        await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "done")
    await lab.restart()
    history = await lab.shown(await lab.slash(lab.alice, thread, "captions history"), "History")
    assert f"<@{lab.alice.id}>" in all_text(history)
    assert "\\*x\\*" in all_text(history)
    for edit in ("2", "1"):
        history = await lab.shown(await lab.slash(lab.alice, thread, "captions history"), "History")
        await lab.shown(await lab.choose(lab.alice, history, "history-undo", edit), "3 captions restored")
    assert await lab.captions() == before
    history = await lab.shown(await lab.slash(lab.alice, thread, "captions history"), "undone by")


async def test_what_is_in_all_pictures_is_suggested_for_removal(lab, thread, pictures):
    card = await open_tags(lab, thread)
    await lab.said(await lab.choose(lab.alice, card, "tags-more", "common"), "nothing to suggest")
    await lab.add(thread, pictures(3, first=3))
    await lab.until_rows("SELECT tagged FROM picture", lambda rows: len(rows) == 6 and all(r["tagged"] for r in rows))
    card = await open_tags(lab, thread)
    common = await lab.shown(await lab.choose(lab.alice, card, "tags-more", "common"), "In almost all")
    assert "solo" in all_text(common)
    offer = await lab.shown(await lab.choose(lab.alice, common, "common-pick", tag_code("solo")), "6 of 6")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "6 captions changed")
    assert not any("solo" in caption for caption in await lab.captions())


@pytest.mark.parametrize("form", ["text", "zip"])
async def test_captions_go_out_to_a_file_and_come_back(lab, thread, form):
    before = await lab.captions()
    sent = await lab.answer(await lab.slash(lab.alice, thread, "captions export", form=form))
    (file,) = sent.message.attachments
    assert file.filename == ("lisaxl-captions.txt" if form == "text" else "lisaxl-captions.zip")
    data = await file.read()
    changed = edited_zip(data) if form == "zip" else data.replace(b"solo", b"Someone, alone at last.")
    result = await lab.slash(lab.alice, thread, "captions import", file=(file.filename, changed))
    offer = await lab.shown(result, "3 of 3")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "3 captions changed")
    assert await lab.captions() == [each.replace("solo", "Someone, alone at last.") for each in before]
    result = await lab.slash(lab.alice, thread, "captions import", file=("x.txt", b"no caption"))
    await lab.said(result, "Nothing was imported")


def edited_zip(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"solo", b"Someone, alone at last."))
    return out.getvalue()


async def test_import_sort_dedupe_and_export_are_in_the_list_too(lab, thread):
    await write(lab, "lisaxl, woman, b, a, b", "lisaxl, woman, a, b", "lisaxl, woman, b")
    card = await open_tags(lab, thread)
    offer = await lab.shown(await lab.choose(lab.alice, card, "tags-more", "dedupe"), "1 of 3")
    done = await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "done")
    card = await lab.shown(await lab.press(lab.alice, done, "tags-page"), "Captions of")
    offer = await lab.shown(await lab.choose(lab.alice, card, "tags-more", "sort-name"), "1 of 3")
    card = await lab.shown(await lab.press(lab.alice, offer, "edit-drop"), "Nothing was changed")
    card = await open_tags(lab, thread)
    offer = await lab.shown(await lab.choose(lab.alice, card, "tags-more", "sort-frequency"), "1 of 3")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "done")
    assert await lab.captions() == ["lisaxl, woman, b, a", "lisaxl, woman, b, a", "lisaxl, woman, b"]
    for value in ("export-text", "export-zip"):
        card = await open_tags(lab, thread)
        sent = await lab.answer(await lab.choose(lab.alice, card, "tags-more", value))
        assert sent.message.attachments
    card = await open_tags(lab, thread)
    form = await lab.choose(lab.alice, card, "tags-more", "import")
    await until(lambda: form.modal, "a modal")
    text = await sent.message.attachments[0].read()
    await lab.said(await lab.submit(form, file=("c.zip", text)), "No caption would change")


async def test_pictures_are_captioned_again(lab, thread):
    tagged = await lab.captions()
    await write(lab, "lisaxl, woman", "lisaxl, woman, hat", "lisaxl, woman, She sits, reading.")
    form = await lab.asked(thread, "captions recaption")
    offer = await lab.shown(await lab.submit(form, mode=["fill"]), "1 of 3")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "done")
    assert await lab.captions() == [tagged[0], "lisaxl, woman, hat", "lisaxl, woman, She sits, reading."]
    form = await lab.asked(thread, "captions recaption")
    offer = await lab.shown(await lab.submit(form, mode=["append"], pictures="2-3"), "2 of 3")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "done")
    rest = tagged[2].removeprefix("lisaxl, woman, ")
    assert (await lab.captions())[2] == f"lisaxl, woman, {rest}, She sits, reading."
    form = await lab.asked(thread, "captions recaption")
    offer = await lab.shown(await lab.submit(form, mode=["overwrite"], pictures="3"), "1 of 3")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "done")
    assert (await lab.captions())[2] == tagged[2]


async def test_a_re_caption_tells_how_far_it_is_and_reaches_who_asked_after_the_answer_ended(lab, thread, monkeypatch):
    monkeypatch.setattr(recaption, "CHUNK", 2)
    gate, tag = asyncio.Event(), lab.bot.services.tagger.tag

    async def slow(paths, cut, model):
        if len(paths) < 2:
            await gate.wait()
        return await tag(paths, cut, model)

    monkeypatch.setattr(lab.bot.services.tagger, "tag", slow)
    await write(lab, *["lisaxl, woman, hat"] * 3)
    form = await lab.asked(thread, "captions recaption")
    result = await lab.submit(form, mode=["append"])
    await lab.said(result, "Looked at 2 of 3 pictures")
    assert not await lab.bot.services.posts.under_way.ended(0), "a bot that stops waits for it"
    lab.env.inject_error("PATCH", "/webhooks/*", status=401, code=50027, times=None)
    gate.set()
    told = await lab.card(thread, "edit-page")
    lab.env.backend.faults.clear()
    assert f"<@{lab.alice.id}>" in told.content
    assert [each.id for each in told.mentions] == [lab.alice.id]
    assert await lab.bot.services.posts.under_way.ended(10)
    await lab.restart()
    offer = await lab.shown(await lab.press(lab.alice, told, "edit-page"), "3 of 3")
    await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "3 captions changed")


async def test_an_old_list_says_that_a_tag_is_gone(lab, thread):
    card = await open_tags(lab, thread)
    assert "v1:tags-pick:1:0" in custom_ids(card)
    await write(lab, *["lisaxl, woman"] * 3)
    result = await lab.choose(lab.alice, card, "tags-pick", tag_code("solo"))
    await lab.said(result, "in no caption any more")


async def test_captions_are_read_beside_the_loop_and_once(lab, thread, monkeypatch):
    read = []

    def noted(work):
        def run(*asked):
            read.append((work.__name__, threading.current_thread() is threading.main_thread()))
            return work(*asked)

        return run

    for name in ("captions_with", "tag_counts", "carry_out"):
        monkeypatch.setattr(edits, name, noted(getattr(edits, name)))
    tag = await open_tag(lab, thread, "solo")
    offer = await lab.shown(await lab.press(lab.alice, tag, "tag-remove"), "3 of 3")
    assert read == [("tag_counts", False), ("captions_with", False), ("carry_out", False)]
    done = await lab.shown(await lab.press(lab.alice, offer, "edit-apply"), "3 captions changed")
    read.clear()
    await lab.shown(await lab.press(lab.alice, done, "tags-page"), "Captions of")
    assert read == [("tag_counts", False)], "counted anew when they have changed"
