"""Gathering over the wire: the real bot, its real HTTP client and websocket, files and modals included."""

from __future__ import annotations

from tests.bot.conftest import make_picture
from tests.wire.actors import Actor
from tests.wire.lorelei import running_bot, with_control

JPEG = "image/jpeg"


def jpegs(*seeds: int) -> list[tuple[str, bytes, str]]:
    return [(f"photo-{seed}.jpg", make_picture((256, 256), seed=seed), JPEG) for seed in seeds]


async def test_commands_are_synced_once_and_not_again_at_the_next_start(server, config):
    async with running_bot(server, config):
        assert server.world.command_syncs == 1
    async with running_bot(server, config):
        assert server.world.command_syncs == 1


async def test_pictures_come_in_by_modal_command_menu_and_post(server, bot, alice, workshop):
    thread, card = await workshop.create_dataset(alice)
    batch = await workshop.hand_over(alice, card, jpegs(1, 2))
    assert "1 / 2" in batch.text
    await server.world.wait_for(lambda: "bobbyxl, dog, solo" in batch.text, what="the tagger's captions")
    first, second, third = jpegs(3, 4, 5)
    await alice.slash("dataset add", thread, picture1=first)
    await server.world.wait_for(lambda: "**3 pictures**" in card.text)
    await alice.post(thread, "one more", [second])
    await server.world.wait_for(lambda: "**4 pictures**" in card.text)
    elsewhere = await alice.post(server.world.channel, "and this", [third])
    await alice.context_menu("Add to dataset", elsewhere)
    await server.world.wait_for(lambda: "**5 pictures**" in card.text)


async def test_the_pager_turns_edits_and_removes(server, bot, alice, workshop):
    thread, card = await workshop.create_dataset(alice)
    batch = await workshop.hand_over(alice, card, jpegs(1, 2))
    await alice.click(batch, "Next")
    assert "2 / 2" in batch.text
    assert [file.name for file in batch.files] == ["picture-2.jpg"], "the page's picture replaces the one before"
    opened = await alice.click(batch, "Edit")
    await alice.submit(opened, {"caption": "bobbyxl, dog, red collar @everyone"})
    await server.world.wait_for(lambda: "red collar" in batch.text)
    question = await alice.click(batch, "Remove")
    await alice.click(question.original, "Remove")
    await server.world.wait_for(lambda: "1 / 1" in batch.text and "**1 picture**" in card.text)
    assert batch.id in thread.messages, "one card all along"


async def test_a_post_from_elsewhere_goes_into_the_chosen_dataset_by_fresh_links(server, bot, alice, workshop):
    """The question may be answered when the links in it have long expired."""
    await workshop.create_dataset(alice, "Bobby")
    _, card = await workshop.create_dataset(alice, "Rex")
    server.world.cdn_seconds = -60.0
    posted = await alice.post(server.world.channel, "look", jpegs(1))
    asked = await alice.context_menu("Add to dataset", posted)
    server.world.cdn_seconds = 3600.0
    menu = next(part for part in asked.original.walk() if part["type"] == 3)
    await alice.choose(asked.original, menu["custom_id"], "Rex")
    await server.world.wait_for(lambda: "**1 picture**" in card.text)


async def test_names_are_offered_while_typing(server, bot, alice, workshop):
    await workshop.create_dataset(alice, "Bobby")
    await workshop.create_dataset(alice, "Rex")
    offered = await alice.autocomplete("dataset show", "dataset", "bob")
    assert [choice["name"] for choice in offered] == ["Bobby"]


async def test_a_person_dataset_asks_first_and_is_private(server, bot, alice, workshop):
    bob = Actor(server, "bob")
    asked = await alice.slash("dataset create", name="Lisa", trigger="lisaxl", class_word="woman", kind="person")
    assert asked.original.ephemeral_to is alice.user
    assert server.world.threads == []
    await alice.click(asked.original, "I confirm")
    thread = await server.world.wait_for(lambda: server.world.threads and server.world.threads[0])
    card = await workshop.card(thread, "Add pictures")
    assert thread.sees(alice.user)
    assert not thread.sees(bob.user)
    asked = await alice.click(card, "Delete")
    await alice.click(asked.original, "Delete")
    await server.world.wait_for(lambda: server.world.threads == [], what="the thread to go")


async def test_bad_files_and_a_broken_download_are_named_and_the_rest_goes_on(server, bot, alice, workshop):
    thread, card = await workshop.create_dataset(alice)
    good, cut = jpegs(1, 2)
    server.faults.lose_response("GET", "/attachments/*/photo-2.jpg")
    await alice.post(thread, "", [good, ("notes.txt", b"not a picture", "text/plain"), cut])
    batch = await workshop.seen(thread, "1 / 1")
    assert "notes.txt" in batch.text
    assert "photo-2.jpg" in batch.text
    server.faults.clear()
    await alice.post(thread, "", [cut])
    await server.world.wait_for(lambda: "**2 pictures**" in card.text)


async def test_only_the_owners_posts_in_the_thread_are_taken(server, bot, alice, workshop):
    thread, card = await workshop.create_dataset(alice)
    bob = Actor(server, "bob")
    await bob.post(thread, "mine", jpegs(1))
    await alice.post(server.world.channel, "not here", jpegs(2))
    await alice.post(thread, "this", jpegs(3))
    await server.world.wait_for(lambda: "**1 picture**" in card.text)
    assert await workshop.card(thread, "Edit")
    assert "photo-3.jpg" in with_control(thread, "Edit").text


async def test_a_post_during_an_outage_is_taken_after_it(server, bot, alice, workshop):
    """The gateway replays what was missed."""
    thread, card = await workshop.create_dataset(alice)
    await server.gateway.drop()
    await alice.post(thread, "", jpegs(1))
    await server.world.wait_for(lambda: "**1 picture**" in card.text)
    assert (server.gateway.identifies, server.gateway.sessions[0].resumes) == (1, 1)


async def test_pictures_do_not_wait_for_the_typing_sign(server, bot, alice, workshop):
    thread, card = await workshop.create_dataset(alice)
    held = server.faults.hold("POST", "/channels/*/typing")
    lost = server.faults.lose_response("POST", "/channels/*/typing")
    await alice.post(thread, "", jpegs(1))
    await server.world.wait_for(lambda: "**1 picture**" in card.text)
    held.gate.set()
    await alice.post(thread, "", jpegs(2))
    await server.world.wait_for(lambda: "**2 pictures**" in card.text)
    assert held.spent
    assert lost.spent


async def test_a_thread_whose_making_was_not_heard_of_is_found_again(server, bot, alice, workshop):
    server.faults.lose_response("POST", "/channels/*/threads")
    asked = await alice.slash("dataset create", name="Rex", trigger="rexxl", class_word="dog", kind="object")
    await server.world.wait_for(lambda: "Discord had a problem" in asked.texts)
    (thread,) = server.world.threads
    await alice.slash("dataset show", dataset=(await alice.autocomplete("dataset show", "dataset", "rex"))[0]["value"])
    assert await workshop.card(thread, "Add pictures")
    assert server.world.threads == [thread]
    other, _ = await workshop.create_dataset(Actor(server, "bob"), "Rex")
    assert other is not thread, "only a thread that is nobody's is taken"


async def test_a_missing_permission_is_said_in_words(server, bot, alice, workshop):
    server.faults.fail("POST", "/channels/*/threads", status=403)
    asked = await alice.slash("dataset create", name="Rex", trigger="rexxl", class_word="dog", kind="object")
    await server.world.wait_for(lambda: "permission" in asked.texts)
    assert "Traceback" not in asked.texts


async def test_the_cards_around_a_dataset_are_what_discord_takes(server, bot, alice, workshop):
    """Link button, user select with defaults, modal, thread edits: each request is checked against Discord's schema."""
    bob = Actor(server, "bob")
    thread, card = await workshop.create_dataset(alice)
    await workshop.hand_over(alice, card, jpegs(1))
    page = await alice.click(card, "Upload many")
    link = next(part for part in page.original.walk() if part.get("label") == "Open the page")
    assert "/u/#1." in link["url"]
    await bot.services.sharing.invite(1, alice.user.id, bob.user.id)
    helpers = await alice.click(card, "Helpers")
    select = next(part for part in helpers.original.walk() if part["type"] == 5)
    assert [int(each["id"]) for each in select["default_values"]] == [bob.user.id]
    more = await alice.click(card, "More")
    form = await alice.click(more.original, "Rename")
    await alice.submit(form, {"name": "Bobby at the sea"})
    await server.world.wait_for(lambda: thread.name == "Bobby at the sea" and "Bobby at the sea" in card.text)
    copy = await alice.click(more.original, "Copy")
    await alice.click(copy.original, "Copy")
    await server.world.wait_for(lambda: len(server.world.threads) == 2)
    await alice.click(more.original, "Put away")
    await server.world.wait_for(lambda: "Put away with 1 picture" in card.text)
