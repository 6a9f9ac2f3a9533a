"""The page in a real browser, as a phone shows it: 100 pictures, a connection that breaks, a page that is closed."""

import dataclasses
import os
from pathlib import Path

import pytest

from bot.demo.harness import until
from tests.bot.conftest import encoded, make_picture, quarters
from tests.bot.discord.lab import all_text, buttons
from tests.bot.web.chromium import BINARY, chromium
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
def shots(tmp_path) -> Path:
    """Where screenshots go; LORELEI_SHOTS keeps them to be looked at."""
    return Path(os.environ.get("LORELEI_SHOTS") or tmp_path / "shots")


@pytest.fixture
async def browser(tmp_path):
    async with chromium(tmp_path / "profile") as found:
        yield found


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


async def link_of(lab, thread, actor=None) -> str:
    """Press Upload many; the link in the answer."""
    result = await lab.press(actor or lab.alice, await lab.card(thread, "add"), "page")
    message = (await lab.answer(result)).message
    return next(each.url for each in buttons(message) if each.url)


def stored(lab):
    return len(list(lab.config.paths.pictures.glob("*.jpg"))) if lab.config.paths.pictures.is_dir() else 0


async def test_a_hundred_files_over_a_connection_that_breaks(lab, browser, files, shots):
    thread = await lab.create()
    link = await link_of(lab, thread)
    async with wire_to(lab.bot.services.web.port) as wire:
        link = link.replace(f":{lab.bot.services.web.port}/", f":{wire.port}/")
        tab = await browser.tab(link)
        await tab.until("!document.querySelector('#main').hidden", "the page")
        await tab.shot(shots / "1-empty.png")
        await tab.choose("#files", files)
        await until(lambda: stored(lab) >= FIRST, f"{FIRST} pictures")
        wire.cut_after(1000)
        await wire.was_cut.wait()
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
        await until(lambda: stored(lab) >= before + 20, "more pictures")
        await tab.shot(shots / "3-again.png")
        wire.cut_after(1000)
        await wire.was_cut.wait()
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
    assert f"{GOOD} pictures" in all_text(await lab.card(thread, "add"))
