"""What is good or bad about one picture, as sentences with what to do. Pure; measures come from bot.vision.

Text and watermarks are not looked for (no light, kept library finds them); they stand in the checklist instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from bot.rules.pictures.measures import Box, Face, Measures
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
    """What to do about it; the same for every picture of that group, and said of one."""
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
class Square:
    """What a training on squares shows of a picture."""

    box: Box
    """As shares of the picture's sides."""
    side: int
    """In pixels of the picture."""
    trained_at: int
    """Side, in pixels, that it is enlarged to where it is smaller; 0: it is never enlarged."""

    @property
    def is_enlarged(self) -> bool:
        """It has fewer pixels than it is trained at."""
        return self.side < self.trained_at


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
    square: Square | None = None,
) -> Verdict:
    """Judge one picture, of `width` × `height` pixels; `measures` None: it could not be measured.

    `faces_seen` False: I hardly find a face in the whole dataset (drawings, masks), so that one missing means little.
    With a `square` only what it shows is judged, for nothing else is learned; `measures` are the whole picture's.
    """
    size, elsewhere = f"{width} × {height} pixels", measures is not None and bool(measures.faces)
    if square is not None:
        width = height = square.side
        size = f"a square of {width} × {height} pixels"
        measures = measures.within(square.box) if measures is not None else None
    findings = [*_size(width, height, size, square), *_twins(twins)]
    if measures is None:
        findings.append(
            Finding(Level.AMBER, "not measured", "Look for yourself, or send it again.", "I could not measure it.")
        )
    else:
        findings += [*_pixels(kind, measures), *_bars(measures.bars, square)]
        if kind == "person" and measures.faces:
            findings += _faces(measures.faces, width, height, square)
        elif kind == "person":
            findings.append(_no_face(faces_seen, square, elsewhere=elsewhere))
    findings.sort(key=lambda finding: -finding.level)
    if not findings:
        words = f"Good: sharp, one face, {size}." if kind == "person" else f"Good: sharp, {size}."
        findings = [Finding(Level.GREEN, "good", "", words)]
    return Verdict(findings[0].level, tuple(findings))


def _size(width: int, height: int, size: str, square: Square | None) -> list[Finding]:
    short, found = min(width, height), []
    enlarged = square is not None and square.is_enlarged
    if square is not None and enlarged:  # nothing is enlarged in silence
        size = f"{size}, enlarged to {square.trained_at} to train"
    if short < SMALL_SIDE:
        found.append(Finding(Level.RED, "too small", "Send the originals.", f"Too small: {size}."))
    elif short < GOOD_SIDE or enlarged:
        advice = f"Fine to train; originals of {GOOD_SIDE} pixels or more are better."
        found.append(Finding(Level.AMBER, "acceptable size", advice, f"Acceptable size: {size}."))
    ratio = max(width, height) / short
    if ratio >= TOO_LONG:
        found.append(
            Finding(
                Level.RED, "a long strip", "Use squares, or cut out the part that matters.", f"A long strip: {size}."
            )
        )
    elif ratio > LONG:
        found.append(
            Finding(Level.AMBER, "very long", "Use squares, or cut out the part that matters.", f"Very long: {size}.")
        )
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
    face = _main(measures.faces) if kind == "person" and measures.faces else None
    light = face.light if face else measures.light
    found = _sharpness(kind, face.sharpness if face else measures.sharpness, "Its face" if face else "It")
    if measures.contrast < FLAT or light < BLACK:
        found.append(Finding(Level.RED, "nothing to see", "Send another.", "There is hardly anything to see."))
    elif light < DARK:
        found.append(Finding(Level.AMBER, "dark", "Brighten it, or take another.", "It is very dark."))
    elif light > WHITE and face:
        found.append(Finding(Level.RED, "washed out", "Send another.", "Its face is washed out by light."))
    elif light > LIGHT and face:
        found.append(Finding(Level.AMBER, "too bright", "Darken it, or take another.", "Its face is very bright."))
    return found


def _bars(bars: Box, square: Square | None) -> list[Finding]:
    deepest = max(bars)
    if deepest < BAR:
        return []
    side = ("left", "top", "right", "lower")[bars.index(deepest)]
    advice = "Cut it off, or it is learned." if square is None else "Move the square, or it is learned."
    sentence = f"{'It' if square is None else 'Its square'} has a flat bar at the {side} border."
    return [Finding(Level.AMBER, "bars at the border", advice, sentence)]


def _sharpness(kind: Kind, value: float, what: str) -> list[Finding]:
    if value >= SOFT:
        return []
    if value >= BLURRED or kind == "style":  # a style may be soft
        return [Finding(Level.AMBER, "soft", "Keep it only if you have no sharper.", f"{what} is not quite sharp.")]
    return [Finding(Level.RED, "blurred", "Drop it: blur is learned too.", f"{what} is blurred.")]


def _main(faces: Sequence[Face]) -> Face:
    """The face the picture is about: the largest."""
    return max(faces, key=lambda face: face.height)


def faces_seen(known: Sequence[Measures]) -> bool:
    """Whether faces are found often enough in a dataset that a picture without one is suspicious."""
    return len(known) < FEW or sum(bool(each.faces) for each in known) >= USUAL * len(known)


def _no_face(seen: bool, square: Square | None, *, elsewhere: bool) -> Finding:
    if square is not None and elsewhere:
        return Finding(Level.RED, "face cut away", "Move the square to it.", "Its square leaves the face out.")
    sentence = f"I find no face in {'it' if square is None else 'its square'}."
    advice = "Drop it, unless I missed one: a face half hidden or from behind."
    return Finding(Level.RED if seen else Level.AMBER, "no face", advice, sentence)


def _faces(faces: Sequence[Face], width: int, height: int, square: Square | None) -> list[Finding]:
    main = _main(faces)
    it = "it" if square is None else "its square"
    found = []
    others = [face for face in faces if face is not main]
    second = [face for face in others if face.height >= SECOND * main.height]
    if second:
        sentence = f"There are {len(second) + 1} faces in {it}."
        advice = "Cut the others away, or drop it." if square is None else "Move the square, or drop it."
        found.append(Finding(Level.RED, "more than one person", advice, sentence))
    elif others:
        near = any(_near_border(face) for face in others)
        where = "near the border" if near else "in the background"
        sentence = f"Somebody else is {where}."
        advice = "Cut them away if you can." if square is None else "Move the square if you can."
        found.append(Finding(Level.AMBER, "somebody else", advice, sentence))
    found += _cut(main, width, height, square)
    if main.height < TINY:
        found.append(Finding(Level.RED, "tiny face", "Drop it, or cut closer.", "The face is tiny."))
    elif main.height < DISTANT:
        found.append(
            Finding(Level.AMBER, "distant face", "A few are fine; more should be close.", "The face is small.")
        )
    return found


def _near_border(face: Face) -> bool:
    left, top, right, lower = face.box
    return min(left, top, 1 - right, 1 - lower) < NEAR_BORDER


def _cut(face: Face, width: int, height: int, square: Square | None) -> list[Finding]:
    """Whether the border of what is shown cuts the face.

    The top of a head is often cut in a close portrait and matters less.
    """
    left, top, right, lower = face.box
    wide = (right - left) * width
    beside = min(left * width, (1 - right) * width, (1 - lower) * height) / wide
    above = top * height / wide
    if beside < TOUCHES or above < CUTS:
        away = "Drop it" if square is None else "Move the square, or drop it"
        advice = f"{away}: half faces are learned too."
        return [Finding(Level.RED, "cut face", advice, "The border cuts the face.")]
    if above < TOUCHES:
        advice = "A few are fine."
        return [Finding(Level.AMBER, "cut at the top", advice, "The border cuts the top of the head.")]
    return []
