"""/dataset create: thread, card, consent, and everything that can be wrong."""

import asyncio

import discord
import pytest
from simcord.backend.errors import BackendError, SetupError

from bot.demo.harness import until
from bot.errors import NotYours
from bot.rules.consent import ATTESTATION
from tests.bot.discord.lab import all_text, custom_ids

pytestmark = pytest.mark.slow


async def test_a_dataset_opens_a_thread_with_one_card(lab):
    thread = await lab.create()
    card = await lab.card(thread, "add")
    assert thread.name == "Lisa"
    assert "lisaxl" in all_text(card)
    assert "0 pictures" in all_text(card)
    assert "v1:train:1" not in custom_ids(card), "nothing to train on yet"
    assert custom_ids(card) == ["v1:add:1", "v1:page:1", "v1:helpers:1", "v1:more:1", "v1:delete:1"]
    assert len([message for message in thread.history() if message.flags.components_v2]) == 1


async def test_peoples_words_are_shown_as_written_and_ping_nobody(lab):
    thread = await lab.create(name="**Li`sa** @everyone <@123456789012345678> [x](http://e.vil)")
    card = await lab.card(thread, "add")
    shown = all_text(card)
    assert "@everyone" not in shown
    assert "<@123456789012345678>" not in shown
    assert "\\*\\*Li\\`sa" in shown
    assert not card.mention_everyone


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trigger": "Lisa X!"}, "3 to 24"),
        ({"name": "  \u200b "}, "letter or digit"),
        ({"name": "x" * 80}, "60"),
        ({"class_word": "a, b"}, "comma"),
    ],
)
async def test_a_wrong_word_gets_a_sentence_with_the_rule(lab, options, words):
    given = {"name": "Lisa", "trigger": "lisaxl", "class_word": "woman", "kind": "object", **options}
    result = await lab.slash(lab.alice, lab.lobby, "dataset create", **given)
    await lab.said(result, words)
    assert result.ephemeral
    assert not lab.lobby.threads


async def test_the_same_name_twice_is_refused(lab):
    await lab.create()
    result = await lab.slash(
        lab.alice, lab.lobby, "dataset create", name="lisa", trigger="other", class_word="woman", kind="style"
    )
    await lab.said(result, "already have a dataset")


async def test_no_dataset_inside_a_thread(lab):
    thread = await lab.create()
    result = await lab.slash(
        lab.alice, thread, "dataset create", name="Two", trigger="twoxl", class_word="dog", kind="object"
    )
    await lab.said(result, "text channel")


@pytest.mark.parametrize(
    ("kind", "permission"), [("person", "create_private_threads"), ("style", "create_public_threads")]
)
async def test_a_missing_permission_is_named_before_anything_is_made(lab, kind, permission):
    closed = lab.guild.create_text_channel(
        "closed", overwrites={lab.bot.user: discord.PermissionOverwrite(**{permission: False})}
    )
    result = await lab.slash(
        lab.alice, closed, "dataset create", name="Lisa", trigger="lisaxl", class_word="woman", kind=kind
    )
    said = await lab.said(result)
    assert permission.replace("_", " ").title() in said
    assert "manages this server" in said
    assert await lab.rows("SELECT * FROM dataset") == []


async def test_a_person_needs_the_attestation_and_gets_a_private_thread(lab):
    result = await lab.slash(
        lab.alice, lab.lobby, "dataset create", name="Lisa", trigger="lisaxl", class_word="woman", kind="person"
    )
    question = await lab.answer(result)
    assert result.ephemeral
    for line in ATTESTATION.text.splitlines():
        assert line in all_text(question.message)
    assert not lab.lobby.threads, "no thread before the answer"
    await lab.restart()  # the question outlives the bot
    await lab.press(lab.alice, question.message, "consent:")
    thread = await until(lambda: next(iter(lab.lobby.threads), None), "the private thread")
    await lab.card(thread, "add")
    assert thread._channel.type == discord.ChannelType.private_thread.value
    assert lab.alice.id in thread._channel.thread_members
    kept = await lab.rows("SELECT * FROM consent")
    assert [(row["user_id"], row["text_version"], row["text_sha256"]) for row in kept] == [
        (lab.alice.id, ATTESTATION.version, ATTESTATION.sha256)
    ]
    assert kept[0]["given_at"] > 0


async def test_nobody_else_can_confirm(lab):
    result = await lab.slash(
        lab.alice, lab.lobby, "dataset create", name="Lisa", trigger="lisaxl", class_word="woman", kind="person"
    )
    question = await lab.answer(result)
    with pytest.raises((SetupError, BackendError)):  # Discord hides an ephemeral message from others
        await lab.press(lab.bob, question.message, "consent:")
    with pytest.raises(NotYours):  # and where a client did not, the service refuses
        await lab.bot.services.datasets.give_consent(1, lab.bob.id)
    assert await lab.rows("SELECT * FROM consent") == []


async def test_a_double_confirmation_makes_one_thread(lab):
    result = await lab.slash(
        lab.alice, lab.lobby, "dataset create", name="Lisa", trigger="lisaxl", class_word="woman", kind="person"
    )
    services = lab.bot.services
    await services.datasets.give_consent(1, lab.alice.id)
    await lab.answer(result)
    both = await asyncio.gather(services.threads.ensure(1), services.threads.ensure(1))
    assert both[0].thread_id == both[1].thread_id
    assert len(lab.lobby.threads) == 1


async def test_cancel_keeps_nothing(lab):
    result = await lab.slash(
        lab.alice, lab.lobby, "dataset create", name="Lisa", trigger="lisaxl", class_word="woman", kind="person"
    )
    question = await lab.answer(result)
    pressed = await lab.press(lab.alice, question.message, "consent-cancel:")
    await lab.said(pressed, "Nothing was kept")
    assert await lab.rows("SELECT * FROM dataset") == []


async def test_a_failed_thread_is_made_by_show(lab):
    lab.env.inject_error("POST", "/channels/*/threads", status=500)
    result = await lab.slash(
        lab.alice, lab.lobby, "dataset create", name="Lisa", trigger="lisaxl", class_word="woman", kind="object"
    )
    await lab.said(result, "Discord had a problem")
    shown = await lab.slash(lab.alice, lab.lobby, "dataset show")
    thread = await until(lambda: next(iter(lab.lobby.threads), None), "the thread")
    await lab.said(shown, str(thread.id))
    await lab.card(thread, "add")


async def test_show_brings_back_a_deleted_card_and_the_question(lab):
    thread = await lab.create()
    card = await lab.card(thread, "add")
    lab.env.backend.delete_message(thread.id, card.id)
    assert not lab.cards(thread, "add")
    await lab.slash(lab.alice, thread, "dataset show")
    await lab.card(thread, "add")
    await lab.slash(
        lab.alice, lab.lobby, "dataset create", name="Eva", trigger="evaxl", class_word="woman", kind="person"
    )
    again = await lab.slash(lab.alice, lab.lobby, "dataset show", dataset="Eva")
    await lab.said(again, "Please confirm")


async def test_list_and_autocomplete_know_only_ones_own(lab):
    thread = await lab.create()
    listed = await lab.said(await lab.slash(lab.alice, lab.lobby, "dataset list"))
    assert "Lisa" in listed
    assert str(thread.id) in listed
    await lab.said(await lab.slash(lab.bob, lab.lobby, "dataset list"), "no dataset")
    choices = await lab.alice.autocomplete(lab.lobby, "dataset show", "dataset", "li")
    assert [(choice["name"], choice["value"]) for choice in choices] == [("Lisa", "1")]
    assert await lab.bob.autocomplete(lab.lobby, "dataset show", "dataset", "") == []
    words = await lab.alice.autocomplete(lab.lobby, "dataset create", "class_word", "wo")
    assert [choice["value"] for choice in words] == ["woman"]


async def test_a_thread_somebody_deleted_is_made_anew_with_its_cards(lab, pictures):
    thread = await lab.create()
    await lab.batch(thread, pictures(1))
    # What is drawn into a thread that goes away is an error in the log, as it should be: here all is drawn before.
    await lab.card(thread, "report-crop")
    await lab.until_rows("SELECT * FROM card WHERE dirty > 0", lambda rows: not rows)
    lab.env.backend.delete_channel(thread.id)
    await lab.slash(lab.alice, lab.lobby, "dataset show")
    other = await until(lambda: next((each for each in lab.lobby.threads if each.id != thread.id), None), "a thread")
    await lab.card(other, "add")
    await lab.card(other, "cap-next")
    await lab.card(other, "report-crop")
    assert "Added 1 picture" in await lab.add(other, pictures(1, first=1))


async def test_show_opens_an_archived_thread(lab):
    thread = await lab.create()
    found = await lab.bot.fetch_channel(thread.id)
    await found.edit(archived=True)
    await lab.said(await lab.slash(lab.alice, lab.lobby, "dataset show"), "gathered here")
    assert not (await lab.bot.fetch_channel(thread.id)).archived
