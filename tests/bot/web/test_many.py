"""What the page changes in many captions at once: seen before, refused to strangers, taken back."""

import contextlib
import io
import zipfile

import pytest

from bot.web.limits import REQUESTS_PER_MINUTE, TooMany
from tests.bot.conftest import make_picture
from tests.bot.services.conftest import OTHER, OWNER, incoming, rows
from tests.bot.web.site import HELPER, captions_of

SMILE = {"do": "remove", "tag": "smile"}


async def foreign_edit(site, datasets, asked, intake, store):
    """An edit of another dataset of the same member's: the pass is not for that one."""
    other = await datasets.create(asked(name="Other", trigger="otherxl"))
    await intake.add(other.id, OWNER, "m", [incoming("x.jpg", make_picture(seed=7))])
    async with store.transaction() as tx:
        await tx.execute("UPDATE picture SET caption = 'otherxl, smile', tagged = 1 WHERE dataset_id = ?", (other.id,))
    headers = site.headers(OWNER, other.id)
    status, offer = await site.post("api/edits", SMILE, headers=headers)
    assert status == 200
    return offer["id"]


# --- tags everywhere ------------------------------------------------------------------------------------------------
async def test_a_tag_goes_everywhere_after_it_was_shown_and_comes_back(site, shown):
    status, offer = await site.post("api/edits", SMILE)
    assert (status, offer["title"], offer["total"]) == (200, "Remove “smile”", 3)
    assert [each["number"] for each in offer["changes"]] == [1, 2]
    assert ["gone", "smile"] in [[kind, text.strip(" ,")] for kind, text in offer["changes"][0]["pieces"]]
    assert await captions_of(site) == ["smile, red hat", "Smile, blue sky", "blue sky"], "nothing is changed yet"
    assert (await site.post(f"api/edits/{offer['id']}/apply"))[0] == 200
    assert await captions_of(site) == ["red hat", "blue sky", "blue sky"]
    status, said = await site.post(f"api/edits/{offer['id']}/undo")
    assert (status, said) == (200, {"title": "Remove “smile”", "restored": 2, "kept": 0})
    assert await captions_of(site) == ["smile, red hat", "Smile, blue sky", "blue sky"]


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ({"do": "rename", "tag": "blue sky", "new": "clouds"}, ["smile, red hat", "Smile, clouds", "clouds"]),
        ({"do": "first", "tag": "red hat"}, ["red hat, smile", "Smile, blue sky", "blue sky"]),
        (
            {"do": "add", "text": "outdoors"},
            ["smile, red hat, outdoors", "Smile, blue sky, outdoors", "blue sky, outdoors"],
        ),
        ({"do": "replace", "find": "blue", "by": "grey"}, ["smile, red hat", "Smile, grey sky", "grey sky"]),
    ],
)
async def test_other_edits(site, shown, what, left):
    _, offer = await site.post("api/edits", what)
    assert (await site.post(f"api/edits/{offer['id']}/apply"))[0] == 200
    assert await captions_of(site) == left


async def test_what_moved_meanwhile_is_shown_and_not_overwritten(site, shown):
    _, offer = await site.post("api/edits", SMILE)
    await site.edit(shown[0], "smile, green hat", HELPER)
    status, fresh = await site.post(f"api/edits/{offer['id']}/apply")
    assert (status, fresh["id"]) == (409, offer["id"])
    assert any("green" in text for _, text in fresh["changes"][0]["pieces"])
    assert "smile, green hat" in await captions_of(site)
    assert (await site.post(f"api/edits/{offer['id']}/apply"))[0] == 200
    status, said = await site.post(f"api/edits/{offer['id']}/apply")
    assert (status, "applied already" in said["error"]) == (409, True)


async def test_what_would_change_nothing_and_what_is_no_edit(site, shown):
    status, said = await site.post("api/edits", {"do": "remove", "tag": "unicorn"})
    assert (status, said) == (409, {"error": "No caption would change."})
    status, said = await site.post("api/edits", {"do": "replace", "find": " ", "by": ""})
    assert (status, said) == (409, {"error": "Write what is to be found."})
    for body in (
        None,
        [],
        {},
        {"do": "pattern", "find": "(a+)+"},
        {"do": "remove", "tag": 1},
        {"do": "add", "text": "x" * 1001},
    ):
        assert (await site.post("api/edits", body))[0] == 400, body
    assert (await site.post("api/edits/99/apply"))[0] == 404
    assert await rows_of_edits(site) == 0


async def rows_of_edits(site):
    return (await site.ask("GET", "api/edits"))[1]["total"]


async def test_strangers_and_one_taken_out_change_nothing(site, shown, sharing, dataset):
    _, offer = await site.post("api/edits", SMILE)
    await sharing.remove(dataset.id, OWNER, HELPER)
    for user in (OTHER, HELPER):
        for path, body in (
            ("api/edits", SMILE),
            (f"api/edits/{offer['id']}/apply", None),
            ("api/red", {"digest": "x"}),
            ("api/drop", {"pictures": [shown[0]["id"]]}),
        ):
            assert (await site.post(path, body, user))[0] == 403, path
        assert (await site.ask("GET", "api/edits", user))[0] == 403
        assert (await site.ask("GET", "api/captions?form=text", user))[0] == 403
    assert await captions_of(site) == ["smile, red hat", "Smile, blue sky", "blue sky"]


async def test_a_pass_reaches_no_edit_of_another_dataset(site, shown, datasets, asked, intake, store):
    edit_id = await foreign_edit(site, datasets, asked, intake, store)
    for deed in ("apply", "undo"):
        assert (await site.post(f"api/edits/{edit_id}/{deed}"))[0] == 404
    assert ("otherxl, smile",) in await rows(store, "SELECT caption FROM picture")


async def test_a_dataset_put_away_is_not_changed(site, shown, store):
    _, offer = await site.post("api/edits", SMILE)
    async with store.transaction() as tx:
        await tx.execute("UPDATE dataset SET archived_at = 1")
    for path, body in (
        ("api/edits", SMILE),
        (f"api/edits/{offer['id']}/apply", None),
        ("api/drop", {"pictures": [1]}),
        ("api/drop/undo", {}),
    ):
        status, said = await site.post(path, body)
        assert (status, "put away" in said["error"]) == (409, True), path


async def test_edits_count_as_requests(site, shown):
    with contextlib.suppress(TooMany):
        for _ in range(REQUESTS_PER_MINUTE):
            site.limits.count(OWNER)
    assert (await site.post("api/edits", SMILE))[0] == 429


async def test_the_history_says_what_was_done_and_by_whom(site, shown):
    _, offer = await site.post("api/edits", SMILE, HELPER)
    await site.post(f"api/edits/{offer['id']}/apply", None, HELPER)
    past = (await site.ask("GET", "api/edits"))[1]["past"]
    assert [(each["title"], each["captions"], each["mine"], each["undone"]) for each in past] == [
        ("Remove “smile”", 2, False, False)
    ]
    assert (await site.ask("GET", "api/edits", HELPER))[1]["past"][0]["mine"]


async def test_captions_as_files(site, shown):
    status, body = await site.ask("GET", "api/captions?form=text")
    assert (status, b"red hat" in body) == (200, True)
    assert site.answer.headers["Content-Disposition"] == 'attachment; filename="lisaxl-captions.txt"'
    _, body = await site.ask("GET", "api/captions?form=zip")
    assert len(zipfile.ZipFile(io.BytesIO(body)).namelist()) == 3
    assert (await site.ask("GET", "api/captions?form=exe"))[0] == 400


async def test_tags_are_told_as_the_rules_count_them(site, shown):
    said = (await site.ask("GET", "api/dataset"))[1]
    assert said["bare"] == "lisaxl, woman"
    assert set(said["tags"]) == {"smile", "red hat", "blue sky"}
    assert said["tags"]["smile"].casefold() == "smile"
    assert [each["tags"] for each in said["pictures"]] == [["red hat", "smile"], ["blue sky", "smile"], ["blue sky"]]
    _, edited = await site.edit(said["pictures"][0], "red hat, She smiles, with her eyes closed.")
    assert edited["tags"] == ["red hat"], "no part of a sentence is a tag"
