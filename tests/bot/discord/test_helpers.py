"""Helpers: added by the owner, work on the material and decide nothing; of a person only after both have confirmed."""

import pytest

from bot.demo.harness import free, until
from tests.bot.discord.lab import all_text, custom_ids

pytestmark = pytest.mark.slow


async def choose(lab, thread, *users):
    """Alice chooses who helps; the answer to it."""
    question = await lab.answer(await lab.press(lab.alice, await lab.card(thread, "add"), "helpers"))
    await free(lab.env)
    await lab.alice.select(question.message, list(users), custom_id=next(iter(custom_ids(question.message))))
    return question


async def until_helping(lab, *states):
    await lab.until_rows("SELECT state FROM helper", lambda rows: [row["state"] for row in rows] == list(states))


async def shown(lab, question, words):
    """The answer's message once it shows the words (it is edited in place)."""
    return await until(lambda: words in all_text(question.message) and question.message, words)


async def until_told(lab, where, words):
    """The bot's plain message to bob with the words."""

    def found():
        return [each for each in where.history() if f"<@{lab.bob.id}> " in each.content and words in each.content]

    (message,) = await until(found, words)
    return message


def in_thread(lab, thread) -> set[int]:
    return set(lab.env.backend.channels[thread.id].thread_members)


async def test_a_helper_adds_edits_and_removes_but_does_not_decide(lab, pictures):
    thread = await lab.create()
    batch = await lab.batch(thread, pictures(2))
    await choose(lab, thread, lab.bob)
    await until_helping(lab, "active")
    card = await lab.until_card(thread, (await lab.card(thread, "add")).id, f"with <@{lab.bob.id}>")
    told = await until_told(lab, thread, "you help")
    assert "/dataset add" in told.content
    assert "Training, sharing and deleting stay" in told.content
    assert [each.id for each in told.mentions] == [lab.bob.id]

    options = {"picture1": pictures(1, first=5)[0]}
    await lab.said(await lab.slash(lab.bob, thread, "dataset add", **options), "Added 1 picture")
    await lab.post(lab.bob, thread, "one more", pictures(1, first=6))
    await lab.until_rows("SELECT * FROM picture", lambda rows: len(rows) == 4)

    form = await lab.press(lab.bob, batch, "cap-edit:1")
    await until(lambda: form.modal, "a modal")
    await free(lab.env)
    await lab.bob.submit_modal(form, {"caption": "by bob"})
    await lab.until_card(thread, batch.id, "by bob")
    question = await lab.answer(await lab.press(lab.bob, batch, "cap-remove:1"))
    await lab.press(lab.bob, question.message, "cap-remove-yes")
    await lab.until_rows("SELECT * FROM picture", lambda rows: len(rows) == 3)

    card = await lab.until_card(thread, card.id, "3 pictures")
    for action in ("train", "delete", "more"):
        await lab.said(await lab.press(lab.bob, card, action), "only its owner")
    for command in ("dataset delete", "dataset copy", "dataset archive", "train"):
        await lab.said(await lab.slash(lab.bob, thread, command), "only its owner")
    listed = await lab.said(await lab.slash(lab.bob, lab.lobby, "dataset list"))
    assert f"**Lisa** of <@{lab.alice.id}>" in listed


async def test_two_people_on_one_caption_lose_nothing(lab, pictures):
    thread = await lab.create()
    batch = await lab.batch(thread, pictures(1))
    await choose(lab, thread, lab.bob)
    await until_helping(lab, "active")
    hers = await lab.form(batch, "cap-edit")
    his = await lab.press(lab.bob, batch, "cap-edit")
    await until(lambda: his.modal, "a modal")
    await free(lab.env)
    await lab.bob.submit_modal(his, {"caption": "from bob"})
    await lab.until_card(thread, batch.id, "from bob")
    said = await lab.said(await lab.submit(hers, caption="from alice"), "changed while you were writing")
    assert "from bob" in said
    assert "from alice" in said
    assert (await lab.rows("SELECT caption FROM picture"))[0]["caption"] == "lisaxl, woman, from bob"


async def test_a_helper_who_is_taken_out_is_out_at_once(lab, pictures):
    thread = await lab.create()
    batch = await lab.batch(thread, pictures(1))
    await choose(lab, thread, lab.bob)
    await until_helping(lab, "active")
    form = await lab.press(lab.bob, batch, "cap-edit")
    await until(lambda: form.modal, "a modal")
    question = await choose(lab, thread)
    await until_helping(lab)
    assert "does not help any more" in all_text(await shown(lab, question, "any more"))
    assert lab.bob.id not in in_thread(lab, thread)
    await free(lab.env)
    late = await lab.bob.submit_modal(form, {"caption": "too late"})
    await lab.said(late, "somebody else")
    await lab.said(await lab.press(lab.bob, await lab.card(thread, "add"), "page"), "somebody else")


async def test_a_helper_may_stop_and_a_bot_may_not_help(lab):
    thread = await lab.create()
    await choose(lab, thread, lab.bob)
    await until_helping(lab, "active")
    mine = await lab.answer(await lab.slash(lab.bob, thread, "dataset helpers"))
    await lab.press(lab.bob, mine.message, "help-no")
    await until_helping(lab)
    assert "do not help" in all_text(await shown(lab, mine, "do not help"))
    robot = lab.guild.add_member(lab.env.create_user("robot", bot=True))
    question = await lab.answer(await lab.press(lab.alice, await lab.card(thread, "add"), "helpers"))
    await free(lab.env)
    result = await lab.alice.select(question.message, [robot], custom_id="v1:helpers-set:1")
    await lab.said(result, "bot cannot help")


async def test_a_persons_pictures_are_shown_only_after_both_have_confirmed(lab, pictures):
    thread = await lab.create(kind="person")
    await lab.batch(thread, pictures(1))
    question = await choose(lab, thread, lab.bob)
    asked = await shown(lab, question, "agreed that this member sees and edits them")
    assert await lab.rows("SELECT * FROM helper") == [], "nothing before the owner has confirmed"
    await lab.press(lab.alice, asked, "helpers-yes")
    await until_helping(lab, "asked")

    for command in ("captions", "add"):
        options = {"dataset": "Lisa", **({"picture1": pictures(1, first=3)[0]} if command == "add" else {})}
        refused = await lab.slash(lab.bob, lab.lobby, f"dataset {command}", **options)
        await lab.said(refused, "Agree first")
    await lab.said(await lab.slash(lab.bob, lab.lobby, "dataset list"), "asks for your help")

    invitation = await until_told(lab, lab.lobby, "asks for your help")
    assert "Lisa" not in invitation.content, "everybody in the channel reads it"
    stranger = lab.guild.add_member(lab.env.create_user("stranger"))
    await lab.said(await lab.press(stranger, invitation, "help-open"), "not asked")
    await lab.restart()
    card = await lab.answer(await lab.press(lab.bob, invitation, "help-open"))
    assert "I keep no copy" in all_text(card.message)
    assert lab.bob.id not in in_thread(lab, thread)
    await lab.press(lab.bob, card.message, "help-yes")
    await until_helping(lab, "active")
    await shown(lab, card, "You help with")
    await until_told(lab, thread, "you help")
    await lab.said(await lab.press(lab.bob, invitation, "help-open"), f"<#{thread.id}>")
    assert lab.bob.id in in_thread(lab, thread)
    versions = [row["text_version"] for row in await lab.rows("SELECT text_version FROM consent ORDER BY id")]
    assert versions == ["2026-11", "2026-11-sharing", "2026-11-helping"]


async def test_who_is_asked_may_decline(lab):
    thread = await lab.create(kind="person")
    question = await choose(lab, thread, lab.bob)
    await lab.press(lab.alice, await shown(lab, question, "I take the member out"), "helpers-yes")
    await until_helping(lab, "asked")
    card = await lab.answer(await lab.slash(lab.bob, lab.lobby, "dataset show", dataset="Lisa"))
    await lab.press(lab.bob, card.message, "help-no")
    await until_helping(lab)
