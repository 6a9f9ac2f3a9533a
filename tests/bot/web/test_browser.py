"""The page in a real browser, as a phone shows it: 100 pictures, a connection that breaks, a page that is closed."""

import asyncio
import dataclasses
from pathlib import Path

import pytest

from bot.demo.harness import until
from tests.bot.conftest import encoded, make_picture, quarters
from tests.bot.discord.lab import all_text
from tests.bot.web.chromium import BINARY, DESK, PATIENCE
from tests.bot.web.wire import wire_to

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BINARY, reason="no Chromium on this machine")]

GOOD = 97
FIRST = 40
"""Pictures that are through before the connection breaks."""


@pytest.fixture
def quick(quick):
    """Room for 100 pictures."""
    return dataclasses.replace(quick, intake=dataclasses.replace(quick.intake, max_pictures=100))


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """97 pictures, one of them twice, a text file and a tiny picture: what a phone's gallery holds."""
    folder = tmp_path / "gallery"
    folder.mkdir()
    made = []
    for seed in range(GOOD):
        made.append(folder / f"IMG_{2000 + seed}.jpg")
        made[-1].write_bytes(encoded(quarters((96 + seed % 9 * 8, 96 + seed // 9 * 8), seed), "JPEG"))
    for name, data in (
        ("IMG_2000 (1).jpg", made[0].read_bytes()),
        ("notes.txt", b"buy milk"),
        ("tiny.png", make_picture((32, 32), format="PNG")),
    ):
        made.insert(50, folder / name)
        made[50].write_bytes(data)
    return made


def stored(lab):
    return len(list(lab.config.paths.pictures.glob("*.jpg"))) if lab.config.paths.pictures.is_dir() else 0


async def test_a_hundred_files_over_a_connection_that_breaks(lab, browser, files, shots):
    thread = await lab.create()
    link = await lab.page_link(thread)
    async with wire_to(lab.bot.services.web.port) as wire:
        link = link.replace(f":{lab.bot.services.web.port}/", f":{wire.port}/")
        tab = await browser.tab(link)
        await tab.until("!document.querySelector('#main').hidden", "the page")
        await tab.shot(shots / "1-empty.png")
        await tab.choose("#files", files)
        await until(lambda: stored(lab) >= FIRST, f"{FIRST} pictures", PATIENCE)
        wire.cut_after(1000)
        await asyncio.wait_for(wire.was_cut.wait(), PATIENCE)
        await tab.until("document.querySelector('#line').innerText.includes('no connection')", "a word about it")
        await tab.shot(shots / "2-broken.png")

        # The page is closed in the midst of it and opened again; the same pictures are chosen once more.
        await browser.close_tab(tab)
        before = stored(lab)
        assert before < GOOD
        wire.mend()
        tab = await browser.tab(link)
        await tab.until("document.querySelectorAll('.picture').length >= 1", "what is there already")
        await tab.choose("#files", files)
        await until(lambda: stored(lab) >= before + 20, "more pictures", PATIENCE)
        await tab.shot(shots / "3-again.png")
        wire.cut_after(1000)
        await asyncio.wait_for(wire.was_cut.wait(), PATIENCE)
        wire.mend()
        await tab.until("document.querySelector('#line').innerText.includes('You can close')", "the end")
        line = await tab.text("#line")
        problems = await tab.text("#problems")
        await tab.shot(shots / "4-done.png")
        assert tab.complaints == []

    rows = await lab.rows("SELECT * FROM picture")
    assert len(rows) == GOOD
    assert len({row["source_sha256"] for row in rows}) == GOOD
    assert len({row["batch_id"] for row in rows}) == 1, "all of it is one batch with one card"
    assert "there already" in line
    assert "2 not taken" in line
    assert "“notes.txt” is not a picture that I can open. Send a JPEG" in problems
    assert "“tiny.png” has 32 × 32 pixels; the shorter side needs at least 64" in problems
    card = await lab.until_card(thread, (await lab.card(thread, "cap-next")).id, f"/ {GOOD}")
    said = all_text(await lab.until_card(thread, card.id, "tiny.png"))
    assert "notes.txt" in said
    await lab.until_card(thread, (await lab.card(thread, "add")).id, f"{GOOD} pictures")


async def test_captions_are_edited_in_place_and_nobody_overwrites_anybody(lab, browser, pictures, shots):
    thread = await lab.create()
    batch = await lab.batch(thread, pictures(6))
    tab = await browser.tab(await lab.page_link(thread))
    await tab.until("document.querySelectorAll('.picture .thumb img[src]').length >= 3", "the first pictures")
    await tab.write(".picture textarea", "lisaxl, woman, red hat, smile")
    await tab.until("document.querySelector('.state').innerText == 'Not saved yet'")
    await tab.shot(shots / "5-writing.png")
    await tab.click(".picture button", "Save")
    await tab.until("document.querySelector('.state').innerText == 'Saved'")
    await lab.until_card(thread, batch.id, "red hat")

    # Somebody edits in Discord while the page is being written on.
    await tab.write(".picture textarea", "written here")
    form = await lab.form(batch, "cap-edit:1")
    await lab.submit(form, caption="from Discord")
    await lab.until_card(thread, batch.id, "from Discord")
    await tab.click(".picture button", "Save")
    await tab.until("document.querySelector('.box')?.innerText.includes('lisaxl, woman, from Discord')", "the conflict")
    await tab.shot(shots / "6-conflict.png")
    assert (await lab.rows("SELECT caption FROM picture"))[0]["caption"] == "lisaxl, woman, from Discord"
    await tab.click(".box button", "Use mine")
    await tab.until("document.querySelector('.state').innerText == 'Saved'")
    await lab.until_card(thread, batch.id, "written here")

    await tab.click("#tag-box summary")
    await tab.click("#tags button", "written here")
    await tab.until(
        "[...document.querySelectorAll('.picture')].filter((each) => !each.hidden).length == 1", "the filter"
    )
    assert await tab.text("#filter span") == "“written here”: 1 of 6 pictures"
    await tab.shot(shots / "7-filter.png")
    await tab.click("#filter button", "Show all")
    await tab.click(".picture button", "Remove")
    await tab.shot(shots / "8-remove.png")
    await tab.click(".box button", "Remove")
    await tab.until("document.querySelectorAll('.picture').length == 5", "it is gone")
    await lab.until_card(thread, batch.id, "1 / 5")
    assert "is removed and can be brought back for 7 days" in await tab.text("#done-words")
    await tab.click("#done-undo button", "Undo")
    await tab.until("document.querySelectorAll('.picture').length == 6", "it is back")
    await lab.until_card(thread, batch.id, "1 / 6")
    await tab.until("document.querySelector('.picture textarea').value.includes('written here')", "with its caption")
    await tab.click(".picture button", "Remove")
    await tab.click(".box button", "For good")
    await tab.until("document.querySelectorAll('.picture').length == 5", "it is gone again")
    await lab.until_card(thread, batch.id, "1 / 5")
    assert await lab.rows("SELECT * FROM dropped") == []
    await tab.click("#contact")
    await tab.until("document.querySelectorAll('.picture .thumb img[src]').length == 5", "all of them, small")
    await tab.shot(shots / "8b-contact.png")
    await tab.click(".thumb")
    await tab.until("document.querySelector('#look').open && document.querySelector('#look img').naturalWidth")
    await tab.shot(shots / "9-look.png")
    assert tab.complaints == []


async def test_at_a_desk_in_the_dark_nothing_sticks_out(lab, browser, pictures, shots):
    thread = await lab.create()
    await lab.batch(thread, pictures(5))
    wide = await browser.tab(await lab.page_link(thread), DESK, "dark")
    await wide.until("document.querySelectorAll('.picture .thumb img[src]').length == 5", "the pictures")
    await wide.click(".picture button", "Remove")
    await wide.shot(shots / "10-desk.png")
    assert await wide.run("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    assert wide.complaints == []


async def test_a_bad_link_a_helper_taken_out_and_a_page_without_pass(lab, browser, pictures):
    thread = await lab.create()
    await lab.bot.services.sharing.invite(1, lab.alice.id, lab.bob.id)
    link = await lab.page_link(thread, lab.bob)
    tab = await browser.tab(link)
    await tab.until("!document.querySelector('#main').hidden", "the page")
    await lab.bot.services.sharing.remove(1, lab.alice.id, lab.bob.id)
    await tab.choose("#files", [])
    await tab.run("dispatchEvent(new Event('online'))")
    await tab.until("document.querySelector('#notice').innerText.includes('belongs to somebody else')", "the refusal")
    assert await tab.run("document.querySelector('#main').hidden")
    for broken in (link[:-4] + "0000", link.partition("#")[0]):
        bad = await browser.tab(broken)
        await bad.until("document.querySelector('#notice').innerText.includes('not complete')", "the refusal")


async def test_hashes_are_right_without_the_browsers_help(lab, browser):
    """On a plain http address of a home network browsers hide their own sha256."""
    thread = await lab.create()
    tab = await browser.tab(await lab.page_link(thread))
    await tab.until("!document.querySelector('#main').hidden", "the page")
    differ = """(async () => {
        const { sha256, plainSha256 } = await import("./sha256.js");
        const wrong = [];
        for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000, 100003]) {
            const bytes = Uint8Array.from({ length }, (_, place) => (place * 31 + length) % 256);
            if (plainSha256(bytes) !== await sha256(bytes.buffer)) wrong.push(length);
        }
        return wrong;
    })()"""
    assert await tab.run(differ) == []
