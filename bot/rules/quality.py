"""What is good or bad about one picture, as sentences with what to do. Pure; measures come from bot.vision.

Text and watermarks are not looked for (no light, kept library finds them); they stand in the checklist instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from bot.rules.measures import Face, Measures
from trainer.contract.spec import Kind

SMALL_SIDE, GOOD_SIDE = 512, 1024
"""Pixels of the shorter side: under the first a picture is refused, from the second on (SDXL's side) it is good."""
BLURRED, SOFT = 30.0, 100.0
"""Variance of the Laplacian: measured on 60 sharp photographs p5 / median 154 / 444, blurred by 2 pixels 29."""
LONG, TOO_LONG = 2.0, 3.0
"""Longer side by shorter: buckets end at 2, and from 3 on most of the picture is cut away."""
DARK, BLACK = 0.14, 0.05
LIGHT, WHITE = 0.86, 0.95
FLAT = 0.03
"""Contrast (standard deviation of grey, 0 to 0.5) under which there is nothing to see."""
BAR = 0.015
"""Share of the side from which a flat bar is worth a word."""
DISTANT, TINY = 0.12, 0.05
"""Height of the face as a share of the picture's: under the first it is small, under the second too small to learn."""
SECOND = 0.4
"""Height of another face as a share of the main one's from which it is a second person, not somebody far behind."""
NEAR_BORDER = 0.08
"""Share of the side: another face this close to the border can be cut away."""
TOUCHES, CUTS = 0.03, -0.08
"""Room between face and border, in widths of the face: under the first it touches, under the second much is missing."""
FEW, USUAL = 5, 1 / 3
"""From the first number of pictures on, a face in under this share of them says that the detector sees none at all."""
SAME, ALIKE = 0.92, 0.75
"""Likeness (bot.vision.measuring.likeness) of one picture twice, and of two that are nearly the same."""


class Level(IntEnum):
    """How a picture is framed in the contact sheet."""

    GREEN = 0
    AMBER = 1
    RED = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a picture."""

    level: Level
    short: str
    """As the report groups it, for example: blurred."""
    advice: str
    """What to do about it; the same for every picture of that group."""
    sentence: str
    """About this picture alone."""
    mark: str = ""
    """What the report sets behind the picture's number."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the report says of a picture."""

    level: Level
    findings: tuple[Finding, ...]
    """The gravest first."""

    @property
    def sentence(self) -> str:
        """Why it is so, and what to do."""
        worst = self.findings[0]
        return worst.sentence if self.level is Level.GREEN else f"{worst.sentence} {worst.advice}"


@dataclass(frozen=True, slots=True)
class Twin:
    """Another picture of the dataset that shows the same."""

    number: int
    likeness: float
    mirrored: bool
    better: bool
    """It is the one to keep."""


def verdict(
    kind: Kind,
    width: int,
    height: int,
    measures: Measures | None,
    twins: Sequence[Twin] = (),
    *,
    faces_seen: bool = True,
) -> Verdict:
    """Judge one picture; `measures` None: it could not be measured.

    `faces_seen` False: I hardly find a face in the whole dataset (drawings, masks), so that one missing means little.
    """
    findings = [*_size(width, height), *_twins(twins)]
    if measures is None:
        findings.append(
            Finding(
                Level.AMBER, "not measured", "Look at them yourself, or send them again.", "I could not measure it."
            )
        )
    else:
        findings += _pixels(kind, measures)
        if kind == "person":
            findings += _faces(measures.faces, width, height, faces_seen)
    findings.sort(key=lambda finding: -finding.level)
    if not findings:
        size = f"{width} × {height} pixels"
        words = f"Good: sharp, one face, {size}." if kind == "person" else f"Good: sharp, {size}."
        findings = [Finding(Level.GREEN, "good", "", words)]
    return Verdict(findings[0].level, tuple(findings))


def _size(width: int, height: int) -> list[Finding]:
    short, size = min(width, height), f"{width} × {height} pixels"
    found = []
    if short < SMALL_SIDE:
        found.append(Finding(Level.RED, "too small", "Send the originals.", f"Too small: {size}."))
    elif short < GOOD_SIDE:
        advice = f"Fine to train; originals of {GOOD_SIDE} pixels or more are better."
        found.append(Finding(Level.AMBER, "acceptable size", advice, f"Acceptable size: {size}."))
    ratio = max(width, height) / short
    if ratio >= TOO_LONG:
        found.append(Finding(Level.RED, "a long strip", "Cut out the part that matters.", f"A long strip: {size}."))
    elif ratio > LONG:
        found.append(Finding(Level.AMBER, "very long", "Use squares, or cut them.", f"Very long: {size}."))
    return found


def _twins(twins: Sequence[Twin]) -> list[Finding]:
    worse = [twin for twin in twins if twin.better]
    if not worse:
        return []
    nearest = max(worse, key=lambda twin: twin.likeness)
    if nearest.likeness < ALIKE:
        return []
    turned = ", mirrored" if nearest.mirrored else ""
    mark = f" (= {nearest.number}{turned})"
    if nearest.likeness >= SAME:
        sentence = f"The same as picture {nearest.number}{turned}."
        return [Finding(Level.RED, "the same picture twice", "One of each is enough.", sentence, mark)]
    sentence = f"Nearly the same as picture {nearest.number}{turned}."
    return [Finding(Level.AMBER, "nearly the same", "One of each is enough.", sentence, mark)]


def _pixels(kind: Kind, measures: Measures) -> list[Finding]:
    face = _main(measures.faces) if kind == "person" else None
    light = face.light if face else measures.light
    found = _sharpness(kind, face.sharpness if face else measures.sharpness, "Its face" if face else "It")
    if measures.contrast < FLAT or light < BLACK:
        found.append(Finding(Level.RED, "nothing to see", "Send another.", "There is hardly anything to see."))
    elif light < DARK:
        found.append(Finding(Level.AMBER, "dark", "Brighten them, or take others.", "It is very dark."))
    elif light > WHITE and face:
        found.append(Finding(Level.RED, "washed out", "Send others.", "Its face is washed out by light."))
    elif light > LIGHT and face:
        found.append(Finding(Level.AMBER, "too bright", "Darken them, or take others.", "Its face is very bright."))
    if deepest := max(measures.bars):
        side = ("left", "top", "right", "lower")[measures.bars.index(deepest)]
        if deepest >= BAR:
            sentence = f"It has a flat bar at the {side} border."
            found.append(Finding(Level.AMBER, "bars at the border", "Cut them off, or they are learned.", sentence))
    return found


def _sharpness(kind: Kind, value: float, what: str) -> list[Finding]:
    if value >= SOFT:
        return []
    if value >= BLURRED or kind == "style":  # a style may be soft
        return [Finding(Level.AMBER, "soft", "Keep them only if you have no sharper.", f"{what} is not quite sharp.")]
    return [Finding(Level.RED, "blurred", "Drop them: blur is learned too.", f"{what} is blurred.")]


def _main(faces: Sequence[Face]) -> Face | None:
    """The face the picture is about: the largest."""
    return max(faces, key=lambda face: face.height, default=None)


def faces_seen(known: Sequence[Measures]) -> bool:
    """Whether faces are found often enough in a dataset that a picture without one is suspicious."""
    return len(known) < FEW or sum(bool(each.faces) for each in known) >= USUAL * len(known)


def _faces(faces: Sequence[Face], width: int, height: int, seen: bool) -> list[Finding]:
    main = _main(faces)
    if main is None:
        advice = "Drop them, unless I missed it: a face half hidden or from behind."
        return [Finding(Level.RED if seen else Level.AMBER, "no face", advice, "I find no face in it.")]
    found = []
    others = [face for face in faces if face is not main]
    second = [face for face in others if face.height >= SECOND * main.height]
    if second:
        sentence = f"There are {len(second) + 1} faces in it."
        found.append(Finding(Level.RED, "more than one person", "Cut the others away, or drop them.", sentence))
    elif others:
        near = any(_near_border(face) for face in others)
        where = "near the border" if near else "in the background"
        sentence = f"Somebody else is {where}."
        found.append(Finding(Level.AMBER, "somebody else", "Cut them away if you can.", sentence))
    found += _cut(main, width, height)
    if main.height < TINY:
        found.append(Finding(Level.RED, "tiny face", "Drop them, or cut closer.", "The face is tiny."))
    elif main.height < DISTANT:
        found.append(
            Finding(Level.AMBER, "distant face", "A few are fine; more should be close.", "The face is small.")
        )
    return found


def _near_border(face: Face) -> bool:
    left, top, right, lower = face.box
    return min(left, top, 1 - right, 1 - lower) < NEAR_BORDER


def _cut(face: Face, width: int, height: int) -> list[Finding]:
    """Whether the border cuts the face. The top of a head is often cut in a close portrait and matters less."""
    left, top, right, lower = face.box
    wide = (right - left) * width
    beside = min(left * width, (1 - right) * width, (1 - lower) * height) / wide
    above = top * height / wide
    if beside < TOUCHES or above < CUTS:
        return [Finding(Level.RED, "cut face", "Drop them: half faces are learned too.", "The border cuts the face.")]
    if above < TOUCHES:
        advice = "A few are fine."
        return [Finding(Level.AMBER, "cut at the top", advice, "The border cuts the top of the head.")]
    return []
