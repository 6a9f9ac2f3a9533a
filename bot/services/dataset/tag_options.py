"""A dataset's tagger options: the host's, what fits the kind, and what its owner or a helper chose."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from bot.config import TaggerConfig
from bot.errors import Refused
from bot.rules.captions.tagging import TagOptions
from bot.services.dataset.datasets import allowed
from bot.store.database import Store
from bot.store.datasets import set_tag_options
from bot.store.rows import Dataset
from bot.vision.tagging.wd14 import Cut


def default_options(dataset: Dataset, host: TaggerConfig) -> TagOptions:
    """Where a dataset of its kind starts: a person's pictures are photographs, and its trigger word is its name."""
    return TagOptions(
        model="",
        general=host.general_threshold,
        character=host.character_threshold,
        mcut=host.mcut,
        profile="photo-face" if dataset.kind == "person" else "plain",
        characters="leave-out" if dataset.kind in ("person", "character") else "keep",
        ratings=host.ratings,  # type: ignore[arg-type] # checked when the config is read
        underscores=host.underscores,
        undesired=host.undesired,
        replacements=tuple(host.replacements.items()),
        first=host.first,
    )


def options_of(dataset: Dataset, host: TaggerConfig) -> TagOptions:
    """The options that hold for the dataset now; a model the host no longer offers is the host's own again."""
    values = {key: _typed(value) for key, value in json.loads(dataset.tag_options).items()}
    options = dataclasses.replace(default_options(dataset, host), **values)
    return options if options.model in host.models else dataclasses.replace(options, model="")


def cut_of(options: TagOptions) -> Cut:
    """Which probabilities count as seen."""
    return Cut(options.general, options.character, options.mcut)


class TagSettings:
    """Reads and changes tagger options."""

    def __init__(self, store: Store, host: TaggerConfig) -> None:
        self._store = store
        self.host = host

    async def of(self, dataset_id: int, user_id: int) -> TagOptions:
        """The options that hold now; raises NotFound, NotYours."""
        async with self._store.transaction() as tx:
            return options_of(await allowed(tx, dataset_id, user_id, "see"), self.host)

    async def change(self, dataset_id: int, user_id: int, **values: Any) -> TagOptions:
        """Change some options; raises NotFound, NotYours, and Refused for a model the host does not offer."""
        if values.get("model", "") not in ("", *self.host.models):
            raise Refused("This tagger is not offered here. Choose one of the list; the host can add others.")
        async with self._store.transaction() as tx:
            dataset = await allowed(tx, dataset_id, user_id, "edit")
            options = dataclasses.replace(options_of(dataset, self.host), **values)
            usual = dataclasses.asdict(default_options(dataset, self.host))
            own = {key: value for key, value in dataclasses.asdict(options).items() if value != usual[key]}
            await set_tag_options(tx, dataset_id, json.dumps(own, ensure_ascii=False))
        return options

    async def reset(self, dataset_id: int, user_id: int) -> TagOptions:
        """Back to the defaults; raises NotFound, NotYours, Refused."""
        async with self._store.transaction() as tx:
            dataset = await allowed(tx, dataset_id, user_id, "edit")
            await set_tag_options(tx, dataset_id, "{}")
        return default_options(dataset, self.host)


def _typed(value: Any) -> Any:
    """JSON has lists for tuples, and lists of lists for pairs."""
    return tuple(_typed(item) for item in value) if isinstance(value, list) else value
