"""Everything of bulk editing, built once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.config import TaggerConfig
from bot.services.bulk.edits import BulkEdits
from bot.services.bulk.files import CaptionFiles
from bot.services.bulk.looks import Looks
from bot.services.bulk.patterns import Patterns
from bot.services.bulk.recaption import Recaptioner
from bot.services.dataset.files import FileStore
from bot.services.dataset.tag_options import TagSettings
from bot.store.database import Store
from bot.vision.tagging.tagger import Tagger


@dataclass(frozen=True, slots=True)
class Bulk:
    """What `/captions` is made of."""

    edits: BulkEdits
    files: CaptionFiles
    recaptioner: Recaptioner
    looks: Looks
    settings: TagSettings

    @classmethod
    def build(
        cls, store: Store, pictures: FileStore, tagger: Tagger, host: TaggerConfig, clock: Callable[[], float]
    ) -> Bulk:
        """The services over the store."""
        edits = BulkEdits(store, Patterns(), clock)
        recaptioner = Recaptioner(edits, pictures, tagger, host)
        looks = Looks(store, edits, recaptioner, clock)
        return cls(edits, CaptionFiles(edits), recaptioner, looks, TagSettings(store, host))
