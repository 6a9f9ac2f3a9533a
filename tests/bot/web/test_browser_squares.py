"""Squares in a real browser: seen before they are used, moved by buttons and by the keyboard."""

import pytest

from tests.bot.conftest import make_picture
from tests.bot.web.chromium import BINARY, DESK, PHONE

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BINARY, reason="no Chromium on this machine")]

KEPT = "document.querySelector('.pair .kept').style"


SIZES = ((2400, 1400), (1200, 1500), (700, 500), (640, 640))


@pytest.fixture(scope="module")
def large():
    """Pictures of several shapes; the first has room around its square."""
    return [(f"IMG_{2040 + seed}.jpg", make_picture(size, seed)) for seed, size in enumerate(SIZES)]


async def page_of(lab, browser, files, screen=DESK, scheme="light"):
    thread = await lab.create()
    await lab.batch(thread, files)
    tab = await browser.tab(await lab.page_link(thread), screen, scheme)
    await tab.until(f"document.querySelectorAll('.picture .thumb img[src]').length == {len(files)}", "the pictures")
    await tab.run("document.querySelector('#report-box').open = true")
    return thread, tab


async def test_squares_are_seen_used_and_moved(lab, browser, large, shots):
    _, tab = await page_of(lab, browser, large)
    await tab.click("#report-buttons button", "Squares")
    await tab.until("document.querySelectorAll('.cut img[src]').length == 4", "all squares")
    assert "Now: shapes are kept." in await tab.text("#squares-body")
    await tab.shot(shots / "20-squares.png")
    await tab.click("#squares button", "Use squares")
    await tab.until("document.querySelector('#squares').innerText.includes('Now: squares are used.')", "the choice")
    assert (await lab.rows("SELECT square FROM dataset"))[0]["square"] == 1
    assert "Trainings from now on use the squares." in await tab.text("#squares-said")

    await tab.click(".cut")
    await tab.until("document.querySelectorAll('.pair img[src]').length == 2", "before and after")
    before = await tab.run(f"{KEPT}.left")
    await tab.run("[...document.querySelectorAll('.pad button')].find((e) => e.innerText == 'Left').focus()")
    await tab.click(".pad button", "Left")
    await tab.until(f"{KEPT}.left != '{before}'", "it moved")
    await tab.until("document.activeElement.innerText == 'Left'", "the keyboard stays on the button")
    moved = await tab.run(f"{KEPT}.left")
    await tab.do("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
    await tab.until(f"{KEPT}.left != '{moved}'", "and back by a key")
    await tab.until("document.querySelectorAll('.pair img')[1].naturalWidth > 320", "the large picture")
    await tab.shot(shots / "21-square.png")
    assert "yours" in await tab.text("#squares-body")
    await tab.click("#squares button", "Reset")
    await tab.until("document.querySelector('#squares-body').innerText.includes('suggested')", "as it was")
    await tab.click("#squares button", "Next")
    await tab.click("#squares button", "Next")
    await tab.click("#squares button", "Closer")
    await tab.until("document.querySelector('#squares-said').innerText.includes('no more room')", "what is refused")
    assert (await tab.text("#squares-title")).startswith("3 ")
    await tab.click("#squares button", "All squares")
    await tab.until("document.querySelectorAll('.cut').length == 4", "all of them again")
    assert tab.complaints == []


async def test_a_held_key_moves_one_step_after_the_other(lab, browser, large):
    _, tab = await page_of(lab, browser, large)
    await tab.click("#report-buttons button", "Squares")
    await tab.click(".cut")
    await tab.until("document.querySelectorAll('.pair img')[1].naturalWidth > 320", "the large picture")
    await tab.run("""window.asked = { moves: 0, most: 0, now: 0, large: 0, drawn: 0 };
        new MutationObserver(() => { asked.drawn += 1; })
            .observe(document.querySelector('#squares-body'), { childList: true });
        window.fetch = ((real) => async (path, more) => {
            if (path.includes('side=1024')) asked.large += 1;
            if (more.method !== 'POST') return real(path, more);
            asked.moves += 1;
            asked.most = Math.max(asked.most, asked.now += 1);
            const answer = await real(path, more);
            asked.now -= 1;
            return answer;
        })(window.fetch)""")
    kept = await tab.run(f"{KEPT}.left")
    press = "document.querySelector('#squares').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', %s}))"
    await tab.run(press % "ctrlKey: true")
    await tab.run(press % "altKey: true")
    assert await tab.run("asked.moves") == 0, "the browser's own"
    await tab.run(";".join(press % f"repeat: {repeat}" for repeat in ("false", *["true"] * 9)))
    await tab.until("asked.drawn == 1", "one step")
    assert await tab.run("asked.moves") == 1
    assert await tab.run(f"{KEPT}.left") != kept
    await tab.run(";".join([press % "repeat: false"] * 2 + [press.replace("Left", "Right") % "repeat: false"] * 3))
    await tab.until("asked.drawn == 6", "each press")
    assert await tab.run("[asked.moves, asked.most, asked.large]") == [6, 1, 0]
    shown = await tab.run(f"{KEPT}.left")
    await tab.click("#squares button", "All squares")
    assert await tab.until("document.querySelector('.cut .kept')?.style.left") == shown, (
        "what is kept is what was shown"
    )
    assert tab.complaints == []


async def test_on_a_phone_in_the_dark_nothing_sticks_out(lab, browser, large, shots):
    _, tab = await page_of(lab, browser, large, PHONE, "dark")
    await tab.click("#report-buttons button", "Squares")
    await tab.until("document.querySelectorAll('.cut img[src]').length == 4", "all squares")
    await tab.shot(shots / "22-squares-phone.png")
    await tab.run("document.querySelector('#squares').close()")
    await tab.click(".thumb")
    await tab.until("document.querySelector('#look').open", "the picture")
    await tab.click("#look-square")
    await tab.until("document.querySelectorAll('.pair img[src]').length == 2", "before and after")
    assert await tab.run("!document.querySelector('#look').open")
    await tab.shot(shots / "23-square-phone.png")
    small = "[...document.querySelectorAll('#squares button')].filter((each) => each.offsetHeight < 44).length"
    assert await tab.run(small) == 0
    assert await tab.run("document.querySelector('#squares').scrollWidth <= innerWidth"), "nothing sticks out"
    assert tab.complaints == []
