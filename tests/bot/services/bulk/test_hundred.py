"""A hundred drawn avatars: captioned by the real tagger in its process, a tag taken out everywhere and brought back."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from bot.config import TaggerConfig
from bot.rules.bulk.operations import RemoveTags
from bot.services.dataset.captions import Captions
from bot.services.intake.intake import Intake
from bot.vision.tagging.tagger import CHUNK, Tagger
from tests.bot.services.conftest import OWNER, QuickDecoder, incoming
from tests.bot.vision.tagging.reference import Predictor
from trainer.toy.assets import tagger_folder
from trainer.toy.avatars import draw, random_avatar

HUNDRED = 100
ACCURACY = 0.97
"""Share of true tags that the toy tagger finds on avatars it never saw, and of found ones that are true."""


@pytest.fixture(scope="module")
def avatars():
    rng = np.random.default_rng(987_654_322)
    return [random_avatar(rng) for _ in range(HUNDRED)]


@pytest.fixture
async def tagger():
    opened = Tagger(TaggerConfig(model=str(tagger_folder()), threads=2))
    yield opened
    await opened.close()


@pytest.fixture
async def batch(store, files, config, dataset, avatars):
    room = dataclasses.replace(
        config, intake=dataclasses.replace(config.intake, max_pictures=HUNDRED, max_files=HUNDRED)
    )
    offered = []
    for number, avatar in enumerate(avatars):
        out = io.BytesIO()
        draw(avatar, 256).save(out, "PNG")
        offered.append(incoming(f"IMG_{number}.png", out.getvalue()))
    report = await Intake(store, files, QuickDecoder(room.intake), room).add(dataset.id, OWNER, "m", offered)
    assert len(report.added) == HUNDRED
    return report.batch


async def test_a_hundred_avatars(store, files, dataset, batch, avatars, tagger, edits):
    calls = []

    captions = Captions(store, files, tagger, TaggerConfig())
    while (written := await captions.tag_part(batch.id)) is not None:
        calls.append(written)
    assert calls == [1, CHUNK, CHUNK, CHUNK, 3], "the first caption is there before the others are asked for"
    now = await edits.captions(dataset.id, OWNER)
    predictor = Predictor(tagger_folder())
    found = right = true = 0
    for picture, avatar in zip(now.pictures, avatars, strict=True):
        with Image.open(files.path(picture.file)) as image:
            general, _, _ = predictor.predict(image, 0.35, False, 0.85, False)
        tags = picture.caption.split(", ")
        assert tags[:2] == ["lisaxl", "woman"]
        assert tags[2:] == [tag for tag in general if tag != "1girl"]
        wanted = set(avatar.tags()) - {"1girl"}
        found, true, right = found + len(tags) - 2, true + len(wanted), right + len(wanted & set(tags))
    assert right >= ACCURACY * true
    assert right >= ACCURACY * found

    before = [picture.caption.encode() for picture in now.pictures]
    common = now.counts[0].tag
    offer = await edits.offer(dataset.id, OWNER, RemoveTags(tags=(common,)))
    await edits.apply(offer.edit.id, OWNER)
    without = (await edits.captions(dataset.id, OWNER)).pictures
    assert not any(common in picture.caption.split(", ") for picture in without)
    assert len(offer.changes) == now.counts[0].pictures
    await edits.undo(offer.edit.id, OWNER)
    assert [picture.caption.encode() for picture in (await edits.captions(dataset.id, OWNER)).pictures] == before
