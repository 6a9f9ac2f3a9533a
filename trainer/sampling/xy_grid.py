"""Checkpoints against weights: the same seed in every cell, as one labelled picture.

The first column is the base without a LoRA. Rows carry their names above them rather than beside them: on a phone
the width belongs to the pictures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from trainer.model.base import BaseModel
from trainer.sampling.draw import Begin, Drawing, draw
from trainer.sampling.grid import BACKGROUND, GAP, INK, fitting
from trainer.sampling.networks import Acting, Network, attached

LETTERS_ACROSS = 30
"""Letter heights in the sheet's width: 13 pixels on a phone that shows it 390 wide."""

_FAINT = (150, 152, 158)


NO_LORA = "no LoRA"


@dataclass(frozen=True, slots=True)
class Axes:
    """What the sheet compares."""

    networks: tuple[Network, ...]
    """One a row."""
    weights: tuple[float, ...]
    """One a column, behind the one without a LoRA."""

    @property
    def rows(self) -> list[str]:
        """The rows' names: the epoch, where the file says it, and the file's own name, where that says more."""
        return [_row_name(network) for network in self.networks]

    @property
    def columns(self) -> list[str]:
        """The columns' names."""
        return [NO_LORA, *(f"{weight:g}" for weight in self.weights)]


def draw_sheets(
    base: BaseModel, axes: Axes, prompt: str, seeds: Sequence[int], drawing: Drawing, begin: Begin
) -> list[Image.Image]:
    """A sheet for each seed. `begin` as in `draw`, which is called once for the base alone and once for each cell."""
    prompts = [prompt] * len(seeds)
    alone = draw(base, prompts, seeds, drawing, begin)
    cells: list[list[list[Image.Image]]] = []
    for network in axes.networks:
        row = [alone]
        for weight in axes.weights:
            with attached(base, [Acting(network, weight, weight)]):
                row.append(draw(base, prompts, seeds, drawing, begin))
        cells.append(row)
    text = f"{prompt} · {drawing.sampler}, {drawing.steps} steps, CFG {drawing.guidance:g}"
    return [
        xy_grid([[cell[number] for cell in row] for row in cells], axes, f"seed {seed} · {text}")
        for number, seed in enumerate(seeds)
    ]


def _row_name(network: Network) -> str:
    if not network.epoch:
        return network.name
    epoch = f"epoch {network.epoch}"
    return epoch if re.fullmatch(r"epoch-\d+", network.name) else f"{epoch} · {network.name}"


def xy_grid(cells: Sequence[Sequence[Image.Image]], axes: Axes, title: str) -> Image.Image:
    """The sheet: `title` above all, the columns' names below it, each row's name above its pictures.

    cells: rows of pictures of one size, as many as `axes` names. Raises ValueError where they do not fit.
    """
    if not cells or len(cells) != len(axes.rows) or any(len(row) != len(axes.columns) for row in cells):
        raise ValueError("a sheet needs a picture for each row and column")
    width, height = cells[0][0].size
    across = len(axes.columns) * (width + GAP) + GAP
    letter = max(11, across // LETTERS_ACROSS)
    band = letter * 7 // 4
    sheet = Image.new("RGB", (across, 2 * band + len(cells) * (band + height + GAP)), BACKGROUND)
    font = ImageFont.load_default(letter)
    ink = ImageDraw.Draw(sheet)
    ink.text((GAP, band // 2), fitting(title, font, across - 2 * GAP), fill=_FAINT, font=font, anchor="lm")
    lefts = [GAP + column * (width + GAP) for column in range(len(axes.columns))]
    small = _fitting_all(axes.columns, letter, width)
    for left, name in zip(lefts, axes.columns, strict=True):
        ink.text((left + width // 2, band + band // 2), name, fill=INK, font=small, anchor="mm")
    for number, (row, name) in enumerate(zip(cells, axes.rows, strict=True)):
        top = 2 * band + number * (band + height + GAP)
        ink.text((GAP, top + band // 2), fitting(name, font, across - 2 * GAP), fill=INK, font=font, anchor="lm")
        for left, picture in zip(lefts, row, strict=True):
            sheet.paste(picture, (left, top + band))
    return sheet


def _fitting_all(names: Sequence[str], letter: int, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font in which every name fits into the width: these say what the columns are, so none is cut."""
    while True:
        font = ImageFont.load_default(letter)
        if letter <= 6 or max(map(font.getlength, names)) <= width:
            return font
        letter -= 1
