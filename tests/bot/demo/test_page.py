"""The demo's page over HTTP: what its extra bar does, and who may."""

import aiohttp
import pytest

from bot.demo.page import ACTION_HEADER, open_page

pytestmark = pytest.mark.slow


class Browser:
    """The page as its script uses it."""

    def __init__(self, session, preview):
        self.session = session
        self.address, _, self.capability = preview.url.partition("/#")
        self.context = ""

    async def open(self):
        headers = {"X-Simcord-Capability": self.capability}
        async with self.session.post(f"{self.address}/api/pages", json={}, headers=headers) as answer:
            self.context = (await answer.json())["context"]["id"]

    async def act(self, files=(), capability=None, **fields):
        form = aiohttp.FormData(default_to_multipart=True)
        for name, value in fields.items():
            form.add_field(name, value)
        for name, data in files:
            form.add_field("file", data, filename=name)
        headers = {
            ACTION_HEADER: "1",
            "X-Simcord-Capability": capability or self.capability,
            "X-Simcord-Context": self.context,
        }
        async with self.session.post(f"{self.address}/api/action", data=form, headers=headers) as answer:
            return answer.status, await answer.json() if answer.status == 200 else {}


@pytest.fixture
async def browser(lab):
    """An open page on the lobby, as alice."""
    async with open_page(lab.env, lab.lobby, lab.alice, 0) as preview, aiohttp.ClientSession() as session:
        page = Browser(session, preview)
        await page.open()
        yield page


async def test_it_lists_channels_and_goes_to_a_new_thread(lab, browser):
    thread = await lab.create()
    _, answer = await browser.act(kind="channels")
    assert [(each["name"], each["here"]) for each in answer["channels"]] == [("workshop", True), ("Lisa", False)]
    _, answer = await browser.act(kind="go", channel=str(thread.id))
    assert [each["name"] for each in answer["channels"] if each["here"]] == ["Lisa"]


async def test_pictures_posted_on_it_reach_the_dataset(lab, browser, pictures):
    thread = await lab.create()
    await browser.act(kind="go", channel=str(thread.id))
    await browser.act(pictures(2), kind="post", text="two")
    await lab.until_rows("SELECT id FROM picture", lambda rows: len(rows) == 2)


async def test_the_message_menu_acts_on_the_newest_own_post(lab, browser, pictures):
    await lab.create()
    await browser.act(pictures(1), kind="post", text="in the lobby, so nothing is taken yet")
    assert await lab.rows("SELECT id FROM picture") == []
    await browser.act(kind="menu", name="Add to dataset")
    await lab.until_rows("SELECT id FROM picture", lambda rows: len(rows) == 1)


async def test_the_menu_without_a_post_and_an_unknown_channel_are_told(browser):
    _, answer = await browser.act(kind="menu", name="Add to dataset")
    assert "Post a picture here first" in answer["error"]
    _, answer = await browser.act(kind="go", channel="12345")
    assert "not open to you" in answer["error"]
    status, answer = await browser.act(kind="go", channel="no number")
    assert status == 200
    assert "not open to you" in answer["error"]


async def test_nobody_acts_without_the_pages_key(lab, browser, pictures):
    status, _ = await browser.act(pictures(1), capability="wrong", kind="post", text="hello")
    assert status == 401
    assert lab.lobby.history() == []
