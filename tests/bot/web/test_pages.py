"""The pages' interface: only with a good pass, only what the pass is for, bounded, and nothing of it leaks."""

import contextlib
import io
import json

import aiohttp
import pytest

from bot.web.limits import REQUESTS_PER_MINUTE, UPLOADS_PER_MEMBER, Limits, TooMany
from bot.web.links import Links
from bot.web.pages import MAX_JSON_BYTES, STATIC
from bot.web.signing import Signer
from tests.bot.conftest import make_picture
from tests.bot.services.conftest import OTHER, OWNER, incoming, rows, tag_all
from tests.bot.web.site import HELPER, SECRET, sha256

# --- the pass -------------------------------------------------------------------------------------------------------
ROUTES = (
    ("GET", "api/dataset"),
    ("GET", "api/picture/1"),
    ("DELETE", "api/picture/1"),
    ("PUT", "api/caption/1"),
    ("PUT", f"api/file/{'0' * 64}"),
    ("PUT", f"api/file/{'0' * 64}?name=a.zip"),
    ("GET", "api/edits"),
    ("POST", "api/edits"),
    ("POST", "api/edits/1/apply"),
    ("POST", "api/edits/1/undo"),
    ("GET", "api/captions?form=text"),
    ("POST", "api/red"),
    ("POST", "api/captions?name=a.txt"),
    ("GET", "api/tagger"),
    ("PUT", "api/tagger"),
    ("DELETE", "api/tagger"),
    ("POST", "api/recaption"),
    ("GET", "api/recaption"),
    ("DELETE", "api/recaption"),
    ("GET", "api/squares"),
    ("POST", "api/squares"),
    ("POST", "api/squares/1"),
    ("POST", "api/drop"),
    ("POST", "api/drop/undo"),
)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: "Bearer",
        lambda text: "Bearer x",
        lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
        lambda text: text.replace("Bearer 1.", "Bearer 2."),
        lambda text: text.replace(f".{OWNER}.", f".{OTHER}."),
        lambda text: text.replace(".", ".9", 1),
        lambda text: text + "0",
        lambda text: text.replace("Bearer", "Basic"),
        lambda text: text.rpartition(".")[0] + "." + "é" * 64,
    ],
)
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_without_a_good_pass_nothing_is_told(site, change, method, path):
    header = change(site.headers(OWNER)["Authorization"])
    status, said = await site.ask(method, path, headers={"Authorization": header} if header else {}, data=b"")
    assert status == 401
    assert said == {"error": "This link is not complete. Press Upload many on the dataset's card for a fresh link."}


async def test_a_downloads_signature_opens_no_page(site):
    """Both kinds of links are signed with one secret."""
    links = Links(Signer(SECRET, site.server.base_url), 1.0)
    signature = links.link("1.11.9999999999").rpartition("=")[2]
    status, _ = await site.ask("GET", "api/dataset", headers={"Authorization": f"Bearer 1.11.9999999999.{signature}"})
    assert status == 401


async def test_a_pass_expires(site):
    headers = site.headers(OWNER)
    site.clock.now += 12 * 3600 - 2
    assert (await site.ask("GET", "api/dataset", headers=headers))[0] == 200
    site.clock.now += 3
    status, said = await site.ask("GET", "api/dataset", headers=headers)
    assert (status, "expired" in said["error"]) == (401, True)


async def test_a_pass_is_for_one_dataset_and_one_member(site, datasets, asked, intake):
    other = await datasets.create(asked(name="Other", trigger="otherxl", owner_id=OTHER))
    report = await intake.add(other.id, OTHER, "m", [incoming("secret.jpg", make_picture(seed=5))])
    foreign = report.added[0].id
    for method, path in (("GET", f"api/picture/{foreign}"), ("DELETE", f"api/picture/{foreign}")):
        assert (await site.ask(method, path))[0] == 404
    body = json.dumps({"text": "x", "seen": report.added[0].caption, "revision": 0})
    assert (await site.ask("PUT", f"api/caption/{foreign}", data=body))[0] == 404
    status, said = await site.ask("GET", "api/dataset", OTHER)
    assert (status, "somebody else" in said["error"]) == (403, True)
    assert (await site.put(make_picture(), OTHER))[0] == 403


async def test_a_helper_works_here_and_is_out_as_soon_as_taken_out(site, sharing, dataset):
    status, said = await site.put(make_picture(), HELPER)
    assert (status, said["state"]) == (200, "added")
    assert (await site.ask("GET", "api/dataset", HELPER))[1]["role"] == "helper"
    await sharing.remove(dataset.id, OWNER, HELPER)
    assert (await site.ask("GET", "api/dataset", HELPER))[0] == 403
    assert (await site.ask("GET", f"api/picture/{said['pictures'][0]['id']}", HELPER))[0] == 403


# --- handing over ---------------------------------------------------------------------------------------------------
async def test_a_file_is_added_once_however_often_it_is_sent(site, store):
    data = make_picture()
    first = await site.put(data)
    assert first[1]["state"] == "added"
    assert await site.put(data) == first, "an answer that was lost is given again"
    status, said = await site.put(data, name="copy.jpg")
    assert (status, said["state"]) == (200, "known")
    assert said["why"] == "“copy.jpg” is the same as picture 1, “a.jpg”; it was not added again."
    assert await rows(store, "SELECT COUNT(*), COUNT(DISTINCT batch_id) FROM picture") == [(1, 1)]


async def test_all_files_of_a_pass_are_one_batch(site, store):
    headers = site.headers(OWNER)
    for seed in range(3):
        await site.put(make_picture(seed=seed), headers=headers)
    site.clock.now += 60
    await site.put(make_picture(seed=9))
    assert await rows(store, "SELECT COUNT(*) FROM picture GROUP BY batch_id") == [(3,), (1,)]


async def test_a_file_that_did_not_arrive_whole_is_not_taken(site, store):
    data = make_picture()
    status, said = await site.ask("PUT", f"api/file/{sha256(data)}", params={"name": "a.jpg"}, data=data[:-1])
    assert (status, said) == (400, {"error": "“a.jpg” did not arrive whole."})
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(0,)]


async def test_a_file_too_large_is_refused_by_its_length_and_while_it_comes(site, config, store):
    large = b"x" * (config.intake.max_file_bytes + 1)
    status, said = await site.ask("PUT", f"api/file/{sha256(large)}", data=io.BytesIO(large))
    assert (status, "larger than 2 MB" in said["error"]) == (413, True)

    async def pieces():
        for at in range(0, len(large), 65536):
            yield large[at : at + 65536]

    with contextlib.suppress(aiohttp.ClientError):  # it may hang up while the rest is still being sent
        assert (await site.ask("PUT", f"api/file/{sha256(large)}", data=pieces()))[0] == 400
    assert await rows(store, "SELECT COUNT(*) FROM picture") == [(0,)]


async def test_a_full_dataset_and_one_put_away_say_so(site, config, store):
    for seed in range(config.intake.max_pictures):
        assert (await site.put(make_picture(seed=seed)))[1]["state"] == "added"
    status, said = await site.put(make_picture(seed=40), name="more.jpg")
    assert (status, said["state"]) == (200, "refused")
    assert "The dataset is full: 12 pictures is the most. Left out: “more.jpg”." in said["why"]
    async with store.transaction() as tx:
        await tx.execute("UPDATE dataset SET archived_at = 1")
    status, said = await site.put(make_picture(seed=41))
    assert (status, "put away" in said["error"]) == (409, True)


async def test_a_member_cannot_take_all_places():
    limits = Limits()
    async with contextlib.AsyncExitStack() as held:
        for _ in range(UPLOADS_PER_MEMBER):
            await held.enter_async_context(limits.upload(1))
        with pytest.raises(TooMany):
            await held.enter_async_context(limits.upload(1))
        await held.enter_async_context(limits.upload(2))
    async with limits.upload(1):
        pass


async def test_a_member_who_asks_without_end_waits_for_the_next_minute(site):
    headers = site.headers(OWNER)
    for _ in range(REQUESTS_PER_MINUTE):
        site.limits.count(OWNER)
    status, said = await site.ask("GET", "api/dataset", headers=headers)
    assert (status, site.answer.headers["Retry-After"]) == (429, "2")
    assert "goes on by itself" in said["error"]
    assert (await site.ask("GET", "api/dataset", HELPER))[0] == 200
    site.clock.now += 60
    assert (await site.ask("GET", "api/dataset", headers=headers))[0] == 200


# --- the sheet ------------------------------------------------------------------------------------------------------
async def test_a_caption_is_stored_cleaned_and_a_conflict_shows_the_other(site):
    picture = (await site.put(make_picture()))[1]["pictures"][0]
    status, said = await site.edit(picture, "Smile,, woman , lisaxl")
    assert (status, said["caption"], said["revision"]) == (200, "lisaxl, woman, Smile", 1)
    status, said = await site.edit(picture, "by the helper", HELPER)
    assert (status, said["caption"], said["revision"]) == (409, "lisaxl, woman, Smile", 1)
    status, said = await site.edit(said, "by the helper", HELPER)
    assert (status, said["caption"]) == (200, "lisaxl, woman, by the helper")


async def test_an_edit_does_not_overwrite_what_the_tagger_wrote_meanwhile(site, captions):
    picture = (await site.put(make_picture()))[1]["pictures"][0]
    await tag_all(captions, 1)
    status, said = await site.edit(picture, "mine")
    assert (status, said["caption"]) == (409, "lisaxl, woman, smile")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"text": 1}', b"\xff", b'{"text": "x", "seen": "", "revision": "0"}']
)
async def test_what_is_no_edit_is_refused(site, body):
    assert (await site.ask("PUT", "api/caption/1", data=body))[0] == 400


async def test_a_body_too_large_for_json_is_refused(site):
    assert (await site.ask("PUT", "api/caption/1", data=b'"' + b"x" * 70_000))[0] == 413


async def test_pictures_come_small_and_go_for_good(site, files):
    picture = (await site.put(make_picture((640, 480))))[1]["pictures"][0]
    status, body = await site.ask("GET", f"api/picture/{picture['id']}")
    assert (status, site.answer.content_type, body[:2]) == (200, "image/jpeg", b"\xff\xd8")
    assert (await site.ask("GET", f"api/picture/{picture['id']}?side=9999"))[0] == 400
    assert (await site.ask("DELETE", f"api/picture/{picture['id']}"))[0] == 200
    assert (await site.ask("GET", f"api/picture/{picture['id']}"))[0] == 404
    assert (await site.ask("GET", "api/dataset"))[1]["pictures"] == []
    assert list(files._root.iterdir()) == []


async def test_more_than_the_server_takes_is_said_like_any_error(site):
    picture = (await site.put(make_picture()))[1]["pictures"][0]
    status, said = await site.edit(picture, "x" * MAX_JSON_BYTES)
    assert (status, said) == (413, {"error": "That is more than I take at once. Shorten it."})
    assert site.answer.headers["X-Content-Type-Options"] == "nosniff"
    assert site.answer.headers["Cache-Control"] == "no-store"


# --- what browsers are told -------------------------------------------------------------------------------------------
async def test_every_answer_is_closed_to_other_sites(site):
    await site.put(make_picture())
    for path in (*STATIC, "api/dataset", "api/picture/1", "api/picture/99"):
        await site.ask("GET", path)
        sent = site.answer.headers
        assert sent["X-Content-Type-Options"] == "nosniff", path
        assert sent["Referrer-Policy"] == "no-referrer", path
        assert sent["Cache-Control"] == "no-store", path
        assert "default-src 'none'" in sent["Content-Security-Policy"], path
        assert "unsafe" not in sent["Content-Security-Policy"], path
        assert "Access-Control-Allow-Origin" not in sent, path
        assert "Set-Cookie" not in sent, path
    status, _ = await site.ask(
        "OPTIONS", "api/dataset", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    )
    assert status == 405
    assert "Access-Control-Allow-Origin" not in site.answer.headers


async def test_the_page_holds_no_inline_script_and_reaches_nobody_else(site):
    _, body = await site.ask("GET", "", headers={})
    page = body.decode()
    assert "<script>" not in page
    assert "style=" not in page
    assert " on" not in "".join(part.split(">")[0] for part in page.split("<")[1:] if " on" in part.split(">")[0])
    for name in STATIC:
        status, body = await site.ask("GET", name, headers={})
        assert status == 200
        assert b"http://" not in body.replace(b"on a plain http address", b"")
        assert b"https://" not in body
        assert b"innerHTML" not in body


@pytest.mark.parametrize("name", ["passes.py", "../links.py", "..%2flinks.py", "static/page.js", "%00", "page.js%00"])
async def test_nothing_else_is_served(site, name):
    assert (await site.ask("GET", name, headers={}))[0] == 404


async def test_no_pass_is_logged(site, caplog):
    caplog.set_level("DEBUG")
    await site.put(make_picture())
    await site.put(make_picture(), OTHER)
    assert site.headers(OWNER)["Authorization"].rpartition(".")[2] not in caplog.text


async def test_a_link_carries_its_pass_where_no_server_sees_it(site):
    link = site.passes.link(1, OWNER)
    address, _, secret = link.url.partition("#")
    assert address == f"{site.server.base_url()}/u/"
    assert site.passes.check(secret).user_id == OWNER
    assert len(link.url) < 512, "Discord's limit of a button's address"
