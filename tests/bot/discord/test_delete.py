"""/dataset delete: everything goes, and old buttons say so."""

import pytest

from bot.demo.harness import until
from tests.bot.discord.lab import all_text

pytestmark = pytest.mark.slow


def stored(lab) -> list[str]:
    return sorted(path.name for path in lab.config.paths.pictures.glob("*"))


async def test_delete_shows_what_goes_and_then_nothing_is_left(lab, pictures):
    thread = await lab.create()
    await lab.batch(thread, pictures(2))
    assert len(stored(lab)) == 2
    question = await lab.answer(await lab.slash(lab.alice, thread, "dataset delete"))
    assert "2 pictures" in all_text(question.message)
    await lab.restart()
    await lab.press(lab.alice, question.message, "delete-yes")
    await until(lambda: not lab.lobby.threads, "the thread to go")
    for table in ("dataset", "batch", "picture", "card"):
        assert await lab.until_rows(f"SELECT * FROM {table}", lambda rows: not rows) == []
    assert stored(lab) == []


async def test_keep_keeps(lab, pictures):
    thread = await lab.create()
    await lab.add(thread, pictures(1))
    question = await lab.answer(await lab.press(lab.alice, await lab.card(thread, "add"), "delete"))
    await lab.said(await lab.press(lab.alice, question.message, "dismiss"), "Nothing was changed")
    assert len(await lab.rows("SELECT * FROM picture")) == 1
    assert lab.lobby.threads


async def test_only_the_owner_deletes(lab):
    thread = await lab.create()
    card = await lab.card(thread, "add")
    await lab.said(await lab.press(lab.bob, card, "delete"), "somebody else")
    await lab.said(await lab.slash(lab.bob, thread, "dataset delete"), "somebody else")
    assert len(await lab.rows("SELECT * FROM dataset")) == 1


async def test_a_picture_of_another_dataset_stays(lab, pictures):
    first, second = await lab.create("Lisa", "lisaxl"), await lab.create("Eva", "evaxl")
    await lab.add(first, pictures(1))
    await lab.add(second, pictures(1))
    question = await lab.answer(await lab.slash(lab.alice, first, "dataset delete"))
    await lab.press(lab.alice, question.message, "delete-yes")
    await lab.until_rows("SELECT * FROM dataset", lambda rows: len(rows) == 1)
    assert len(stored(lab)) == 1


async def test_without_manage_threads_the_bots_own_messages_go(lab, pictures):
    thread = await lab.create()
    await lab.batch(thread, pictures(1))
    question = await lab.answer(await lab.slash(lab.alice, lab.lobby, "dataset delete"))
    lab.env.inject_error("DELETE", f"/channels/{thread.id}", status=403, code=50013)
    await lab.said(await lab.press(lab.alice, question.message, "delete-yes"), "Manage Threads")
    assert await lab.rows("SELECT * FROM dataset") == []
    # A card that Discord was just taking is removed once the editor knows its id.
    await until(lambda: not [each for each in thread.history() if each.author.id == lab.bot.user.id], "none of its own")


async def test_old_buttons_of_a_deleted_dataset_answer_with_a_sentence(lab, pictures):
    thread = await lab.create()
    batch = await lab.batch(thread, pictures(2))
    card = await lab.card(thread, "add")
    lab.env.inject_error("DELETE", "/channels/*", status=403, code=50013, times=None)
    question = await lab.answer(await lab.slash(lab.alice, lab.lobby, "dataset delete"))
    await lab.said(await lab.press(lab.alice, question.message, "delete-yes"), "is deleted")
    for message, action in ((card, "add"), (card, "delete"), (card, "train"), (batch, "cap-next"), (batch, "cap-edit")):
        said = await lab.said(await lab.press(lab.alice, message, action))
        assert "no longer exists" in said or "was removed" in said, action
