"""Captions whose answer the base must go on giving as it did (see preservation_weight).

Half of them are the pictures' own without the trigger word. These alone keep the class word, but not what people say of
others: the trigger takes over traits that no caption of the set names (hair, say), and the LoRA then gives the
subject's hair to everybody whose hair a prompt speaks of. On the toy world prompts of others kept their hair in 46 to
58 % of pictures with own captions only, in all of 16 with others among them. So the other half is of others: another
class word, and traits in words.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from trainer.contract.spec import Kind
from trainer.data.randomness import derive

OTHERS = 96
"""Captions of others in a run, about: each costs a text in the cache (0.3 MB on SDXL in bf16)."""

PEOPLE = ("woman", "man", "girl", "boy")
TRAITS = (
    ("black hair", "brown hair", "blonde hair", "red hair", "grey hair", "pink hair"),
    ("long hair", "short hair"),
    ("blue eyes", "brown eyes", "green eyes"),
)
"""By what is named of one person: its colour of hair in each caption of another, the others in a third of them."""

_OF_PEOPLE: frozenset[Kind] = frozenset({"person", "character"})


@dataclass(frozen=True, slots=True)
class KeptCaptions:
    """The captions to keep of a job; all of them are known beforehand, so that their texts can be cached."""

    trigger: str = ""
    """The word that stands for the subject."""
    kind: Kind = "object"
    """Others are thought of for people only: of a thing or a style the own captions say enough."""
    seed: int = 0
    each: int = 1
    """Captions of others per picture."""

    @classmethod
    def of(cls, trigger: str, kind: Kind, seed: int, pictures: int) -> KeptCaptions:
        """Those of a job with so many pictures."""
        return cls(trigger, kind, seed, max(1, min(8, OTHERS // pictures)))

    def concerns(self, caption: str) -> bool:
        """True where the caption holds the trigger word: without it there is another caption to keep as it is."""
        return without_trigger(caption, self.trigger) != caption

    def at(self, caption: str, picture: int, step: int, place: int) -> str:
        """The one shown at a place of a step, from the caption that the picture has there."""
        chance = random.Random(derive(self.seed, "kept caption", step, place))
        own = without_trigger(caption, self.trigger)
        if self.kind not in _OF_PEOPLE or chance.random() < 0.5:
            return own
        return self._of_another(own, picture, chance.randrange(self.each))

    def all_of(self, caption: str, picture: int) -> list[str]:
        """All that `at` can give for a picture whose caption does not change."""
        own = without_trigger(caption, self.trigger)
        others = range(self.each) if self.kind in _OF_PEOPLE else ()
        return [own, *(self._of_another(own, picture, number) for number in others)]

    def _of_another(self, own: str, picture: int, number: int) -> str:
        """The caption with its first word, the class, for another's, and traits behind it."""
        chance = random.Random(derive(self.seed, "another", picture, number))
        colours, *more = TRAITS
        traits = [chance.choice(colours), *(chance.choice(trait) for trait in more if chance.random() < 1 / 3)]
        return ", ".join([chance.choice(PEOPLE), *traits, *own.split(", ")[1:]])


def without_trigger(caption: str, trigger: str) -> str:
    """The caption with every occurrence of the trigger word struck out, and no empty tag left in its place.

    Whole words only, whatever their case: "lisaxl, woman" becomes "woman", "a photo of lisaxl smiling" becomes
    "a photo of smiling". A caption that does not hold the word is returned as it is; one that is nothing else
    becomes empty.
    """
    if not trigger:
        return caption
    struck, count = re.subn(rf"(?<!\w){re.escape(trigger)}(?!\w)", " ", caption, flags=re.IGNORECASE)
    if not count:
        return caption
    tags = (" ".join(tag.split()) for tag in struck.split(","))
    return ", ".join(tag for tag in tags if tag)
