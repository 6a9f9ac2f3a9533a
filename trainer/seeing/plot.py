"""The loss plot: one picture that says at a glance whether a training goes well, readable on a phone.

Above, the smoothed loss over the reported steps in faint, with checkpoints marked and named by their epoch, and the
validation loss as a second line; below, small, the learning rate of each group of weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from trainer.seeing.history import History

WIDTH, HEIGHT = 1170, 1290
"""Pixels: three to each of a phone's 390."""
_FINER = 2
"""Drawn this much larger and scaled down, which smooths the lines' edges."""
_LETTER = 36
"""Height of the small letters, 12 of a phone's pixels."""
_LEFT, _RIGHT = 150, 36
"""Margins of both fields: figures stand in the left one."""
_DOTS = 40
"""More validations than this are a line without dots."""
_LOSS_TOP, _LOSS_BOTTOM = 220, 880
_RATE_TOP, _RATE_BOTTOM = 1010, 1180

BACKGROUND, FIELD = (24, 25, 28), (30, 31, 35)
INK, DIM, LINE = (222, 223, 226), (148, 151, 158), (50, 52, 58)
SMOOTHED, FAINT, VALIDATION = (110, 168, 254), (58, 75, 106), (246, 173, 85)
RATES = ((126, 211, 158), (196, 160, 245), (240, 200, 110))
"""One colour a group of weights."""


@dataclass(frozen=True, slots=True)
class _Field:
    """A rectangle of the picture with its own scales."""

    top: int
    bottom: int
    first: float
    last: float
    """Steps at the left and right edge."""
    low: float
    high: float
    """Values at the lower and upper edge."""

    def x(self, step: float) -> float:
        share = (step - self.first) / max(self.last - self.first, 1)
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """What is beyond the scale stands at the edge."""
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - min(max(share, 0.0), 1.0) * (self.bottom - self.top)


class _Pen:
    """Draws in the picture's pixels on the larger sheet."""

    def __init__(self) -> None:
        self.sheet = Image.new("RGB", (WIDTH * _FINER, HEIGHT * _FINER), BACKGROUND)
        self._ink = ImageDraw.Draw(self.sheet)

    def line(self, points: Sequence[tuple[float, float]], colour: tuple[int, int, int], width: float) -> None:
        scaled = [(x * _FINER, y * _FINER) for x, y in points]
        if len(points) > 1:
            self._ink.line(scaled, fill=colour, width=round(width * _FINER), joint="curve")
        if len(points) == 1:
            self.dot(*points[0], width, colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: tuple[int, int, int]) -> None:
        self._ink.rectangle([_FINER * side for side in (left, top, right, bottom)], fill=colour)

    def dot(self, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
        """A dot with a dark rim, so that it stands out from its line."""
        for size, fill in ((radius + 4, FIELD), (radius, colour)):
            self._ink.ellipse([_FINER * side for side in (x - size, y - size, x + size, y + size)], fill=fill)

    def text(
        self, x: float, y: float, text: str, colour: tuple[int, int, int], anchor: str, size: int = _LETTER
    ) -> float:
        """Write, and return how wide it is."""
        font = ImageFont.load_default(size * _FINER)
        self._ink.text((x * _FINER, y * _FINER), text, fill=colour, font=font, anchor=anchor)
        return font.getlength(text) / _FINER


def draw_plot(history: History, name: str) -> Image.Image:
    """The plot of a run as a picture of WIDTH x HEIGHT; raises ValueError when no step was reported yet."""
    if not history.points:
        raise ValueError("a plot needs at least one reported step")
    pen = _Pen()
    _heading(pen, history, name)
    _losses(pen, history)
    _rates(pen, history)
    return pen.sheet.reduce(_FINER)


def _heading(pen: _Pen, history: History, name: str) -> None:
    last = history.points[-1]
    pen.text(_RIGHT, 62, name if len(name) <= 26 else f"{name[:25]}…", INK, "lm", 50)
    pen.text(WIDTH - _RIGHT, 62, f"epoch {last.epoch} · step {last.step}", DIM, "rm")
    figures = [(f"loss {last.smoothed:.4f}", SMOOTHED), ("each step", FAINT)]
    if history.validations:
        best = min(history.validations, key=lambda mark: mark.loss or math.inf)
        figures.append((f"validation {history.validations[-1].loss:.4f} · best: epoch {best.epoch}", VALIDATION))
    x = float(_RIGHT)
    for text, colour in figures:
        pen.dot(x + 12, 150, 12, colour)
        x += 40 + pen.text(x + 36, 150, text, INK if colour != FAINT else DIM, "lm") + 36


def _losses(pen: _Pen, history: History) -> None:
    low, high = _loss_range(history)
    field = _Field(_LOSS_TOP, _LOSS_BOTTOM, history.points[0].step, history.points[-1].step, low, high)
    pen.box(_LEFT, field.top, WIDTH - _RIGHT, field.bottom, FIELD)
    for value in _ticks(low, high):
        pen.line([(_LEFT, field.y(value)), (WIDTH - _RIGHT, field.y(value))], LINE, 2)
        pen.text(_LEFT - 18, field.y(value), f"{value:g}", DIM, "rm")
    for mark in history.checkpoints:
        pen.line([(field.x(mark.step), field.top), (field.x(mark.step), field.bottom)], LINE, 2)
    pen.line([(field.x(point.step), field.y(point.loss)) for point in history.points], FAINT, 2)
    smoothed = [(field.x(point.step), field.y(point.smoothed)) for point in history.points]
    pen.line(smoothed, SMOOTHED, 6)
    measured = [(field.x(mark.step), field.y(mark.loss)) for mark in history.validations if mark.loss is not None]
    pen.line(measured, VALIDATION, 5)
    for x, y in measured if len(measured) <= _DOTS else ():
        pen.dot(x, y, 7, VALIDATION)
    _checkpoints(pen, history, field)


def _checkpoints(pen: _Pen, history: History, field: _Field) -> None:
    """A dot on the line at each checkpoint, and its epoch below; of many every n-th is named, and always the last."""
    points = history.points
    for mark in history.checkpoints:
        nearest = min(points, key=lambda point: abs(point.step - mark.step))
        pen.dot(field.x(mark.step), field.y(nearest.smoothed), 9, INK)
    room = (WIDTH - _LEFT - _RIGHT) // (3 * _LETTER)
    for mark in history.checkpoints[:: -math.ceil(len(history.checkpoints) / room)] if history.checkpoints else ():
        x = min(field.x(mark.step), WIDTH - _RIGHT - _LETTER)
        pen.text(x, field.bottom + 36, str(mark.epoch), INK, "mm")
    words = "checkpoint after epoch" if history.checkpoints else f"{field.first:.0f} to {field.last:.0f} steps"
    pen.text(WIDTH - _RIGHT, field.bottom + 84, words, DIM, "rm")


def _rates(pen: _Pen, history: History) -> None:
    groups = sorted({group for point in history.points for group in point.rates})
    top = max((rate for point in history.points for rate in point.rates.values()), default=0.0)
    field = _Field(_RATE_TOP, _RATE_BOTTOM, history.points[0].step, history.points[-1].step, 0.0, top * 1.1 or 1.0)
    pen.box(_LEFT, field.top, WIDTH - _RIGHT, field.bottom, FIELD)
    for value in {0.0, top}:
        pen.line([(_LEFT, field.y(value)), (WIDTH - _RIGHT, field.y(value))], LINE, 2)
        pen.text(_LEFT - 18, field.y(value), _short(value), DIM, "rm")
    for group, colour in zip(groups, RATES, strict=False):
        line = [(field.x(point.step), field.y(point.rates[group])) for point in history.points if group in point.rates]
        pen.line(line, colour, 5)
    x = float(_LEFT)
    x += pen.text(x, field.bottom + 50, "learning rate", DIM, "lm") + 36
    for group, colour in zip(groups if len(groups) > 1 else (), RATES, strict=False):
        pen.dot(x + 10, field.bottom + 50, 10, colour)
        x += 32 + pen.text(x + 32, field.bottom + 50, group, INK, "lm") + 36


def _loss_range(history: History) -> tuple[float, float]:
    """Scale of the losses: all of both lines, and of the single steps all but the wildest twentieth."""
    single = sorted(point.loss for point in history.points)
    wild = len(single) // 20
    values = [point.smoothed for point in history.points]
    values += [mark.loss for mark in history.validations if mark.loss is not None]
    values += single[wild : len(single) - wild]
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return max(low - room, 0.0) if low >= 0 else low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round values (1, 2 or 5 times a power of ten apart) within the scale."""
    apart = 10.0 ** math.floor(math.log10((high - low) / 3))
    apart *= max(factor for factor in (1, 2, 5) if factor * apart <= (high - low) / 3)
    first = math.ceil(low / apart)
    return [float(f"{number * apart:.6g}") for number in range(first, math.floor(high / apart) + 1)]


def _short(rate: float) -> str:
    """`1e-4` for 0.0001."""
    if not rate:
        return "0"
    mantissa, exponent = f"{rate:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
