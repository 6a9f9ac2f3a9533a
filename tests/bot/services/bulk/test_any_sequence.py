"""Whatever is done in bulk, in whatever order: the prefix stands once and first, and every undo is to the letter."""

import asyncio
import contextlib
import dataclasses
import re
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.config import TaggerConfig
from bot.errors import Refused
from bot.rules.bulk.operations import ReplacePattern
from bot.rules.captions.prose import tags_of
from bot.services.bulk.edits import BulkEdits
from bot.services.bulk.files import CaptionFiles
from bot.services.bulk.recaption import Recaptioner
from bot.services.dataset.captions import Captions
from bot.services.dataset.files import FileStore
from bot.store import pictures
from bot.store.database import Store
from bot.store.datasets import NewDataset, insert_dataset
from bot.store.pictures import NewPicture
from bot.vision.tagging.wd14 import TagResult
from tests.bot.rules.bulk.strategies import on_tags, on_text
from tests.bot.services.conftest import OWNER, ScriptedTagger, incoming

NEW = NewDataset(
    guild_id=1, channel_id=2, owner_id=OWNER, name="Lisa", trigger="lisaxl", class_word="woman", kind="object"
)
TRIGGERS = st.sampled_from(["lisaxl", "ohwx1", "lisa_v2", "123", "smile"])
WORDS = st.sampled_from(
    [
        *("lisaxl", "OHWX1", "lisa_v2", "123", "2020", "Woman", "lisaxl woman", "smile", "hat", "long hair", "1girl"),
        *(
            "^_^",
            ";)",
            "o,o",
            "1,5",
            "k-on!",
            "an apple",
            "the king",
            "👩\u200d🎨",
            "\u0642\u0628\u0639\u0629",
            "\u200d",
            "",
        ),
        *("She sits, Lisaxl, reading 1,000 books. Woman, or girl?", "a man, woman, and dog on a sofa, smile"),
    ]
)
JOINTS = st.sampled_from([", ", ",", "，", "\n", ",\n"])
LOOSE = st.text("lisaxlwomn ,，.é1\n_\u200d\u202e!", max_size=10)
TEXTS = st.tuples(JOINTS, st.lists(WORDS | LOOSE, max_size=4)).map(lambda pair: pair[0].join(pair[1]))
FOUND = st.sampled_from([r"\w+", r",\s*", r", ", r"(\w+) (\w+)", r"^", r"$", r"hat|smile", r"[A-Z]", r"\W+"])
PATTERNS = st.builds(ReplacePattern, find=FOUND, by=st.sampled_from(["", ",", "lisaxl, ", r"woman, \g<0>"]))
IDS = st.integers(1, 3)
ON_ALL = on_tags(WORDS, TEXTS, IDS) | on_text(WORDS, TEXTS, IDS, PATTERNS)
OPERATIONS = st.tuples(ON_ALL, st.none() | st.sets(IDS, min_size=1).map(tuple)).map(
    lambda pair: dataclasses.replace(pair[0], pictures=pair[1])
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), OPERATIONS),
        st.tuples(st.just("undo"), st.integers(0, 3)),
        st.tuples(st.just("file"), st.sampled_from(["text", "zip"]), WORDS, WORDS),
        st.tuples(st.just("look"), st.lists(WORDS, max_size=4), st.sampled_from(["overwrite", "append", "fill"])),
        st.tuples(st.just("hand"), st.integers(1, 3), TEXTS),
    ),
    max_size=8,
)


class HerePatterns:
    """The patterns above are harmless, and a process each would take long."""

    async def replaced(self, find, by, texts):
        return {key: re.sub(find, by, text) for key, text in texts.items()}


class World:
    """Three pictures and everything that changes their captions."""

    def __init__(self, store: Store, folder: Path, trigger: str) -> None:
        self.store = store
        self.trigger = trigger
        self.tagger = ScriptedTagger()
        files = FileStore(folder)
        self.edits = BulkEdits(store, HerePatterns(), clock=iter(range(10**6)).__next__)
        self.files = CaptionFiles(self.edits)
        self.hand = Captions(store, files, self.tagger, TaggerConfig())
        self.again = Recaptioner(self.edits, files, self.tagger, TaggerConfig())

    async def fill(self, bodies):
        async with self.store.transaction() as tx:
            dataset = await insert_dataset(tx, dataclasses.replace(NEW, trigger=self.trigger), "open", 5.0)
            batch = await pictures.insert_batch(tx, dataset.id, OWNER, 6.0, "m")
            for number in range(1, 4):
                row = NewPicture(f"{number:064x}.jpg", str(number), f"{number}.jpg", 9, 9, f"{self.trigger}, woman", ())
                await pictures.insert_picture(tx, batch, row)
        for number, body in enumerate(bodies, 1):
            await self.hand.edit(number, OWNER, body, 0)

    async def captions(self):
        return [each.caption for each in (await self.edits.captions(1, OWNER)).pictures]

    async def apply(self, operation) -> None:
        before = await self.captions()
        offer = await self.edits.offer(1, OWNER, operation)
        assert await self.captions() == before
        assert (await self.edits.apply(offer.edit.id, OWNER)).done
        after = await self.captions()
        await self.edits.undo(offer.edit.id, OWNER)
        assert await self.captions() == before, "an undo is to the letter"
        past, _ = await self.edits.history(1, OWNER, 1)
        await self.edits.undo(past[0].edit.id, OWNER)
        assert await self.captions() == after, "and so is its undo"

    async def step(self, kind, *what) -> None:
        match kind:
            case "edit":
                await self.apply(what[0])
            case "undo":
                past, total = await self.edits.history(1, OWNER, 1, what[0])
                if total > what[0]:
                    await self.edits.undo(past[0].edit.id, OWNER)
            case "file":
                form, old, new = what
                file = await self.files.export(1, OWNER, form)
                data = file.data if form == "zip" else file.data.replace(old.encode(), new.encode())
                offer = await self.files.offer_import(1, OWNER, incoming(file.name, data))
                await self.edits.apply(offer.edit.id, OWNER)
            case "look":
                tags, mode = what
                self.tagger.result = TagResult(tuple((tag, 0.9) for tag in tags), (), "general")
                operation, _ = await self.again.look(1, OWNER, None, mode)
                await self.apply(operation)
            case "hand":
                picture = await self.hand.get(what[0])
                await self.hand.edit(picture.id, OWNER, what[1], picture.revision)

    async def check(self) -> None:
        for caption in await self.captions():
            items = [item.casefold().strip("\u200d") for item in caption.split(", ")]
            assert items[:2] == [self.trigger, "woman"]
            assert items.count(self.trigger) == 1
            assert "woman" not in map(str.casefold, tags_of(caption.split(", ")[2:])), "in sentences it may stand"


async def play(trigger, bodies, steps) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = await Store.open(Path(folder) / "db")
        try:
            world = World(store, Path(folder), trigger)
            await world.fill(bodies)
            for step in steps:
                with contextlib.suppress(Refused):  # nothing to change, or nothing to undo: said, and nothing happens
                    await world.step(*step)
                await world.check()
        finally:
            await store.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(TRIGGERS, st.lists(TEXTS, min_size=3, max_size=3), STEPS)
def test_the_prefix_stands_once_and_first_after_any_sequence(trigger, bodies, steps):
    asyncio.run(play(trigger, bodies, steps))
