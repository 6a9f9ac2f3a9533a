"""What goes wrong inside or on Discord's side, and what the host switched off."""

import dataclasses

import pytest

from bot.app import Lorelei
from bot.demo.harness import live, until
from tests.bot.discord.lab import Lab, all_text

pytestmark = pytest.mark.slow


async def test_the_unexpected_gets_a_reference_that_the_host_finds_in_the_log(lab, monkeypatch, caplog):
    thread = await lab.create()
    card = await lab.card(thread, "add")

    async def broken(*values):
        raise RuntimeError("secret inner words")

    for name in ("of_member", "plan_delete"):
        monkeypatch.setattr(type(lab.bot.services.datasets), name, broken)
    by_command = await lab.said(await lab.slash(lab.alice, lab.lobby, "dataset list"))
    by_button = await lab.said(await lab.press(lab.alice, card, "delete"))
    for said in (by_command, by_button):
        assert "Something went wrong on my side" in said
        assert "secret" not in said
        assert said.split()[-1] in caplog.text
    assert "RuntimeError" in caplog.text
    caplog.clear()


async def test_an_answer_that_comes_too_late_is_logged_and_nothing_else(lab, caplog):
    thread = await lab.create()
    card = await lab.card(thread, "add")
    lab.env.inject_error("POST", "/interactions/*/callback", status=404, code=10062)
    await lab.press(lab.alice, card, "delete")
    await until(lambda: "too late" in caplog.text, "the log line")
    await lab.said(await lab.press(lab.alice, card, "delete"), "Delete Lisa?")


async def test_a_forbidden_answer_names_what_is_missing(lab):
    lab.env.inject_error("POST", "/channels/*/threads", status=403, code=50013)
    said = await lab.said(
        await lab.slash(
            lab.alice, lab.lobby, "dataset create", name="Lisa", trigger="lisaxl", class_word="woman", kind="object"
        )
    )
    assert "does not let me" in said
    assert "permissions" in said


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, 50083, "This thread is archived. Write a message in it"),
        (400, 160006, "as many active threads as Discord allows"),
        (404, 10003, "was deleted on Discord. /dataset show"),
    ],
)
async def test_what_discord_refuses_is_said_with_the_remedy(lab, status, code, words):
    thread = await lab.create()
    lab.env.inject_error("PUT", f"/channels/{thread.id}/thread-members/*", status=status, code=code)
    await lab.said(await lab.slash(lab.alice, thread, "dataset show"), words)


async def test_with_message_content_off_only_commands_and_forms_take_pictures(quick, pictures):
    off = dataclasses.replace(quick, intake=dataclasses.replace(quick.intake, message_content=False))
    async with live(Lorelei(off), settle=0.02) as env:
        lab = Lab(env, off)
        assert "Add to dataset" not in lab.alice.available_commands(lab.lobby)
        thread = await lab.create()
        card = await lab.card(thread, "add")
        assert "Post them here" not in all_text(card)
        await lab.post(lab.alice, thread, "here", pictures(1))
        form = await lab.form(card, "add:")
        await lab.said(await lab.submit(form, pictures=pictures(1, first=1)), "Added 1 picture")
        assert [row["file_name"] for row in await lab.rows("SELECT file_name FROM picture")] == ["IMG_2041.jpg"]
