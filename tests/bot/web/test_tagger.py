"""The tagger's options on the page: read, changed by the fields of the forms in Discord, and put back."""

import dataclasses

import pytest

from bot.services.dataset.tag_options import options_of
from tests.bot.services.conftest import OTHER, OWNER, rows
from tests.bot.web.site import HELPER

FIELDS = ("model", "cut", "profile", "characters", "ratings", "underscores", "undesired", "replacements", "first")


@pytest.fixture
def config(config):
    """A host that offers a second model."""
    return dataclasses.replace(config, tagger=dataclasses.replace(config.tagger, models=("host/other",)))


async def form_of(site, user=OWNER):
    """The fields as the page sends them back."""
    status, said = await site.ask("GET", "api/tagger", user)
    assert status == 200
    return {name: said[name] for name in FIELDS}


async def put(site, form, user=OWNER):
    return await site.ask("PUT", "api/tagger", user, json=form)


async def test_what_is_saved_unchanged_stays_what_it_was(site, dataset, store):
    assert (await site.ask("GET", "api/tagger"))[1]["models"][1] == ["host/other", "other"]
    form = await form_of(site)
    assert (form["model"], form["profile"], form["characters"]) == ("", "plain", "leave-out")
    assert (await put(site, form))[0] == 200
    assert await rows(store, "SELECT tag_options FROM dataset") == [("{}",)]


async def test_options_are_changed_by_a_helper_and_put_back(site, datasets, config):
    usual = await form_of(site)
    form = usual | {
        "model": "host/other",
        "cut": "0,5 0,9",
        "ratings": "last",
        "underscores": True,
        "undesired": "Watermark,  text\nlogo",
        "replacements": "specs -> glasses\nsmile -> ",
        "first": "hat, smile",
    }
    status, said = await put(site, form, HELPER)
    assert (status, said["cut"], said["undesired"]) == (200, "0.5, 0.9", "Watermark, text, logo")
    assert await form_of(site) == {name: said[name] for name in FIELDS}
    options = options_of(await datasets.get(1), config.tagger)
    assert (options.model, options.general, options.character, options.ratings) == ("host/other", 0.5, 0.9, "last")
    assert options.replacements == (("specs", "glasses"), ("smile", ""))
    assert (await put(site, await form_of(site)))[0] == 200, "what is read can be sent back"
    assert (await site.ask("DELETE", "api/tagger"))[0] == 200
    assert await form_of(site) == usual


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model": "evil/model"}, "not offered here"),
        ({"cut": "2"}, "from 0 to 1"),
        ({"cut": "nan"}, "from 0 to 1"),
        ({"cut": ""}, "from 0 to 1"),
        ({"replacements": "a, b"}, "is none"),
        ({"undesired": "a, " * 1334}, "4,000 characters"),
    ],
)
async def test_what_cannot_be_is_said_and_nothing_is_changed(site, dataset, store, change, why):
    status, said = await put(site, await form_of(site) | change)
    assert (status, why in said["error"]) == (409, True)
    assert await rows(store, "SELECT tag_options FROM dataset") == [("{}",)]


@pytest.mark.parametrize(
    "change",
    [
        *({"profile": "x"}, {"profile": ["plain"]}, {"characters": None}, {"ratings": 1}, {"underscores": 1}),
        *({"model": None}, {"cut": 0.5}, {"undesired": ["a"]}, {"replacements": {}}, {"first": True}),
    ],
)
async def test_what_is_no_form_is_refused(site, dataset, change):
    assert (await put(site, await form_of(site) | change))[0] == 400
    for body in ([], {}, "x", None):
        assert (await put(site, body))[0] == 400


async def test_half_an_emoji_is_left_out(site, dataset):
    status, said = await put(site, await form_of(site) | {"undesired": "red\ud83d hat", "first": "\x00a"})
    assert (status, said["undesired"]) == (200, "red hat")


async def test_strangers_neither_see_nor_change_them(site, sharing, dataset):
    form = await form_of(site)
    await sharing.remove(dataset.id, OWNER, HELPER)
    for user in (HELPER, OTHER):
        assert (await site.ask("GET", "api/tagger", user))[0] == 403
        assert (await put(site, form, user))[0] == 403
        assert (await site.ask("DELETE", "api/tagger", user))[0] == 403


async def test_a_dataset_put_away_keeps_its_options(site, dataset, store):
    form = await form_of(site)
    async with store.transaction() as tx:
        await tx.execute("UPDATE dataset SET archived_at = 1")
    for answer in (await put(site, form), await site.ask("DELETE", "api/tagger")):
        assert (answer[0], "put away" in answer[1]["error"]) == (409, True)
