"""What the page changes in many captions at once: seen before, refused to strangers, taken back."""

import contextlib
import io
import zipfile

import pytest

from bot.web.limits import EDITS_PER_MEMBER, REQUESTS_PER_MINUTE, TooMany
from tests.bot.conftest import make_picture
from tests.bot.services.conftest import OTHER, OWNER, incoming, rows
from tests.bot.web.site import HELPER, captions_of

REPLACE = {"do": "replace", "how": "text", "find": "x", "by": ""}
SMILE = {"do": "remove", "tags": ["smile"]}


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
            {"do": "add", "text": "outdoors", "place": "last"},
            ["smile, red hat, outdoors", "Smile, blue sky, outdoors", "blue sky, outdoors"],
        ),
        (
            {"do": "add", "text": "outdoors", "place": "first"},
            ["outdoors, smile, red hat", "outdoors, Smile, blue sky", "outdoors, blue sky"],
        ),
        (REPLACE | {"find": "blue", "by": "grey"}, ["smile, red hat", "Smile, grey sky", "grey sky"]),
        (REPLACE | {"how": "tag", "find": "SMILE", "by": ""}, ["red hat", "blue sky", "blue sky"]),
        (
            REPLACE | {"how": "pattern", "find": r"(red|blue) (\w+)", "by": r"\2 in \1"},
            ["smile, hat in red", "Smile, sky in blue", "sky in blue"],
        ),
        ({"do": "sort", "by": "name"}, ["red hat, smile", "blue sky, Smile", "blue sky"]),
        ({"do": "sort", "by": "frequency"}, ["smile, red hat", "blue sky, Smile", "blue sky"]),
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
    assert (status, said["error"]) == (409, "This was applied already. The history has it, and can undo it.")


async def test_an_edit_of_chosen_pictures_leaves_the_others(site, shown, datasets, asked, intake, store):
    await foreign_edit(site, datasets, asked, intake, store)
    foreign = (await rows(store, "SELECT id FROM picture WHERE dataset_id <> 1"))[0][0]
    status, offer = await site.post("api/edits", SMILE | {"pictures": [shown[1]["id"], shown[2]["id"], foreign, 99]})
    assert (status, [each["picture"] for each in offer["changes"]]) == (200, [shown[1]["id"]])
    await site.edit(shown[1], "smile, hat")
    status, fresh = await site.post(f"api/edits/{offer['id']}/apply")
    assert (status, [each["picture"] for each in fresh["changes"]]) == (409, [shown[1]["id"]]), "the same ones anew"
    assert (await site.post(f"api/edits/{offer['id']}/apply"))[0] == 200
    assert await captions_of(site) == ["smile, red hat", "hat", "blue sky"]
    assert ("otherxl, smile",) in await rows(store, "SELECT caption FROM picture")


async def test_what_would_change_nothing(site, shown):
    status, said = await site.post("api/edits", {"do": "remove", "tags": ["unicorn"]})
    assert (status, said) == (409, {"error": "No caption would change."})
    for how in ("text", "tag", "pattern"):
        status, said = await site.post("api/edits", REPLACE | {"how": how, "find": " "})
        assert (status, said) == (409, {"error": "Write what is to be found."})
    assert (await site.post("api/edits/99/apply"))[0] == 404
    assert await rows_of_edits(site) == 0


@pytest.mark.parametrize(
    ("find", "said"), [("(", "not a pattern I can use"), ("(a|a)*$", "took longer than 3 seconds")]
)
async def test_a_pattern_that_is_none_or_never_ends_changes_nothing(site, shown, find, said):
    await site.edit((await site.pictures())[0], "a" * 60 + "!")
    status, answer = await site.post("api/edits", REPLACE | {"how": "pattern", "find": find})
    assert (status, said in answer["error"]) == (409, True)


async def test_one_member_does_not_work_out_many_edits_at_once(site, shown):
    async with contextlib.AsyncExitStack() as held:
        for _ in range(EDITS_PER_MEMBER):
            await held.enter_async_context(site.limits.edit(OWNER))
        assert (await site.post("api/edits", SMILE))[0] == 429
        assert (await site.post("api/edits", SMILE, HELPER))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        *(None, [], "x", {}, {"do": "fly"}, {"do": ["dedupe"]}, {"do": "remove"}, {"do": "remove", "tags": "smile"}),
        *({"do": "remove", "tags": [1]}, {"do": "remove", "tags": [["a"]]}, {"do": "remove", "tags": ["x" * 1001]}),
        {"do": "remove", "tags": ["a"] * 201},
        *({"do": "add", "text": "x" * 1001, "place": "last"}, {"do": "add", "text": "x"}, {"do": "add", "text": 1}),
        *({"do": "add", "text": "x", "place": "middle"}, {"do": "sort"}, {"do": "sort", "by": "colour"}),
        *({"do": "replace", "find": "x", "by": ""}, {"do": "replace", "how": "magic", "find": "x", "by": ""}),
        *(SMILE | {"pictures": each} for each in ([], None, "1", [0], [True], [1.0], [2**63], {"1": 1})),
    ],
)
async def test_what_is_no_edit(site, shown, body):
    status, said = await site.post("api/edits", body)
    assert (status, "do not understand" in said["error"]) == (400, True)
    assert await rows_of_edits(site) == 0


async def test_half_an_emoji_and_what_cannot_be_seen_are_no_errors(site, shown):
    """A field's limit may cut a character in two."""
    for words in ("red\ud83d hat", "red hat\x00", "\u202ered hat"):
        status, said = await site.post("api/edits", {"do": "add", "text": words, "place": "last"})
        assert status in (200, 409), said


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


async def test_tags_in_almost_all_captions_are_told(site, shown):
    assert (await site.ask("GET", "api/dataset"))[1]["common"] == [], "three pictures are too few to say so"
    for seed in range(3, 6):
        picture = (await site.put(make_picture(seed=seed)))[1]["pictures"][0]
        await site.edit(picture, "blue sky, solo")
    for picture in (await site.pictures())[:3]:
        await site.edit(picture, "Blue_Sky, smile")
    said = (await site.ask("GET", "api/dataset"))[1]
    assert [each.casefold().replace("_", " ") for each in said["common"]] == ["blue sky"]
    assert "“lisaxl” then learns it" in said["why_common"]
