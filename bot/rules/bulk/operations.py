"""What bulk editing can do to captions. Pure: captions in, the captions that differ out; nothing is written here.

Every operation works on the text behind the prefix, so trigger and class word stay once and first whatever is done.
Tags are taken by whole items; sentences (bot.rules.captions.prose) are changed by nothing but a replacement of text
that is in them, an import, or a re-caption that overwrites.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from bot.errors import Refused
from bot.rules.bulk.captions import Captioned, Subject, tag_counts
from bot.rules.captions.caption import MAX_CAPTION, own_items
from bot.rules.captions.prose import tag_places
from bot.rules.captions.tagging import tag_key

Mode = Literal["overwrite", "append", "fill"]
Place = Literal["first", "last"]
How = Literal["text", "tag", "pattern"]
MODES: tuple[tuple[Mode, str], ...] = (
    ("append", "Add what is missing"),
    ("fill", "Only captions that have no tags"),
    ("overwrite", "Write them anew, whatever is there"),
)
PLACES: tuple[tuple[Place, str], ...] = (
    ("last", "Behind the other tags"),
    ("first", "Right behind trigger and class word"),
)
HOWS: tuple[tuple[How, str], ...] = (
    ("text", "Text, anywhere in the caption"),
    ("tag", "A whole tag, in any spelling"),
    ("pattern", "A regular expression"),
)
"""What members choose from, here and there; the first of each unless they choose another."""


@dataclass(frozen=True, slots=True)
class Change:
    """One caption before and after."""

    picture_id: int
    number: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Edit:
    """What an operation would do."""

    changes: tuple[Change, ...]
    too_long: int = 0
    """Captions that would grow over the limit; they stay as they are."""
    waiting: int = 0
    """Captions that the tagger has not written yet; they are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(ABC):
    """One bulk edit; `pictures` are those it is about, None for all."""

    takes_waiting: ClassVar[bool] = False
    """Whether it also writes captions that still wait for the tagger."""

    pictures: tuple[int, ...] | None = None

    @property
    @abstractmethod
    def title(self) -> str:
        """What it does, in a few words; holds people's words, so a card escapes it."""

    @abstractmethod
    def edited(self, items: list[str], picture_id: int) -> list[str] | str | None:
        """The items after it, or a text to be split anew; None leaves the caption alone."""

    def made_ready(self, captions: Sequence[Captioned], subject: Subject) -> Operation:
        """The same with what it must know of all captions."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveTags(Operation):
    """Take tags out of every caption."""

    tags: tuple[str, ...]

    @property
    def title(self) -> str:
        """Remove “smile”."""
        return f"Remove {_quoted(self.tags)}"

    def edited(self, items: list[str], picture_id: int) -> list[str] | None:
        """Without the tags."""
        gone = set(map(tag_key, self.tags))
        places = {place for place in tag_places(items) if tag_key(items[place]) in gone}
        return [item for place, item in enumerate(items) if place not in places] if places else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameTag(Operation):
    """Write another tag, or several with commas, or none, in a tag's place."""

    old: str
    new: str

    @property
    def title(self) -> str:
        """Rename “a” to “b”."""
        return f"Rename “{self.old}” to “{self.new}”" if self.new.strip(" ,，") else f"Remove “{self.old}”"

    def made_ready(self, captions: Sequence[Captioned], subject: Subject) -> RenameTag:
        """The same; raises Refused when the old tag is several, of which none would ever be found."""
        several = own_items(self.old, "", "")
        if len(several) > 1:
            raise Refused(f"Write one tag at a time, for example “{several[0]}”; a whole tag holds no comma.")
        return self

    def edited(self, items: list[str], picture_id: int) -> list[str] | None:
        """With the new tag where the old one was; one that is there already is not written twice."""
        places = [place for place in tag_places(items) if tag_key(items[place]) == tag_key(self.old)]
        if not places:
            return None
        new = _new_tags(self.new, (item for place, item in enumerate(items) if place not in places))
        rest = [item for place, item in enumerate(items) if place not in places[1:]]
        return [*rest[: places[0]], *new, *rest[places[0] + 1 :]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveTag(Operation):
    """Put a tag right behind the prefix, wherever it is."""

    tag: str

    @property
    def title(self) -> str:
        """Move “smile” behind the trigger."""
        return f"Move “{self.tag}” behind the trigger"

    def edited(self, items: list[str], picture_id: int) -> list[str] | None:
        """With the tag first."""
        places = [place for place in tag_places(items) if tag_key(items[place]) == tag_key(self.tag)]
        if not places:
            return None
        return [items[places[0]], *(item for place, item in enumerate(items) if place != places[0])]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddTags(Operation):
    """Write tags into captions that do not have them."""

    text: str
    """Tags with commas."""
    place: Place = "last"

    @property
    def title(self) -> str:
        """Add “smile”."""
        return f"Add “{self.text}”"

    def edited(self, items: list[str], picture_id: int) -> list[str] | None:
        """With the tags, last of the tags (before a sentence that ends the caption) or first."""
        new = _new_tags(self.text, items)
        if not new:
            return None
        place = 0 if self.place == "first" else end_of_tags(items)
        return [*items[:place], *new, *items[place:]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceText(Operation):
    """Find a text anywhere behind the prefix, as it is written, and put another in its place."""

    find: str
    by: str

    @property
    def title(self) -> str:
        """Replace “a” by “b”."""
        return f"Replace “{self.find}” by “{self.by}”"

    def edited(self, items: list[str], picture_id: int) -> str | None:
        """The text with every place replaced."""
        text = ", ".join(items)
        return text.replace(self.find, self.by) if self.find in text else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacePattern(Operation):
    """The same by a regular expression; another process finds (bot.services.bulk.patterns), `found` are its texts."""

    find: str
    by: str
    found: Mapping[int, str] = field(default_factory=dict)
    """Text behind the prefix by picture, as the expression leaves it."""

    @property
    def title(self) -> str:
        """Replace pattern “a+” by “b”."""
        return f"Replace pattern “{self.find}” by “{self.by}”"

    def edited(self, items: list[str], picture_id: int) -> str | None:
        """What was found."""
        text = self.found.get(picture_id)
        return None if text is None or text == ", ".join(items) else text


@dataclass(frozen=True, slots=True, kw_only=True)
class SortTags(Operation):
    """Put tags in one order; sentences stay in their places behind or between them."""

    by: Literal["name", "frequency"] = "name"
    order: tuple[str, ...] = ()
    """Keys of all tags, the commonest first; made ready from the captions."""

    @property
    def title(self) -> str:
        """Sort tags by name."""
        return f"Sort tags by {self.by}"

    def made_ready(self, captions: Sequence[Captioned], subject: Subject) -> SortTags:
        """With the order of all tags."""
        counted = tag_counts(captions, subject) if self.by == "frequency" else []
        return SortTags(pictures=self.pictures, by=self.by, order=tuple(tag_key(each.tag) for each in counted))

    def edited(self, items: list[str], picture_id: int) -> list[str]:
        """With the tags sorted into the places where tags are."""
        rank = {key: place for place, key in enumerate(self.order)}
        places = tag_places(items)
        tags = sorted((items[place] for place in places), key=lambda tag: (rank.get(tag_key(tag), 0), tag_key(tag)))
        ordered = list(items)
        for place, tag in zip(places, tags, strict=True):
            ordered[place] = tag
        return ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class Dedupe(Operation):
    """Leave each tag once; the first stays."""

    @property
    def title(self) -> str:
        """Remove repeated tags."""
        return "Remove repeated tags"

    def edited(self, items: list[str], picture_id: int) -> list[str]:
        """Without repeats."""
        seen: set[str] = set()
        repeated: set[int] = set()
        for place in tag_places(items):
            (repeated.add(place) if tag_key(items[place]) in seen else seen.add(tag_key(items[place])))
        return [item for place, item in enumerate(items) if place not in repeated]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCaptions(Operation):
    """Write whole captions, of a file a member edited elsewhere."""

    takes_waiting: ClassVar[bool] = True
    texts: Mapping[int, str]

    @property
    def title(self) -> str:
        """Import captions."""
        return "Import captions"

    def edited(self, items: list[str], picture_id: int) -> str | None:
        """The text of the picture."""
        return self.texts.get(picture_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recaption(Operation):
    """Write what the tagger sees now, over the caption, behind it, or only where there is none."""

    takes_waiting: ClassVar[bool] = True
    mode: Mode
    tags: Mapping[int, tuple[str, ...]]

    @property
    def title(self) -> str:
        """Re-caption (append)."""
        return f"Re-caption ({self.mode})"

    def edited(self, items: list[str], picture_id: int) -> list[str] | None:
        """The tagger's tags by the mode."""
        found = self.tags.get(picture_id)
        if found is None or (self.mode == "fill" and items):
            return None
        if self.mode == "overwrite" or not items:
            return list(found)
        there = set(map(tag_key, items))
        place = end_of_tags(items)
        return [*items[:place], *(tag for tag in found if tag_key(tag) not in there), *items[place:]]


def replacement(how: How, find: str, by: str, pictures: tuple[int, ...] | None = None) -> Operation:
    """What *Find and replace* does, by what is to be found; raises Refused when that is nothing."""
    if not find.strip():
        raise Refused("Write what is to be found.")
    match how:
        case "tag":
            return RenameTag(old=find, new=by, pictures=pictures)
        case "pattern":
            return ReplacePattern(find=find, by=by, pictures=pictures)
        case "text":
            return ReplaceText(find=find, by=by, pictures=pictures)


def end_of_tags(items: Sequence[str]) -> int:
    """The place behind the last tag: before a sentence that ends the caption."""
    return max(tag_places(items), default=-1) + 1


def carry_out(operation: Operation, captions: Sequence[Captioned], subject: Subject) -> Edit:
    """What the operation makes of the captions; captions it leaves as they are are not among the changes."""
    chosen = None if operation.pictures is None else set(operation.pictures)
    ready = operation.made_ready(captions, subject)
    changes: list[Change] = []
    too_long = waiting = 0
    for each in captions:
        if chosen is not None and each.picture_id not in chosen:
            continue
        edited = ready.edited(subject.items(each.caption), each.picture_id)
        if edited is None:
            continue
        text = edited if isinstance(edited, str) else ", ".join(edited)
        after = subject.joined(own_items(text, subject.trigger, subject.class_word))
        if after == each.caption:
            continue
        if each.waiting and not operation.takes_waiting:
            waiting += 1
        elif len(after) > MAX_CAPTION:
            too_long += 1
        else:
            changes.append(Change(each.picture_id, each.number, each.caption, after))
    return Edit(tuple(changes), too_long, waiting)


def in_sentences(tags: Iterable[str], captions: Sequence[Captioned], subject: Subject) -> int:
    """How often one of the tags stands only between the commas of a caption's sentence, where no operation on tags
    reaches.
    """
    keys, found = set(map(tag_key, tags)), 0
    for each in captions:
        spoken = set(map(tag_key, subject.items(each.caption))) - set(map(tag_key, subject.tags(each.caption)))
        found += len(keys & spoken)
    return found


def _new_tags(text: str, there: Iterable[str]) -> list[str]:
    """Tags with commas, each once and without those that are there."""
    known = set(map(tag_key, there))
    new: list[str] = []
    for tag in own_items(text, "", ""):
        if tag_key(tag) not in known:
            known.add(tag_key(tag))
            new.append(tag)
    return new


def _quoted(tags: Sequence[str]) -> str:
    shown = ", ".join(f"“{tag}”" for tag in tags[:3])
    return f"{shown} and {len(tags) - 3} more" if len(tags) > 3 else shown
