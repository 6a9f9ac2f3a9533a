"""A dataset's tagger options: the host's where nothing else is said, kept in the database, used by the tagger."""

import dataclasses

import pytest

from bot.errors import NotYours, Refused, TaggerError
from bot.services.dataset.captions import Captions
from bot.services.dataset.tag_options import TagSettings, cut_of, default_options, options_of
from bot.services.intake.captioning import CaptionWriter
from bot.vision.tagging.wd14 import Cut, TagResult
from tests.bot.conftest import make_picture
from tests.bot.services.conftest import OTHER, OWNER, incoming, rows, tag_all


@pytest.fixture
def host(config):
    return dataclasses.replace(
        config.tagger,
        general_threshold=0.4,
        undesired=("watermark",),
        replacements={"specs": "glasses"},
        models=("m/two",),
    )


@pytest.fixture
def settings(store, host):
    return TagSettings(store, host)


async def test_a_dataset_starts_with_the_hosts_and_what_fits_its_kind(datasets, asked, host):
    for kind, profile, characters in (
        *(("person", "photo-face", "leave-out"), ("character", "plain", "leave-out")),
        *(("style", "plain", "keep"), ("object", "plain", "keep")),
    ):
        options = default_options(await datasets.create(asked(name=kind, kind=kind)), host)
        assert (options.profile, options.characters) == (profile, characters)
        assert (options.general, options.undesired, options.replacements) == (
            0.4,
            ("watermark",),
            (("specs", "glasses"),),
        )


async def test_changes_are_kept_and_what_was_not_changed_follows_the_host(settings, datasets, dataset, host):
    await settings.change(dataset.id, OWNER, first=("a", "b"), replacements=(("x", "y"),), ratings="last")
    await settings.change(dataset.id, OWNER, general=0.4, model="m/two")
    found = await datasets.get(dataset.id)
    options = options_of(found, dataclasses.replace(host, general_threshold=0.2))
    assert (options.first, options.replacements, options.ratings) == (("a", "b"), (("x", "y"),), "last")
    assert (options.general, options.model) == (0.2, "m/two"), "0.4 was the host's own, so it is not the member's wish"
    assert options_of(found, dataclasses.replace(host, models=())).model == "", "no longer offered"
    assert cut_of(options) == Cut(0.2, 0.85, False)
    await settings.reset(dataset.id, OWNER)
    assert options_of(await datasets.get(dataset.id), host) == default_options(found, host)


async def test_only_the_owner_changes_them_and_only_to_models_that_are_offered(settings, dataset):
    with pytest.raises(NotYours):
        await settings.change(dataset.id, OTHER, mcut=True)
    with pytest.raises(NotYours):
        await settings.reset(dataset.id, OTHER)
    with pytest.raises(Refused, match="not offered"):
        await settings.change(dataset.id, OWNER, model="/etc")


async def test_the_tagger_is_asked_by_them(settings, store, files, tagger, intake, dataset, host):
    await settings.change(dataset.id, OWNER, model="m/two", mcut=True, undesired=("smile",), first=("hat",))
    tagger.result = TagResult((("smile", 0.9), ("specs", 0.8), ("hat", 0.7)), (), "general")
    report = await intake.add(dataset.id, OWNER, "m", [incoming("a.jpg", make_picture())])
    captions = Captions(store, files, tagger, host)
    await tag_all(captions, report.batch.id)
    assert (tagger.model, tagger.cut.mcut) == ("m/two", True)
    assert (await captions.get(report.added[0].id)).caption == "lisaxl, woman, hat, glasses"


async def test_a_large_batch_holds_nobody_up(
    store, files, intake, datasets, asked, dataset, config, tagger, monkeypatch
):
    """Whoever comes while it is worked on gets the first caption before it goes on."""
    monkeypatch.setattr("bot.services.dataset.captions.CHUNK", 2)
    other = await datasets.create(asked(name="Other"))
    offered = [incoming(f"{seed}.jpg", make_picture(seed=seed)) for seed in range(5)]
    await intake.add(dataset.id, OWNER, "m", offered)

    async def meanwhile():
        await intake.add(other.id, OWNER, "m", offered[:2])

    tagger.meanwhile = meanwhile
    drawn = []
    captions = Captions(store, files, tagger, config.tagger)
    writer = CaptionWriter(store, captions, lambda: drawn.append(len(tagger.asked)))
    await writer.write_all()
    assert drawn == [1, 2, 4, 6, 7]
    order = [path.name for path in tagger.asked]
    assert order[1] == order[0], "the other dataset's first picture"
    assert await rows(store, "SELECT count(*) FROM picture WHERE tagged = 0") == [(0,)]


async def test_a_model_that_fails_holds_up_only_those_who_chose_it(
    settings, store, files, tagger, intake, datasets, asked, dataset, host, caplog
):
    other = await datasets.create(asked(name="Other"))
    await settings.change(dataset.id, OWNER, model="m/two")
    for each in (dataset, other):
        await intake.add(each.id, OWNER, "m", [incoming("a.jpg", make_picture(seed=each.id))])
    captions = Captions(store, files, tagger, host)
    usual = tagger.tag

    async def tag(paths, cut, model):
        if model:
            raise TaggerError("This model is broken.")
        return await usual(paths, cut, model)

    tagger.tag = tag
    await CaptionWriter(store, captions, lambda: None).write_all()
    assert await rows(store, "SELECT dataset_id, tagged FROM picture ORDER BY id") == [(dataset.id, 0), (other.id, 1)]
    assert caplog.text.count("captions wait") == 1
