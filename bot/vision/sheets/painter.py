"""Sheets of stored pictures, drawn in a process of its own: the contact sheet, and a picture before and after."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import MeasureError
from bot.rules.pictures.measures import Box
from bot.workers.child import answer_once, worker_command

log = logging.getLogger(__name__)

MEMORY_BYTES = 768 * 1024 * 1024
SECONDS = 60
MOST_BYTES = 16 * 1024 * 1024
JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture of a sheet."""

    path: Path
    number: int
    level: int | None
    """0 green, 1 amber, 2 red; None without a frame."""
    box: Box | None = None
    """What a square keeps; the rest is dimmed."""


class Painter:
    """Draws, one sheet at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def sheet(self, cells: Sequence[Cell]) -> bytes:
        """JPEG of the pictures in rows of five, numbered and framed. Raises MeasureError."""
        return await self._draw(
            {
                "cells": [
                    {"path": str(cell.path.resolve()), "number": cell.number, "level": cell.level, "box": cell.box}
                    for cell in cells
                ]
            }
        )

    async def pair(self, path: Path, box: Box) -> bytes:
        """JPEG of a picture with its square outlined, and the square beside it. Raises MeasureError."""
        return await self._draw({"path": str(path.resolve()), "box": box})

    async def _draw(self, question: Mapping[str, Any]) -> bytes:
        command = worker_command("bot.vision.sheets.sheet_worker", str(MEMORY_BYTES), str(SECONDS))
        try:
            async with self._lock:
                drawn = await answer_once(command, json.dumps(question).encode(), MOST_BYTES, SECONDS)
        except TimeoutError:
            raise MeasureError("Drawing the pictures took too long. Please try again in a minute.") from None
        if not drawn.startswith(JPEG) or len(drawn) > MOST_BYTES:
            raise MeasureError("The pictures could not be drawn. Please try again; if it stays, tell the host.")
        return drawn
