"""The Discord tests' server and bot for the browser; for calls the server without Discord."""

import os
from pathlib import Path

import pytest

from bot.services.dataset.sharing import Sharing
from tests.bot.conftest import make_picture
from tests.bot.discord.conftest import lab, pictures, quick  # noqa: F401
from tests.bot.services.conftest import (  # noqa: F401 - fixtures
    OWNER,
    asked,
    captions,
    dataset,
    datasets,
    files,
    intake,
    jobs,
    tagger,
)
from tests.bot.web.chromium import chromium
from tests.bot.web.site import HELPER, site_of


@pytest.fixture
def sharing(store) -> Sharing:
    return Sharing(store, lambda: None, lambda: 3000.0)


@pytest.fixture
async def site(store, config, intake, captions, files, dataset, sharing, tagger):  # noqa: F811
    """The pages over a dataset of OWNER's that HELPER helps with."""
    await sharing.invite(dataset.id, OWNER, HELPER)
    async with site_of(store, config, intake, captions, files, tagger) as made:
        yield made


@pytest.fixture
async def shown(site):
    """Three pictures whose captions a member wrote."""
    for seed, words in enumerate(("smile, red hat", "Smile, blue sky", "blue sky")):
        picture = (await site.put(make_picture(seed=seed)))[1]["pictures"][0]
        await site.edit(picture, words)
    return await site.pictures()


@pytest.fixture
def shots(tmp_path) -> Path:
    """Where screenshots go; LORELEI_SHOTS keeps them to be looked at."""
    return Path(os.environ.get("LORELEI_SHOTS") or tmp_path / "shots")


@pytest.fixture
async def browser(tmp_path):
    async with chromium(tmp_path / "profile") as found:
        yield found
