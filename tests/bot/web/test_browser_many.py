"""The page in a real browser: bulk edits, filters, archives, the keyboard, and how often it looks for news."""

import asyncio
import json

import pytest

from tests.bot.web.chromium import BINARY, DESK, PHONE
from tests.bot.zips import packed

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BINARY, reason="no Chromium on this machine")]

CAPTIONS = "[...document.querySelectorAll('.picture textarea')].map((each) => each.value)"
SHOWN = "[...document.querySelectorAll('.picture')].filter((each) => !each.hidden).length"


async def page_of(lab, browser, pictures, number=4, screen=DESK):
    """A dataset whose pictures a member has captioned, one without, and its page."""
    thread = await lab.create()
    batch = await lab.batch(thread, pictures(number))
    async with lab.bot.services.store.transaction() as tx:
        await tx.execute("UPDATE picture SET tagged = 1, revision = 1, caption = 'lisaxl, woman, smile, red hat'")
        await tx.execute("UPDATE picture SET caption = 'lisaxl, woman' WHERE id = (SELECT MAX(id) FROM picture)")
    tab = await browser.tab(await lab.page_link(thread), screen)
    await tab.until(f"document.querySelectorAll('.picture').length == {number}", "the pictures")
    return thread, batch, tab


async def test_a_tag_is_removed_everywhere_and_comes_back(lab, browser, pictures, shots):
    thread, batch, tab = await page_of(lab, browser, pictures)
    await tab.click("#tags button", "smile")
    await tab.click("#filter button", "Remove everywhere")
    await tab.until("document.querySelector('#many').open && document.querySelectorAll('.changes li').length == 3")
    assert "3 of 4 captions would change" in await tab.text("#many-body")
    assert await tab.run("document.querySelector('.changes del').innerText.includes('smile')")
    await tab.shot(shots / "11-offer.png")
    await tab.click("#many-act")
    await tab.until(f"{CAPTIONS}[0] == 'lisaxl, woman, red hat'", "the change")
    assert "3 captions changed" in await tab.text("#done-words")
    await lab.until_card(thread, batch.id, "red hat")
    await tab.click("#done-undo button", "Undo")
    await tab.until(f"{CAPTIONS}[0] == 'lisaxl, woman, smile, red hat'", "as it was")
    await tab.click("#history")
    await tab.until("document.querySelectorAll('.past li').length == 2", "the history")
    assert "undone" in await tab.text(".past li:last-child")
    assert tab.complaints == []


async def test_what_is_refused_is_said_in_the_dialog(lab, browser, pictures):
    _, _, tab = await page_of(lab, browser, pictures)
    await tab.click("#replace")
    await tab.until("document.querySelector('#many').open && document.activeElement.matches('#many input')", "the form")
    await tab.do("Input.insertText", text="unicorn")
    await tab.click("#many-act")
    await tab.until("document.querySelector('#many-said').innerText == 'No caption would change.'", "the refusal")
    assert await tab.run("document.querySelector('#many').open"), "what was written stays"


async def test_what_is_done_with_chosen_pictures_leaves_the_others(lab, browser, pictures, shots):
    thread, batch, tab = await page_of(lab, browser, pictures)
    await tab.click("#choose")
    await tab.until("document.querySelectorAll('.pick input').length == 4 && !document.querySelector('#chosen').hidden")
    await tab.run("document.querySelectorAll('.pick input')[1].click()")
    await tab.run("document.querySelectorAll('.thumb')[2].click()")
    await tab.until("document.querySelector('#chosen span').innerText == '2 chosen'", "a box and a picture")
    assert not await tab.run("document.querySelector('#look').open"), "a press chooses now"
    await tab.shot(shots / "30-chosen.png")
    await tab.click("#tags button", "smile")
    await tab.click("#filter button", "Remove from chosen")
    await tab.until("document.querySelectorAll('.changes li').length == 2", "what it would change")
    await tab.click("#many-act")
    await tab.until(f"{CAPTIONS}[1] == 'lisaxl, woman, red hat'", "the change")
    assert await tab.run(f"{CAPTIONS}[0]") == "lisaxl, woman, smile, red hat"

    await tab.click("#chosen button", "Add tags")
    await tab.until("document.querySelector('#many-title').innerText == 'Add tags to 2 chosen pictures'", "whose")
    await tab.do("Input.insertText", text="outdoors")
    await tab.run("document.querySelector('#many select').value = 'first'")
    await tab.shot(shots / "31-add.png")
    await tab.click("#many-act")
    await tab.until("document.querySelectorAll('.changes ins').length == 2", "what it would change")
    await tab.click("#many-act")
    await tab.until(f"{CAPTIONS}[2] == 'lisaxl, woman, outdoors, red hat'", "the change")

    await tab.click("#chosen button", "Remove")
    await tab.click("#many-act", "Remove")
    await tab.until("document.querySelectorAll('.picture').length == 2", "they are gone")
    assert await tab.text("#chosen span") == "0 chosen"
    await tab.click("#done-undo button", "Undo")
    await tab.until("document.querySelectorAll('.picture').length == 4", "they are back")
    await tab.click("#filter button", "Show all")
    await tab.click("#chosen button", "All shown")
    await tab.until("document.querySelector('#chosen span').innerText == '4 chosen'", "all")
    await tab.click("#choose")
    await tab.until("document.querySelectorAll('.picture.chosen').length == 0", "none any more")
    await lab.until_card(thread, batch.id, "red hat")
    assert tab.complaints == []


async def test_a_run_of_pictures_is_chosen_with_shift(lab, browser, pictures):
    _, _, tab = await page_of(lab, browser, pictures)
    await tab.click("#choose")
    event = "new MouseEvent('click', {{ bubbles: true, shiftKey: {} }})"
    press = f"document.querySelectorAll('.thumb')[{{}}].dispatchEvent({event})"
    await tab.run(press.format(3, "false"))
    await tab.run(press.format(1, "true"))
    await tab.until("document.querySelector('#chosen span').innerText == '3 chosen'", "both ends and between")
    await tab.click("[data-kind=bare]")
    await tab.until("document.querySelector('#chosen span').innerText == '3 chosen, 2 not shown'", "honestly")


async def test_a_pattern_and_the_order_of_tags(lab, browser, pictures, shots):
    _, _, tab = await page_of(lab, browser, pictures)
    await tab.click("#replace")
    await tab.until("document.querySelector('#many').open && document.activeElement.matches('#many input')", "the form")
    await tab.do("Input.insertText", text=r"red (\w+")
    await tab.run("document.querySelector('#many select').value = 'pattern'")
    await tab.shot(shots / "32-replace.png")
    await tab.click("#many-act")
    await tab.until("document.querySelector('#many-said').innerText.includes('not a pattern I can use')", "the refusal")
    await tab.write("#many input", r"red (\w+)")
    await tab.click("#many-act")
    await tab.until("document.querySelectorAll('.changes del').length == 3", "what it would change")
    await tab.run("document.querySelector('#many').close()")
    await tab.click("#sort-name")
    await tab.until("document.querySelector('#many-title').innerText == 'Sort tags by name?'", "the offer")
    await tab.click("#many-act")
    await tab.until(f"{CAPTIONS}[0] == 'lisaxl, woman, red hat, smile'", "sorted")
    assert tab.complaints == []


async def test_a_question_that_was_cancelled_does_not_come_back(lab, browser, pictures, monkeypatch):
    """A pattern may be tried for seconds; its answer must not take the place of what is asked meanwhile."""
    _, _, tab = await page_of(lab, browser, pictures)
    edits = lab.bot.services.bulk.edits
    real, gate = edits.offer, asyncio.Event()

    async def slow(*args):
        await gate.wait()
        return await real(*args)

    await tab.run("""window.fetch = ((real) => async (path, more) => {
        const answer = await real(path, more);
        if (path === 'api/edits') setTimeout(() => { window.answered = true; });
        return answer;
    })(window.fetch)""")
    monkeypatch.setattr(edits, "offer", slow)
    await tab.click("#sort-name")
    await tab.click("[data-kind=red]")
    await tab.click("#filter button", "Drop 4 red")
    await tab.until("document.querySelector('#many-title').innerText == 'Drop 4 red?'", "another question")
    gate.set()
    await tab.until("window.answered", "the first one's answer")
    await tab.until("!document.querySelector('#many-act').disabled")
    assert await tab.text("#many-title") == "Drop 4 red?"
    assert await tab.text("#many-act") == "Drop"


async def test_several_come_back_though_another_was_dropped_since(lab, browser, pictures):
    _, _, tab = await page_of(lab, browser, pictures)
    await tab.click("#choose")
    await tab.run("for (const each of [...document.querySelectorAll('.thumb')].slice(0, 2)) each.click()")
    await tab.click("#chosen button", "Remove")
    await tab.click("#many-act", "Remove")
    await tab.until("document.querySelectorAll('.picture').length == 2", "they are gone")
    last = await tab.run("Number(document.querySelector('.picture:last-child').dataset.picture)")
    await lab.bot.services.checks.quality.drop_chosen(1, lab.alice.id, {last})
    await tab.click("#done-undo button", "Undo")
    await tab.until("document.querySelector('#done').innerText.includes('2 pictures brought back')", "they are back")
    await tab.until("document.querySelectorAll('.picture').length == 3", "but not the other")


async def test_the_keyboard_goes_on_to_a_picture_that_is_shown(lab, browser, pictures):
    """The second and the fourth have the tag, and the second is removed while those are shown."""
    thread = await lab.create()
    await lab.batch(thread, pictures(4))
    async with lab.bot.services.store.transaction() as tx:
        await tx.execute(
            "UPDATE picture SET revision = 1,"
            " caption = 'lisaxl, woman, ' || (CASE id % 2 WHEN 0 THEN 'hat' ELSE 'cap' END)"
        )
    tab = await browser.tab(await lab.page_link(thread))
    await tab.until("document.querySelectorAll('.picture').length == 4", "the pictures")
    await tab.run("document.querySelector('#tag-box').open = true")
    await tab.click("#tags button", "hat")
    await tab.until(f"{SHOWN} == 2", "the filter")
    await tab.click(".picture button", "Remove")
    await tab.click(".box button", "Remove")
    await tab.until("document.querySelectorAll('.picture').length == 3", "it is gone")
    await tab.until("document.activeElement.matches('.picture:not([hidden]) .thumb')", "the keyboard")


async def test_tags_in_almost_all_are_taken_out_together(lab, browser, pictures, shots):
    _, _, tab = await page_of(lab, browser, pictures, 10)
    await tab.click("#common")
    await tab.until("document.querySelectorAll('.box-line').length == 2", "both of them")
    await tab.shot(shots / "33-common.png")
    await tab.click("#many-act")
    await tab.until("document.querySelector('#many-said').innerText == 'Choose what to remove.'", "none is chosen")
    await tab.click(".box-line", "smile")
    await tab.click("#many-act")
    await tab.until("document.querySelector('#many-title').innerText == 'Remove “smile”?'", "the offer")
    assert tab.complaints == []


async def test_captions_come_back_from_a_file(lab, browser, pictures, tmp_path, shots):
    _, _, tab = await page_of(lab, browser, pictures)
    file = await lab.bot.services.bulk.files.export(1, lab.alice.id, "text")
    changed, other = tmp_path / "lisa captions.txt", tmp_path / "notes.txt"
    (tmp_path / "large.txt").write_bytes(b"x" * 3 * 2**20)
    changed.write_bytes(file.data.replace(b"red hat", b"a blue hat"))
    other.write_bytes(b"buy milk")
    await tab.until("document.querySelector('#import').offsetParent", "the button")
    await tab.choose("#import-file", [other])
    await tab.until("document.querySelector('#done').innerText.includes('Nothing was imported.')", "the refusal")
    await tab.choose("#import-file", [tmp_path / "large.txt"])
    await tab.until("document.querySelector('#done').innerText.includes('may have 2 MB here')", "the limit")
    await tab.choose("#import-file", [changed])
    await tab.until("document.querySelector('#many-title').innerText == 'Import captions?'", "the offer")
    await tab.until("document.querySelectorAll('.changes li').length == 3", "what it would change")
    await tab.shot(shots / "35-import.png")
    await tab.click("#many-act", "Apply")
    await tab.until(f"{CAPTIONS}[0] == 'lisaxl, woman, smile, a blue hat'", "the change")
    assert tab.complaints == []


async def test_filters_show_what_is_meant(lab, browser, pictures):
    _, _, tab = await page_of(lab, browser, pictures)
    await tab.click("[data-kind=bare]")
    await tab.until(f"{SHOWN} == 1", "those without a caption")
    await tab.click("#filter button", "Show all")
    await tab.until(f"{SHOWN} == 4", "all")


async def test_red_pictures_go_and_come_back(lab, browser, pictures, shots):
    """96 pixels are too few: all of them are red once the bot has looked."""
    thread, _, tab = await page_of(lab, browser, pictures)
    await tab.click("[data-kind=red]")
    await tab.until(f"{SHOWN} == 4", "the red ones")
    await tab.click("#filter button", "Drop 4 red")
    await tab.click("#many-act", "Drop")
    await tab.until("document.querySelectorAll('.picture').length == 0", "they are gone")
    await tab.click("#report-box button", "Bring 4 back")
    await tab.until("document.querySelectorAll('.picture').length == 4", "they are back")
    assert await tab.run(f"{CAPTIONS}[0]") == "lisaxl, woman, smile, red hat"
    await lab.until_card(thread, (await lab.card(thread, "add")).id, "4 pictures")
    assert tab.complaints == []


async def test_an_archive_by_the_page(lab, browser, pictures, tmp_path, shots):
    gallery = tmp_path / "gallery.zip"
    gallery.write_bytes(packed({**dict(pictures(3)), "notes.pdf": b"%PDF"}))
    (tmp_path / "broken.zip").write_bytes(b"no archive")
    thread = await lab.create()
    tab = await browser.tab(await lab.page_link(thread))
    await tab.until("!document.querySelector('#main').hidden", "the page")
    await tab.choose("#files", [gallery, tmp_path / "broken.zip"])
    await tab.until("document.querySelector('#line').innerText.includes('You can close')", "the end")
    assert "3 added" in await tab.text("#line")
    said = await tab.text("#problems")
    assert "Left out of “gallery.zip”, as not pictures or their captions: “notes.pdf”." in said
    assert "“broken.zip” is not a ZIP archive" in said
    await tab.until("document.querySelectorAll('.picture').length == 3", "its pictures")
    await tab.shot(shots / "12-archive.png")
    assert tab.complaints == []


async def test_on_a_phone_every_button_is_large_enough_and_named(lab, browser, pictures, shots):
    _, _, tab = await page_of(lab, browser, pictures, screen=PHONE)
    await tab.run("for (const each of document.querySelectorAll('details')) each.open = true")
    await tab.click("#tags button", "smile")
    await tab.click("#choose")
    buttons = "[...document.querySelectorAll('button, summary, input:not([type=file], .pick *), .choose')]"
    await tab.until(f"{buttons}.length > 20", "all of them")
    size = "Math.min(e.offsetHeight, e.offsetWidth)"
    small = f"{buttons}.filter((e) => e.offsetParent && {size} < 44).map((e) => e.outerHTML)"
    assert await tab.run(small) == []
    await tab.run("document.querySelector('#views').scrollIntoView()")
    await tab.shot(shots / "34-chosen-phone.png")
    assert await tab.run(
        "document.querySelector('#chosen').scrollWidth <= document.querySelector('#chosen').offsetWidth"
    )
    picks = "[...document.querySelectorAll('.pick')]"
    assert await tab.run(f"{picks}.every((each) => [0, 44].includes(each.offsetHeight) && each.control.ariaLabel)")
    nameless = f"{buttons}.filter((e) => !(e.innerText || e.ariaLabel || '').trim()).map((e) => e.outerHTML)"
    assert await tab.run(nameless) == []
    assert await tab.run("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"


async def test_what_was_written_stays_when_the_link_expires(lab, browser, pictures, monkeypatch):
    _, _, tab = await page_of(lab, browser, pictures)
    await tab.write(".picture textarea", "an hour of work")
    monkeypatch.setattr(lab.bot.services.passes, "expired", lambda made: True)
    await tab.run("dispatchEvent(new Event('online'))")
    await tab.until("document.querySelector('#notice').innerText.includes('has expired')", "the end")
    assert "still here, to be copied" in await tab.text("#notice")
    assert await tab.run("!document.querySelector('#main').hidden")
    assert await tab.run(f"{CAPTIONS}[0]") == "an hour of work"


async def test_arrow_keys_lead_through_the_pictures(lab, browser, pictures):
    _, _, tab = await page_of(lab, browser, pictures)
    await tab.click(".thumb")
    await tab.until("document.querySelector('#look').open", "the first picture")
    for key, number in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2)):
        await tab.do("Input.dispatchKeyEvent", type="keyDown", key=key)
        await tab.until(f"document.querySelector('#look-name').innerText.startsWith('{number} ')", f"picture {number}")
    await tab.run("document.querySelector('#look').close()")
    await tab.until("document.activeElement == document.querySelectorAll('.thumb')[1]", "the keyboard stays there")


async def test_it_looks_ever_more_seldom_and_not_while_it_is_hidden(lab, browser):
    """The page's own pace, with a clock that a test holds in its hand."""
    thread = await lab.create()
    tab = await browser.tab(await lab.page_link(thread))
    await tab.until("!document.querySelector('#main').hidden", "the page")
    steps = """(async () => {
        const { Pace } = await import("./pace.js");
        const said = { pauses: [], looks: 0 };
        let [hidden, found, waiting] = [false, { news: true, busy: true }, null];
        const pace = new Pace(async () => { said.looks += 1; return found; }, {
            hidden: () => hidden,
            later: (act, pause) => { waiting = act; said.pauses.push(pause / 1000); return act; },
            cancel: (timer) => { if (waiting === timer) waiting = null; },
        });
        const pass = async () => { const act = waiting; waiting = null; act(); await pace.looking; };
        await pace.now();
        found = { news: false, busy: true };
        for (let turn = 0; turn < 5; turn += 1) await pass();
        found = { news: false, busy: false };
        for (let turn = 0; turn < 3; turn += 1) await pass();
        hidden = true;
        pace.turned();
        said.asleep = waiting === null;
        hidden = false;
        const before = said.looks;
        pace.turned();
        await pace.looking;
        said.awake = said.looks - before;
        found = null;
        await pass();
        pace.turned();
        said.ended = waiting === null && said.looks === before + 2;
        return JSON.stringify(said);
    })()"""
    said = json.loads(await tab.run(steps))
    assert said["pauses"] == [2, 4, 8, 16, 20, 20, 40, 60, 60, 4]
    assert (said["asleep"], said["awake"], said["ended"]) == (True, 1, True)
