"""Bulk editing over the wire: each card, menu, form and file of it is a request that Discord's description takes."""

from __future__ import annotations

import pytest

from tests.wire.test_bot_datasets import jpegs


@pytest.fixture
async def captioned(server, bot, alice, workshop):
    """Thread, dataset's card and batch's card, with two captions written."""
    thread, card = await workshop.create_dataset(alice)
    batch = await workshop.hand_over(alice, card, jpegs(1, 2))
    await server.world.wait_for(lambda: "bobbyxl, dog, solo" in batch.text, what="the tagger's captions")
    await server.world.wait_for(lambda: "Captions are being" not in card.text)
    return thread, card, batch


async def test_tags_are_added_shown_and_renamed(server, alice, captioned):
    _, card, batch = captioned
    opened = await alice.click(card, "Captions")
    tags = opened.original
    assert "solo" in tags.text

    asked = await alice.choose(tags, "v1:tags-more", "Add tags")
    await alice.submit(asked, {"tags": "red collar", "pictures": "2"})
    await server.world.wait_for(lambda: "Add “red collar”" in tags.text)
    await alice.click(tags, "Apply")
    await server.world.wait_for(lambda: "done" in tags.text)
    await alice.click(tags, "Undo")
    await server.world.wait_for(lambda: "1 caption restored" in tags.text)
    await alice.click(tags, "Tags")

    await alice.choose(tags, "v1:tags-pick", "solo")
    await alice.click(tags, "Show")
    await server.world.wait_for(lambda: len(tags.files) == 2)
    await alice.click(tags, "Back")
    await server.world.wait_for(lambda: not tags.files)
    asked = await alice.click(tags, "Rename")
    await alice.submit(asked, {"new": "alone"})
    await server.world.wait_for(lambda: "Rename “solo” to “alone”" in tags.text)
    await alice.click(tags, "Apply")
    await server.world.wait_for(lambda: "bobbyxl, dog, alone" in batch.text)


async def test_commands_files_options_and_history(server, alice, captioned):
    thread, _, batch = captioned
    asked = await alice.slash("captions replace", thread)
    offered = await alice.submit(asked, {"find": "solo", "by": "alone"})
    await server.world.wait_for(lambda: offered.original and "2 of 2" in offered.original.text)
    await alice.click(offered.original, "Apply")
    await server.world.wait_for(lambda: "bobbyxl, dog, alone" in batch.text)
    again = await alice.submit(await alice.slash("captions recaption", thread))
    await server.world.wait_for(lambda: again.original and "2 of 2" in again.original.text)

    exported = await alice.slash("captions export", thread)
    (file,) = exported.original.files
    changed = file.data.replace(b"alone", b"by itself")
    offered = await alice.slash("captions import", thread, file=("captions.txt", changed, "text/plain"))
    await server.world.wait_for(lambda: offered.original and "Import captions" in offered.original.text)

    options = (await alice.slash("captions options", thread)).original
    await alice.submit(await alice.click(options, "Words"), {"undesired": "solo"})
    await server.world.wait_for(lambda: "solo" in options.text)
    await alice.submit(await alice.click(options, "Model"), {"cut": "auto"})
    await server.world.wait_for(lambda: "MCut" in options.text)

    history = (await alice.slash("captions history", thread)).original
    await alice.choose(history, "v1:history-undo", "Replace “solo” by “alone”")
    await server.world.wait_for(lambda: "bobbyxl, dog, solo" in batch.text)

    menu = (await alice.click(batch, "v1:cap-tags")).original
    own = next(part for part in menu.walk() if part.get("custom_id", "").startswith("v1:cap-tags-keep"))
    kept = [option["label"] for option in own["options"] if option["label"] != "solo"]
    await alice.choose(menu, own["custom_id"], *kept)
    await server.world.wait_for(lambda: "solo" not in batch.text)
    await alice.submit(await alice.click(batch, "v1:cap-jump"), {"pictures": "2"})
    await server.world.wait_for(lambda: "2 / 2" in batch.text)
