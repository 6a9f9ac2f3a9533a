"""A re-caption in a real browser: how far it is, what it would change, and a page that is loaded anew meanwhile."""

import asyncio

import pytest

from bot.services.bulk import recaption
from tests.bot.web.chromium import BINARY, DESK, PHONE

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BINARY, reason="no Chromium on this machine")]

CAPTIONS = "[...document.querySelectorAll('.picture textarea')].map((each) => each.value)"

STOPPING = """((real) => async (path, more) => {
    const answer = await real(path, more);
    if (window.stopping === false || path !== 'api/recaption' || more.method !== 'GET') return answer;
    return new Response(JSON.stringify({ ...await answer.json(), stopping: true }));
})"""
"""The page's `fetch`, with the bot's answer as it is while a look is being stopped, until the test says otherwise."""


@pytest.fixture
def gate(lab, monkeypatch):
    """The tagger looks at one picture at a time and waits before the second until a test lets it go on."""
    monkeypatch.setattr(recaption, "CHUNK", 1)
    gate, tag, asked = asyncio.Event(), lab.bot.services.tagger.tag, []

    async def slow(paths, cut, model):
        asked.append(paths)
        if len(asked) == 2:
            await gate.wait()
        return await tag(paths, cut, model)

    gate.hold = lambda: (asked.clear(), monkeypatch.setattr(lab.bot.services.tagger, "tag", slow))
    return gate


async def page_of(lab, browser, pictures, gate, screen=DESK, scheme="light"):
    thread = await lab.create()
    batch = await lab.batch(thread, pictures(3))
    async with lab.bot.services.store.transaction() as tx:
        await tx.execute("UPDATE picture SET revision = 1, caption = 'lisaxl, woman, red, hat'")
    gate.hold()
    tab = await browser.tab(await lab.page_link(thread), screen, scheme)
    await tab.until("document.querySelectorAll('.picture .thumb img[src]').length == 3", "the pictures")
    await tab.run("document.querySelector('#tag-box').open = true")
    return thread, batch, tab


async def test_it_goes_on_while_the_page_is_loaded_anew_and_is_shown_before_it_is_done(
    lab, browser, pictures, gate, shots
):
    thread, batch, tab = await page_of(lab, browser, pictures, gate)
    await tab.click("#recaption")
    await tab.until("document.querySelector('#many').open", "the question")
    await tab.shot(shots / "40-recaption.png")
    await tab.click("#many-act", "Begin")
    await tab.until("document.querySelector('#looking').innerText.includes('looked at 1 of 3 pictures')", "how far")
    await tab.shot(shots / "41-looking.png")
    await tab.go("Page.reload")
    await tab.until("document.querySelector('#looking').innerText.includes('looked at 1 of 3 pictures')", "still")
    gate.set()
    await tab.click("#looking button", "Show")
    await tab.until("document.querySelectorAll('.changes li').length == 3", "what it would change")
    await tab.shot(shots / "42-recaptioned.png")
    await tab.click("#many-close")
    await tab.click("#tags button", "hat")
    await tab.click("#filter button", "Put first")
    await tab.click("#many-act", "Apply")
    await tab.until("document.querySelector('#done').innerText.includes('3 captions changed')", "another message")
    await tab.click("#filter button", "Show all")
    await tab.shot(shots / "42b-undecided.png")
    await tab.click("#looking button", "Discard")
    await tab.until("document.querySelector('#done').innerText.includes('Nothing was changed.')", "a second thought")
    assert await tab.run("document.querySelector('#looking').hidden")
    await tab.click("#done button", "Show again")
    await tab.click("#many-act", "Apply")
    await tab.until("document.querySelector('#many').innerText.includes('Captions changed meanwhile')", "that they did")
    await tab.click("#many-act", "Apply")
    await tab.until(f"{CAPTIONS}[0].includes('solo')", "the tagger's tags")
    assert "3 captions changed" in await tab.text("#done-words")
    assert (await tab.run(f"{CAPTIONS}[0]")).startswith("lisaxl, woman, hat, red, ")
    await lab.until_card(thread, batch.id, "solo")
    assert tab.complaints == []


async def test_on_a_phone_chosen_ones_are_looked_at_and_it_is_stopped(lab, browser, pictures, gate, shots):
    _, _, tab = await page_of(lab, browser, pictures, gate, PHONE, "dark")
    await tab.click("#choose")
    await tab.run("document.querySelectorAll('.thumb')[0].click()")
    await tab.run("document.querySelectorAll('.thumb')[2].click()")
    await tab.click("#chosen button", "Re-caption")
    await tab.until("document.querySelector('#many-title').innerText == 'Re-caption 2 chosen pictures'", "whose")
    await tab.click("#many-act", "Begin")
    await tab.until("document.querySelector('#looking').innerText.includes('looked at 1 of 2 pictures')", "how far")
    await tab.run("document.querySelector('#views').scrollIntoView()")
    await tab.shot(shots / "43-looking-phone.png")
    await tab.click("#looking button", "Stop")
    await tab.until("document.querySelector('#looking').innerText.includes('Stopping')", "a word about it")
    gate.set()
    await lab.bot.services.posts.under_way.ended(60)
    await tab.run("dispatchEvent(new Event('online'))")
    await tab.until("document.querySelector('#looking').hidden", "the end")
    assert await tab.run(f"{CAPTIONS}") == ["lisaxl, woman, red, hat"] * 3
    assert tab.complaints == []


async def test_what_the_bot_says_of_a_stop_and_a_restart_is_shown(lab, browser, pictures, gate, monkeypatch):
    _, _, tab = await page_of(lab, browser, pictures, gate)
    await tab.run(f"window.fetch = {STOPPING}(window.fetch)")
    await tab.click("#recaption")
    await tab.click("#many-act", "Begin")
    await tab.until("document.querySelector('#looking').innerText == 'Stopping …'", "another page stops it")
    await tab.run("window.stopping = false; dispatchEvent(new Event('online'))")
    await tab.until("document.querySelector('#looking').innerText.includes('looked at 1 of 3')", "it goes on")

    async def forgotten(*whose):
        return None

    monkeypatch.setattr(lab.bot.services.bulk.looks, "seen", forgotten)
    await tab.run("dispatchEvent(new Event('online'))")
    await tab.until("document.querySelector('#done').innerText.includes('the bot was restarted')", "why it is gone")
    assert await tab.run("document.querySelector('#looking').hidden")
    gate.set()
    assert tab.complaints == []


async def test_chosen_pictures_removed_under_a_question_do_not_make_it_one_about_all(lab, browser, pictures, gate):
    _, _, tab = await page_of(lab, browser, pictures, gate)
    gate.set()
    await tab.click("#choose")
    await tab.run("document.querySelector('.thumb').click()")
    await tab.click("#chosen button", "Re-caption")
    await tab.until("document.querySelector('#many-title').innerText == 'Re-caption 1 chosen picture'", "whose")
    first = await tab.run("Number(document.querySelector('.picture').dataset.picture)")
    await lab.bot.services.checks.quality.drop_chosen(1, lab.alice.id, {first})
    await tab.run("dispatchEvent(new Event('online'))")
    await tab.until("document.querySelectorAll('.picture').length == 2", "it is gone")
    await tab.click("#many-act", "Begin")
    await tab.until("document.querySelector('#done').innerText.includes('These pictures were removed.')", "not all")
    assert await tab.run(CAPTIONS) == ["lisaxl, woman, red, hat"] * 2
    assert tab.complaints == []


async def test_the_taggers_options_are_changed_in_a_form(lab, browser, pictures, gate, shots):
    _, _, tab = await page_of(lab, browser, pictures, gate, PHONE)
    await tab.click("#tagger")
    await tab.until("document.querySelectorAll('#many textarea').length == 3", "the form")
    await tab.shot(shots / "44-tagger.png")
    await tab.write("#many textarea", "solo, watermark")
    await tab.write("#many input", "seven")
    await tab.click("#many-act", "Save")
    await tab.until("document.querySelector('#many-said').innerText.includes('from 0 to 1')", "what is wrong")
    assert await tab.run("document.querySelector('#many textarea').value") == "solo, watermark", (
        "what was written stays"
    )
    await tab.write("#many input", "auto")
    await tab.click("#many-act", "Save")
    await tab.until("document.querySelector('#done').innerText.includes('Tagger options saved.')", "the end")
    options = await lab.bot.services.bulk.settings.of(1, lab.alice.id)
    assert (options.undesired, options.mcut) == (("solo", "watermark"), True)
    await tab.click("#tagger")
    await tab.click("#many button", "Back to what is usual")
    await tab.until("document.querySelector('#done').innerText.includes('the usual ones again')", "back")
    assert (await lab.bot.services.bulk.settings.of(1, lab.alice.id)).undesired == ()
    assert tab.complaints == []
