"""The pen behind `avatars`: how a face, hair, a shirt and a hat are drawn.

All coordinates are shares of the picture's side, origin top left. Shapes are large and flat on purpose: a model of a
few million weights has to learn them, and a person has to read them at 64 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

RGB = tuple[int, int, int]
Point = tuple[float, float]

INK: RGB = (44, 36, 44)
LIP: RGB = (206, 46, 60)
WHITE: RGB = (252, 252, 252)
FRAME: RGB = (28, 28, 32)
LENS: RGB = (132, 200, 240)
HAT: RGB = (36, 56, 124)
HAT_BAND: RGB = (236, 236, 240)
BOW: RGB = (226, 40, 70)
BLUSH: RGB = (242, 128, 128)


@dataclass(frozen=True)
class Paints:
    """The colours of one picture."""

    hair: RGB
    shirt: RGB
    background: RGB
    skin: RGB
    mark: RGB


@dataclass(frozen=True)
class Placement:
    """Shift (share of the side) and size (1 = plain) of the figure."""

    dx: float = 0.0
    dy: float = 0.0
    zoom: float = 1.0


@dataclass(frozen=True)
class Shape:
    """What is drawn, without its colours."""

    child: bool
    feminine: bool
    hair_style: str
    smile: bool
    open_mouth: bool
    closed_eyes: bool
    blush: bool
    beard: bool
    glasses: bool
    hat: bool
    bow: bool
    mark: str | None


def portrait(shape: Shape, paints: Paints, placement: Placement, size: int) -> Image.Image:
    """Draw one portrait as RGB, `size` × `size` pixels."""
    canvas = max(256, 4 * size if size <= 256 else 2 * size)
    image = Image.new("RGB", (canvas, canvas), paints.background)
    pen = Pen(ImageDraw.Draw(image), canvas, placement)
    _hair_behind(pen, shape, paints)
    _shirt(pen, shape, paints)
    _head(pen, shape, paints)
    if shape.glasses:
        _lenses(pen, shape)
    _eyes(pen, shape, paints)
    if shape.beard:
        _beard(pen, paints)
    _mouth(pen, shape)
    _cheeks(pen, shape, paints)
    _hair_in_front(pen, shape, paints)
    if shape.glasses:
        _glasses(pen, shape)
    if shape.hat:
        _hat(pen)
    if shape.bow:
        _bow(pen)
    return image.resize((size, size), Image.Resampling.BOX if canvas % size == 0 else Image.Resampling.LANCZOS)


class Pen:
    """Draws in shares of the side on a canvas of `side` pixels, moved and scaled by a placement."""

    def __init__(self, draw: ImageDraw.ImageDraw, side: int, placement: Placement) -> None:
        self._draw = draw
        self._side = side
        self._place = placement

    def at(self, point: Point) -> Point:
        """Pixel position of a point; scaling keeps the middle of the lower edge, where the shoulders end."""
        x, y = point
        place = self._place
        x = 0.5 + (x - 0.5) * place.zoom + place.dx
        y = 1.0 + (y - 1.0) * place.zoom + place.dy
        return x * self._side, y * self._side

    def _box(self, x: float, y: float, rx: float, ry: float) -> tuple[Point, Point]:
        return self.at((x - rx, y - ry)), self.at((x + rx, y + ry))

    def _width(self, width: float) -> int:
        return max(1, round(width * self._side * self._place.zoom))

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: RGB) -> None:
        """A filled ellipse around (x, y)."""
        self._draw.ellipse(self._box(x, y, rx, ry), fill=fill)

    def ring(self, x: float, y: float, radius: float, width: float, ink: RGB) -> None:
        """A circle's outline."""
        self._draw.ellipse(self._box(x, y, radius, radius), outline=ink, width=self._width(width))

    def slice(self, x: float, y: float, rx: float, ry: float, span: tuple[float, float], fill: RGB) -> None:
        """The part of an ellipse cut off by a chord; `span` in degrees, clockwise from three o'clock."""
        self._draw.chord(self._box(x, y, rx, ry), span[0], span[1], fill=fill)

    def arc(self, box: tuple[float, float, float, float], span: tuple[float, float], width: float, ink: RGB) -> None:
        """A part of an ellipse's outline; `box` is (x, y, rx, ry)."""
        self._draw.arc(self._box(*box), span[0], span[1], fill=ink, width=self._width(width))

    def polygon(self, points: Sequence[Point], fill: RGB) -> None:
        """A filled polygon."""
        self._draw.polygon([self.at(point) for point in points], fill=fill)

    def line(self, points: Sequence[Point], width: float, ink: RGB) -> None:
        """A line with round joints."""
        self._draw.line([self.at(point) for point in points], fill=ink, width=self._width(width), joint="curve")

    def block(self, x0: float, y0: float, x1: float, y1: float, radius: float, fill: RGB) -> None:
        """A rectangle with round corners."""
        self._draw.rounded_rectangle((self.at((x0, y0)), self.at((x1, y1))), radius * self._side, fill=fill)


def darker(colour: RGB, share: float = 0.8) -> RGB:
    """`colour` with each channel multiplied by `share`."""
    return int(colour[0] * share), int(colour[1] * share), int(colour[2] * share)


def arch(x: float, y: float, rx: float, ry: float) -> list[Point]:
    """The upper half of an ellipse as points from left to right."""
    steps = [math.pi * (1 - i / 24) for i in range(25)]
    return [(x + rx * math.cos(a), y - ry * math.sin(a)) for a in steps]


def _hair_behind(pen: Pen, shape: Shape, paints: Paints) -> None:
    """The part of the hair behind head and shoulders."""
    shade = darker(paints.hair, 0.86)
    if shape.hair_style == "long":
        pen.ellipse(0.5, 0.42, 0.29, 0.30, shade)
        pen.block(0.21, 0.42, 0.79, 0.86, 0.09, shade)
    elif shape.hair_style == "twintails":
        for x in (0.155, 0.845):
            pen.ellipse(x, 0.56, 0.10, 0.23, paints.hair)
        pen.ellipse(0.5, 0.42, 0.275, 0.285, shade)
    else:
        pen.ellipse(0.5, 0.42, 0.275, 0.285, shade)
        if shape.feminine:
            pen.block(0.225, 0.40, 0.775, 0.66, 0.10, shade)


def _shirt(pen: Pen, shape: Shape, paints: Paints) -> None:
    """Neck, shoulders and neckline."""
    width = 0.30 if shape.child else 0.34 if shape.feminine else 0.40
    top = 0.80 if shape.child else 0.775
    pen.block(0.5 - width, top, 0.5 + width, 1.3, 0.13, paints.shirt)
    neck = 0.07 if shape.feminine or shape.child else 0.09
    skin = darker(paints.skin, 0.88)
    pen.block(0.5 - neck, 0.62, 0.5 + neck, top + 0.03, 0.03, skin)
    if shape.feminine:
        pen.slice(0.5, top + 0.005, 0.12, 0.085, (0, 180), skin)
    else:
        pen.polygon([(0.5 - neck, top), (0.5 + neck, top), (0.5, top + 0.10)], skin)


def _head(pen: Pen, shape: Shape, paints: Paints) -> None:
    """Face and ears."""
    if shape.hair_style != "long" and not shape.feminine:
        for x in (0.285, 0.715):
            pen.ellipse(x, 0.50, 0.035, 0.05, darker(paints.skin, 0.9))
    if shape.child:
        pen.ellipse(0.5, 0.50, 0.215, 0.205, paints.skin)
    elif shape.feminine:
        pen.ellipse(0.5, 0.475, 0.205, 0.235, paints.skin)
    else:
        pen.block(0.295, 0.30, 0.705, 0.705, 0.155, paints.skin)


def eye_line(shape: Shape) -> float:
    """Height of the eyes; children's sit lower."""
    return 0.515 if shape.child else 0.465


def _eyes(pen: Pen, shape: Shape, paints: Paints) -> None:
    """Eyes, brows and nose."""
    y = eye_line(shape)
    rx, ry = (0.046, 0.056) if shape.child else (0.042, 0.044) if shape.feminine else (0.038, 0.036)
    brow = darker(paints.hair, 0.62)
    for side in (-1, 1):
        x = 0.5 + side * 0.088
        if shape.closed_eyes:
            pen.arc((x, y - 0.012, 0.044, 0.034), (15, 165), 0.017, INK)
        else:
            pen.ellipse(x, y, rx, ry, WHITE)
            pen.ellipse(x, y + 0.003, rx * 0.68, ry * 0.86, INK)
            pen.ellipse(x - 0.011, y - 0.015, 0.011, 0.012, WHITE)
        if shape.feminine and not shape.closed_eyes:
            pen.arc((x, y + 0.004, rx + 0.008, ry + 0.008), (190, 350), 0.014, INK)
        lift = 0.075 if shape.child else 0.07
        thick = 0.014 if shape.feminine or shape.child else 0.024
        pen.line([(x - 0.042, y - lift + 0.006), (x, y - lift - 0.006), (x + 0.042, y - lift + 0.006)], thick, brow)
    pen.ellipse(0.5, y + 0.075, 0.016, 0.011, darker(paints.skin, 0.82))


def _beard(pen: Pen, paints: Paints) -> None:
    """A full beard along the jaw."""
    pen.slice(0.5, 0.535, 0.208, 0.215, (5, 175), darker(paints.hair, 0.92))
    pen.ellipse(0.5, 0.545, 0.135, 0.05, paints.skin)


def _mouth(pen: Pen, shape: Shape) -> None:
    """One of four mouths: smile or not, open or closed."""
    y = 0.632 if shape.child else 0.615
    if shape.smile and shape.open_mouth:
        pen.slice(0.5, y - 0.02, 0.075, 0.078, (0, 180), LIP)
        pen.block(0.452, y - 0.02, 0.548, y + 0.002, 0.006, WHITE)
    elif shape.smile:
        pen.arc((0.5, y - 0.04, 0.078, 0.066), (20, 160), 0.02, LIP)
    elif shape.open_mouth:
        pen.ellipse(0.5, y + 0.008, 0.036, 0.042, LIP)
    else:
        pen.line([(0.452, y + 0.004), (0.548, y + 0.004)], 0.02, LIP)


def _cheeks(pen: Pen, shape: Shape, paints: Paints) -> None:
    """Blush and mark."""
    y = eye_line(shape) + 0.105
    if shape.blush:
        for x in (0.36, 0.64):
            pen.ellipse(x, y, 0.046, 0.03, BLUSH)
    x, y = 0.632, y + 0.012
    if shape.mark == "star":
        pen.polygon(star(x, y, 0.082), paints.mark)
    elif shape.mark == "heart":
        for side in (-1, 1):
            pen.ellipse(x + side * 0.029, y - 0.019, 0.036, 0.036, paints.mark)
        pen.polygon([(x - 0.062, y - 0.008), (x + 0.062, y - 0.008), (x, y + 0.068)], paints.mark)
    elif shape.mark == "dot":
        pen.ellipse(x, y, 0.058, 0.058, paints.mark)


def star(x: float, y: float, radius: float) -> list[Point]:
    """A five-pointed star with one point up."""
    angles = [-math.pi / 2 + i * math.pi / 5 for i in range(10)]
    lengths = [radius if i % 2 == 0 else radius * 0.55 for i in range(10)]
    return [(x + r * math.cos(a), y + r * math.sin(a)) for a, r in zip(angles, lengths, strict=True)]


def _hair_in_front(pen: Pen, shape: Shape, paints: Paints) -> None:
    """Fringe, locks and one highlight."""
    top = arch(0.5, 0.44, 0.275, 0.305)
    if shape.feminine and shape.child:
        edge = [(0.725, 0.56), (0.70, 0.41), (0.60, 0.415), (0.5, 0.40), (0.40, 0.415), (0.30, 0.41), (0.275, 0.56)]
    elif shape.feminine:
        edge = [(0.74, 0.60), (0.70, 0.47), (0.62, 0.38), (0.42, 0.285), (0.345, 0.385), (0.30, 0.47), (0.26, 0.60)]
    elif shape.child:
        edge = [
            (0.72, 0.48),
            (0.68, 0.37),
            (0.60, 0.42),
            (0.54, 0.36),
            (0.46, 0.42),
            (0.38, 0.36),
            (0.31, 0.42),
            (0.28, 0.48),
        ]
    else:
        edge = [
            (0.73, 0.48),
            (0.69, 0.45),
            (0.68, 0.335),
            (0.52, 0.29),
            (0.36, 0.33),
            (0.31, 0.345),
            (0.31, 0.45),
            (0.27, 0.48),
        ]
    pen.polygon([*top, *edge], paints.hair)
    if shape.hair_style == "long":
        for x0, x1 in ((0.215, 0.305), (0.695, 0.785)):
            pen.block(x0, 0.42, x1, 0.88, 0.04, paints.hair)
    if not shape.hat:
        light = tuple(min(255, int(c + (255 - c) * 0.28)) for c in paints.hair)
        pen.arc((0.5, 0.44, 0.205, 0.235), (215, 270), 0.024, (light[0], light[1], light[2]))


LENSES: tuple[float, float] = (0.408, 0.592)
LENS_RADIUS = 0.088
FRAME_WIDTH = 0.026


def _lenses(pen: Pen, shape: Shape) -> None:
    """Tinted glass, behind the eyes so that they stay to be seen."""
    for x in LENSES:
        pen.ellipse(x, eye_line(shape) + 0.004, LENS_RADIUS, LENS_RADIUS, LENS)


def _glasses(pen: Pen, shape: Shape) -> None:
    """Round glasses with a thick frame."""
    y = eye_line(shape) + 0.004
    for x in LENSES:
        pen.ring(x, y, LENS_RADIUS, FRAME_WIDTH, FRAME)
    pen.line([(0.482, y - 0.01), (0.518, y - 0.01)], FRAME_WIDTH, FRAME)
    for x0, x1 in ((0.33, 0.275), (0.67, 0.725)):
        pen.line([(x0, y - 0.01), (x1, y - 0.02)], FRAME_WIDTH, FRAME)


def _hat(pen: Pen) -> None:
    """A brimmed hat with a light band."""
    pen.polygon([*arch(0.5, 0.30, 0.245, 0.225)], HAT)
    pen.block(0.255, 0.235, 0.745, 0.30, 0.0, HAT_BAND)
    pen.block(0.14, 0.285, 0.86, 0.345, 0.03, HAT)


def _bow(pen: Pen) -> None:
    """A bow on the hair."""
    x, y = 0.69, 0.21
    pen.polygon([(x, y), (x - 0.12, y - 0.075), (x - 0.11, y + 0.075)], BOW)
    pen.polygon([(x, y), (x + 0.11, y - 0.065), (x + 0.12, y + 0.085)], BOW)
    pen.ellipse(x, y, 0.032, 0.036, darker(BOW, 0.75))
