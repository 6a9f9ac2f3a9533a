"""What is good or bad about a whole dataset, and what to do about it, most important first. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bot.rules.jobs.plan import FEW_PICTURES
from bot.rules.pictures.measures import Measures
from bot.rules.pictures.quality import Level, Verdict, faces_seen
from trainer.contract.spec import Kind

ADVISED = (50, 100)
"""Pictures that guides for SDXL faces advise."""
ENOUGH_TO_JUDGE = 8
"""Under this many pictures nothing is said about their variety."""
TOO_MANY_ALIKE = 0.7
"""Share of the pictures that may have one framing or one background."""
SAME_BACKGROUND = 0.75
"""Overlap of the border's colours above which two backgrounds count as one."""
CLOSE, HALF = 0.4, 0.18
"""Height of the face as a share of the picture's: a close-up, a half-length picture, and below it a whole figure."""
SHOWN_NUMBERS = 12

CHECKLISTS = {
    "person": "anything before the face · others' hands or hair at the border · a strange pose · heavy filters · text",
    "character": "other characters · odd hands · another drawing style · text or signatures",
    "object": "other things of the same kind · hands holding it · text or watermarks",
    "style": "pictures in another style · signatures, text or watermarks",
}
"""What no detector sees, by the dataset's kind."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture as the report needs it."""

    picture_id: int
    number: int
    """From 1, as the contact sheet and the captions count."""
    verdict: Verdict
    measures: Measures | None
    """Of what is trained on: of the square's part of the picture where squares are used."""
    has_trigger: bool
    """Its caption holds the trigger word."""


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures with the same finding."""

    level: Level
    numbers: tuple[str, ...]
    """Where it helps with what the picture is like: `13 (= 12, mirrored)`."""
    short: str
    advice: str


def groups(pictures: Sequence[Seen]) -> list[Group]:
    """What was found, the gravest and commonest first; a picture may be in several."""
    found: dict[tuple[int, str, str], list[str]] = {}
    for picture in pictures:
        for finding in picture.verdict.findings:
            if finding.level is not Level.GREEN:
                found.setdefault((finding.level, finding.short, finding.advice), []).append(
                    f"{picture.number}{finding.mark}"
                )
    ordered = sorted(found.items(), key=lambda item: (-item[0][0], -len(item[1])))
    return [Group(Level(level), tuple(numbers), short, advice) for (level, short, advice), numbers in ordered]


def advice(kind: Kind, pictures: Sequence[Seen], batch_size: int) -> list[str]:
    """Sentences about the dataset as a whole."""
    count = len(pictures)
    good = sum(picture.verdict.level is not Level.RED for picture in pictures)
    found = []
    if good < FEW_PICTURES:
        found.append(
            f"Add pictures: {good} of at least {FEW_PICTURES} are usable; {ADVISED[0]} to {ADVISED[1]} are best."
        )
    elif good < ADVISED[0]:
        found.append(f"{good} usable pictures will do; {ADVISED[0]} to {ADVISED[1]} give a better likeness.")
    if missing := [picture.number for picture in pictures if not picture.has_trigger]:
        found.append(f"The captions of {numbers(missing)} lack the trigger word.")
    if kind == "person":
        if not faces_seen([picture.measures for picture in pictures if picture.measures is not None]):
            found.append("I find hardly any face: drawings fit a dataset of the kind character better.")
        found += _framing(pictures)
    found += _background(pictures)
    if count >= batch_size > 1 and count % batch_size:
        more = batch_size - count % batch_size
        found.append(f"{count} is no multiple of the batch of {batch_size}: {more} more, or {count % batch_size} less.")
    return found


def look_yourself(kind: Kind) -> str:
    """What a member must see to, as no detector does."""
    return f"Look for yourself, I cannot see it: {CHECKLISTS[kind]}."


def mended(kept: Sequence[Seen], squares: Sequence[Seen]) -> list[int]:
    """Numbers of the pictures that are red in their own shape and not in their square, judged both ways."""
    red = {each.picture_id for each in squares if each.verdict.level is Level.RED}
    return [each.number for each in kept if each.verdict.level is Level.RED and each.picture_id not in red]


def numbers(values: Sequence[int | str]) -> str:
    """`3, 7, 9`, and how many more there are."""
    shown = ", ".join(str(value) for value in values[:SHOWN_NUMBERS])
    return f"{shown} and {len(values) - SHOWN_NUMBERS} more" if len(values) > SHOWN_NUMBERS else shown


def ranges(values: Sequence[int]) -> str:
    """All of them, rising: `3, 7-9`."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], value]
        else:
            runs.append([value])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _framing(pictures: Sequence[Seen]) -> list[str]:
    heights = [
        max(face.height for face in picture.measures.faces)
        for picture in pictures
        if picture.measures is not None and picture.measures.faces
    ]
    if len(heights) < ENOUGH_TO_JUDGE:
        return []
    names = Counter("close-ups" if h >= CLOSE else "half-length" if h >= HALF else "whole figures" for h in heights)
    name, most = names.most_common(1)[0]
    if most <= TOO_MANY_ALIKE * len(heights):
        return []
    others = [each for each in ("close-ups", "half-length", "whole figures") if each != name]
    return [f"{most} of {len(heights)} are {name}: add some {others[0]} or {others[1]}."]


def _background(pictures: Sequence[Seen]) -> list[str]:
    """The largest set of pictures whose border has the colours of one of them."""
    palettes = [picture.measures.palette for picture in pictures if picture.measures is not None]
    if len(palettes) < ENOUGH_TO_JUDGE:
        return []
    most = max(sum(_overlap(one, other) > SAME_BACKGROUND for other in palettes) for one in palettes)
    if most <= TOO_MANY_ALIKE * len(palettes):
        return []
    return [f"{most} of {len(palettes)} have much the same background, which is learned too: vary it."]


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(min(a, b) for a, b in zip(one, other, strict=True))
