"""What the page drops: only what was seen or chosen, brought back whoever dropped something since."""

import pytest

from bot.store.quality import write_measures
from tests.bot.conftest import make_picture
from tests.bot.rules.test_quality import measures
from tests.bot.services.conftest import OWNER, incoming
from tests.bot.web.site import HELPER, captions_of


@pytest.fixture
async def red(site, shown, store):
    """The first picture is blurred beyond use, the others are good; the report."""
    async with store.transaction() as tx:
        await tx.execute("UPDATE picture SET width = 1200, height = 1500, compared = 1")
        for place, (file,) in enumerate(await rows_in(tx, "SELECT file FROM picture ORDER BY id")):
            await write_measures(tx, file, measures(sharpness=2.0) if place == 0 else measures())
    return (await site.ask("GET", "api/dataset"))[1]["report"]


async def rows_in(tx, query):
    return [tuple(row) for row in await tx.execute_fetchall(query)]


async def test_red_pictures_are_dropped_and_brought_back(site, red, shown):
    assert (red["red"], red["dropped"], red["measuring"]) == (1, 0, 0)
    assert red["groups"][0]["level"] == "red"
    status, said = await site.post("api/red", {"digest": red["digest"]})
    assert (status, said["dropped"], said["days"]) == (200, 1, 7)
    now = (await site.ask("GET", "api/dataset"))[1]
    assert [each["id"] for each in now["pictures"]] == [each["id"] for each in shown[1:]]
    assert (now["report"]["red"], now["report"]["dropped"]) == (0, 1)
    status, other = await site.post("api/drop/undo", {"drop": said["drop"] - 1})
    assert (status, "Others were dropped since" in other["error"], "*" in other["error"]) == (409, True, False)
    assert await site.post("api/drop/undo", {"drop": said["drop"]}) == (200, {"back": 1, "again": 0})
    assert [each["caption"] for each in await site.pictures()] == [each["caption"] for each in shown]
    status, said = await site.post("api/drop/undo", {})
    assert (status, "nothing to bring back" in said["error"]) == (409, True)


async def test_only_what_was_seen_is_dropped(site, red, shown, store):
    async with store.transaction() as tx:
        for (file,) in await rows_in(tx, "SELECT file FROM picture"):
            await write_measures(tx, file, measures(sharpness=2.0))
    status, said = await site.post("api/red", {"digest": red["digest"]})
    assert (status, "has changed meanwhile" in said["error"]) == (409, True)
    for body in (None, {}, {"digest": 1}):
        assert (await site.post("api/red", body))[0] == 400
    assert len(await site.pictures()) == len(shown)


# --- chosen ones ----------------------------------------------------------------------------------------------------
async def test_a_picture_is_removed_and_comes_back_though_another_went_since(site, shown):
    first, second, third = (each["id"] for each in shown)
    status, said = await site.post("api/drop", {"pictures": [first]})
    assert (status, said["dropped"], said["days"]) == (200, 1, 7)
    site.clock.now += 1
    assert (await site.post("api/drop", {"pictures": [third]}, HELPER))[0] == 200
    assert await captions_of(site) == ["Smile, blue sky"]
    status, other = await site.post("api/drop/undo", {"drop": said["drop"]})
    assert (status, "Others were dropped since" in other["error"]) == (409, True)
    assert await site.post("api/drop/undo", {"picture": first}) == (200, {"back": 1, "again": 0})
    assert await captions_of(site) == ["smile, red hat", "Smile, blue sky"]
    assert (await site.post("api/drop/undo", {"picture": second}))[0] == 409, "it was never gone"
    assert await site.post("api/drop/undo", {}) == (200, {"back": 1, "again": 0}), "the last, as on the report"


async def test_several_go_together_and_one_that_is_gone_is_left_out(site, shown):
    ids = [each["id"] for each in shown]
    await site.ask("DELETE", f"api/picture/{ids[0]}")
    status, said = await site.post("api/drop", {"pictures": [*ids, ids[1], 99]})
    assert (status, said["dropped"]) == (200, 2)
    assert await site.pictures() == []
    assert await site.post("api/drop", {"pictures": ids}) == (404, {"error": "This was removed already."})
    assert (await site.post("api/drop/undo", {"picture": ids[2]}))[1] == {"back": 2, "again": 0}


async def test_a_pass_drops_nothing_of_another_dataset(site, shown, datasets, asked, intake):
    other = await datasets.create(asked(name="Other", trigger="otherxl"))
    foreign = (await intake.add(other.id, OWNER, "m", [incoming("x.jpg", make_picture(seed=7))])).added[0].id
    assert (await site.post("api/drop", {"pictures": [foreign]}))[0] == 404
    headers = site.headers(OWNER, other.id)
    assert (await site.post("api/drop", {"pictures": [foreign]}, headers=headers))[0] == 200
    assert (await site.post("api/drop/undo", {"picture": foreign}))[0] == 409
    assert (await site.post("api/drop/undo", {"picture": foreign}, headers=headers))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        *(None, [], "x", {"pictures": None}, {"pictures": []}, {"pictures": [True]}, {"pictures": ["1"]}),
        *({"pictures": [0]}, {"pictures": [-1]}, {"pictures": [1.5]}, {"pictures": [2**63]}, {"pictures": [[1]]}),
    ],
)
async def test_what_is_no_choice_is_refused(site, shown, body):
    assert (await site.post("api/drop", body))[0] == 400
    assert len(await site.pictures()) == 3


@pytest.mark.parametrize(
    "body", [None, [], {"drop": "1"}, {"picture": "1"}, {"picture": True}, {"picture": 2**63}, {"x": 1}]
)
async def test_what_names_no_drop_is_refused(site, shown, body):
    assert (await site.post("api/drop/undo", body))[0] == 400


@pytest.mark.parametrize("path", ["api/drop", "api/drop/undo", "api/red", "api/edits"])
async def test_brackets_inside_brackets_are_no_json(site, shown, path):
    assert (await site.ask("POST", path, data=b"[" * 60_000))[0] == 400
