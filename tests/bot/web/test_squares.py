"""Squares on the page: the service of the card in Discord, only for pictures of the pass's dataset."""

import pytest

from bot.rules.pictures.squares import NO_ROOM, WHAT
from bot.store.quality import write_measures
from tests.bot.conftest import make_picture
from tests.bot.rules.test_quality import measures
from tests.bot.services.conftest import OTHER, OWNER, incoming, rows
from tests.bot.web.site import HELPER


@pytest.fixture
async def wide(site, shown, store):
    """The first of three pictures is large and wide, so that its square has room."""
    async with store.transaction() as tx:
        await tx.execute("UPDATE picture SET width = 3000, height = 2000 WHERE id = ?", (shown[0]["id"],))
    return shown[0]["id"]


async def test_the_squares_of_a_dataset(site, wide, shown, store):
    status, said = await site.ask("GET", "api/squares")
    assert (status, said["what"], said["used"], said["now"]) == (200, WHAT, False, "Now: shapes are kept.")
    assert [each["picture"] for each in said["cuts"]] == [each["id"] for each in shown]
    assert [each["chosen"] for each in said["cuts"]] == [False] * 3
    left, top, right, lower = said["cuts"][0]["box"]
    assert ((right - left) * 3000, (lower - top) * 2000) == pytest.approx((2000, 2000), rel=1e-4)
    assert said["groups"] == [
        {"level": "red", "numbers": ["2", "3"], "said": "under 512 pixels: enlarged a lot. Better keep their shapes."}
    ]
    assert said["cuts"][1]["level"] == "amber", "nothing is measured yet, but the square is small"
    async with store.transaction() as tx:
        for (file,) in [tuple(row) for row in await tx.execute_fetchall("SELECT file FROM picture")]:
            await write_measures(tx, file, measures())
    said = (await site.ask("GET", "api/squares"))[1]
    assert sum(said["squares"].values()) == sum(said["shapes"].values()) == 3
    assert all(each["level"] and each["why"] for each in said["cuts"])


async def test_squares_are_used_or_shapes_kept(site, shown, store):
    status, said = await site.post("api/squares", {"use": True}, HELPER)
    assert (status, said["used"], said["said"]) == (200, True, "Trainings from now on use the squares.")
    assert await rows(store, "SELECT square FROM dataset") == [(1,)]
    look = (await site.ask("GET", "api/dataset"))[1]["report"]["look"]
    assert look[0].startswith("Look for yourself, I cannot see it: other characters")
    assert look[1] == "Judged by their squares, which trainings use."
    status, said = await site.post("api/squares", {"use": False})
    assert (status, said["used"], said["said"]) == (200, False, "Trainings from now on keep each picture's shape.")


async def test_a_square_is_moved_by_presses_and_put_back(site, wide):
    before = (await site.ask("GET", "api/squares"))[1]["cuts"][0]
    status, moved = await site.post(f"api/squares/{wide}", {"move": "left"})
    assert (status, moved["chosen"], moved["said"]) == (200, True, "")
    assert moved["box"][0] < before["box"][0]
    for _ in range(4):
        moved = (await site.post(f"api/squares/{wide}", {"move": "left"}))[1]
    assert (moved["box"][0], moved["said"]) == (0, NO_ROOM)
    assert (await site.post(f"api/squares/{wide}", {"move": "closer"}))[1]["side"] < moved["side"]
    status, back = await site.post(f"api/squares/{wide}", {"move": "reset"})
    assert (status, back["box"], back["chosen"]) == (200, before["box"], False)


@pytest.mark.parametrize("body", [None, [], {}, {"move": "away"}, {"move": ["left"]}, {"move": 1}, {"use": True}])
async def test_what_is_no_move_is_refused(site, shown, body):
    assert (await site.post(f"api/squares/{shown[0]['id']}", body))[0] == 400


@pytest.mark.parametrize("body", [None, [], {}, {"use": 1}, {"use": "true"}, {"move": "left"}])
async def test_what_is_no_choice_is_refused(site, shown, body, store):
    assert (await site.post("api/squares", body))[0] == 400


async def test_squares_of_others_are_not_moved(site, shown, datasets, asked, intake, store):
    other = await datasets.create(asked(name="Other", trigger="otherxl"))
    foreign = (await intake.add(other.id, OWNER, "m", [incoming("x.jpg", make_picture(seed=7))])).added[0].id
    assert (await site.post(f"api/squares/{foreign}", {"move": "left"}))[0] == 404
    assert (await site.post(f"api/squares/{'9' * 18}", {"move": "left"}))[0] == 404
    for path, body in (("api/squares", {"use": True}), (f"api/squares/{shown[0]['id']}", {"move": "left"})):
        assert (await site.post(path, body, OTHER))[0] == 403
    assert (await site.ask("GET", "api/squares", OTHER))[0] == 403
    assert await rows(store, "SELECT DISTINCT focus FROM picture") == [("",)]


async def test_a_dataset_put_away_keeps_its_squares(site, shown, store):
    async with store.transaction() as tx:
        await tx.execute("UPDATE dataset SET archived_at = 1")
    assert (await site.ask("GET", "api/squares"))[0] == 200
    for path, body in (("api/squares", {"use": True}), (f"api/squares/{shown[0]['id']}", {"move": "left"})):
        status, said = await site.post(path, body)
        assert (status, "put away" in said["error"]) == (409, True)


async def test_without_pictures_there_are_no_squares(site):
    assert await site.ask("GET", "api/squares") == (404, {"error": "There are no pictures yet. Add some first."})
