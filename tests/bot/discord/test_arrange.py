"""Rename, copy, merge, put away: each by button and by command, asked first where something moves."""

import pytest

from bot.demo.harness import free, until
from tests.bot.discord.lab import all_text, custom_ids

pytestmark = pytest.mark.slow


async def more(lab, thread, action):
    """Press More, then one of its buttons; what comes of it."""
    card = await lab.answer(await lab.press(lab.alice, await lab.card(thread, "add"), "more"))
    return await lab.press(lab.alice, card.message, action)


async def test_rename_by_button_and_command(lab):
    thread = await lab.create()
    form = await more(lab, thread, "rename")
    await until(lambda: form.modal, "a modal")
    await lab.said(await lab.submit(form, name="Lisa *in* Rome"), "is called")
    await lab.until_card(thread, (await lab.card(thread, "add")).id, "Lisa \\*in\\* Rome")
    assert lab.lobby.threads[0].name == "Lisa *in* Rome"
    other = await lab.create("Eva", "evaxl")
    await lab.said(await lab.slash(lab.alice, other, "dataset rename", name="lisa *IN* rome"), "already have a dataset")


async def test_a_copy_is_a_dataset_of_its_own(lab, pictures):
    thread = await lab.create()
    batch = await lab.batch(thread, pictures(3))
    await lab.submit(await lab.form(batch, "cap-edit:1"), caption="hat")
    await lab.until_card(thread, batch.id, "hat")
    question = await lab.answer(await more(lab, thread, "copy"))
    assert "**Lisa copy** will hold the same 3 pictures" in all_text(question.message)
    await lab.press(lab.alice, question.message, "copy-yes")
    made = await until(lambda: lab.lobby.threads[1:], "the copy's thread")
    card = await lab.card(made[0], "cap-next")
    assert "hat" in all_text(card)
    rows = await lab.rows("SELECT caption FROM picture ORDER BY id")
    assert [row["caption"] for row in rows[:3]] == [row["caption"] for row in rows[3:]]
    deletion = await lab.answer(await lab.slash(lab.alice, thread, "dataset delete"))
    await lab.press(lab.alice, deletion.message, "delete-yes")
    await lab.until_rows("SELECT * FROM dataset", lambda rows: len(rows) == 1)
    assert len(list(lab.config.paths.pictures.iterdir())) == 3, "the copy still needs the files"


async def test_a_copy_of_a_person_is_confirmed_anew(lab, pictures):
    thread = await lab.create(kind="person")
    await lab.batch(thread, pictures(1))
    question = await lab.answer(await lab.slash(lab.alice, thread, "dataset copy"))
    assert "They show me, or a person who clearly agreed" in all_text(question.message)
    await lab.press(lab.alice, question.message, "copy-yes")
    await lab.until_rows("SELECT * FROM consent", lambda rows: [row["dataset_id"] for row in rows] == [1, 2])


async def test_a_merge_says_first_what_moves(lab, pictures):
    first = await lab.create()
    await lab.batch(first, pictures(3))
    second = await lab.create("Eva", "evaxl")
    await lab.batch(second, pictures(4, first=2))
    card = await lab.answer(await more(lab, first, "merge"))
    await free(lab.env)
    chosen = await lab.alice.select(card.message, ["2"], custom_id="v1:merge-from:1")
    question = await lab.answer(chosen)
    said = all_text(question.message)
    assert "3 pictures with their captions move to **Lisa**" in said
    assert "begin with `lisaxl` instead of `evaxl`" in said
    assert "1 picture that Lisa holds already stay" in said
    assert len(await lab.rows("SELECT * FROM picture WHERE dataset_id = 1")) == 3, "nothing moved yet"
    await lab.press(lab.alice, question.message, "merge-yes")
    rows = await lab.until_rows("SELECT * FROM picture WHERE dataset_id = 1", lambda rows: len(rows) == 6)
    assert all(row["caption"].startswith("lisaxl, woman, ") and "evaxl" not in row["caption"] for row in rows)
    await lab.until_card(first, (await lab.card(first, "add")).id, "6 pictures")
    await lab.until_card(second, (await lab.card(second, "add")).id, "1 picture")
    await until(lambda: len(lab.cards(first, "cap-next")) == 2, "a card for what moved")
    again = await lab.slash(lab.alice, first, "dataset merge", source="Eva")
    await lab.said(again, "nothing to move")


async def test_merging_what_consent_keeps_apart_is_refused(lab, pictures):
    person = await lab.create(kind="person")
    await lab.batch(person, pictures(1))
    drawn = await lab.create("Eva", "evaxl")
    await lab.batch(drawn, pictures(1, first=2))
    await lab.said(
        await lab.slash(lab.alice, drawn, "dataset merge", source="Lisa"),
        "Pictures of a person stay in a dataset of kind person",
    )
    await lab.said(
        await lab.slash(lab.alice, person, "dataset merge", source="Eva"), "only pictures that a consent covers"
    )


async def test_what_is_put_away_takes_nothing_until_it_is_back(lab, pictures):
    thread = await lab.create()
    batch = await lab.batch(thread, pictures(2))
    await lab.said(await more(lab, thread, "archive"), "is put away")
    card = await lab.until_card(thread, (await lab.card(thread, "archive")).id, "Put away with 2 pictures")
    assert custom_ids(card) == ["v1:archive:1", "v1:delete:1"]
    for result in (
        await lab.press(lab.alice, batch, "cap-edit"),
        await lab.slash(lab.alice, thread, "dataset add", picture1=pictures(1, first=7)[0]),
        await lab.slash(lab.alice, thread, "dataset page"),
        await lab.slash(lab.alice, thread, "train"),
    ):
        await lab.said(result, "put away")
    await lab.said(await lab.slash(lab.alice, lab.lobby, "dataset list"), "put away")
    await lab.said(await lab.press(lab.alice, card, "archive"), "is back")
    await lab.until_card(thread, card.id, "2 pictures")
    assert "Added 1 picture" in await lab.add(thread, pictures(1, first=7))
