"""Hostile bytes → a safe picture: each file is decoded in a process of its own, with little memory and little time."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
from dataclasses import dataclass
from typing import Any

from bot.config import IntakeConfig
from bot.errors import PictureRefused
from bot.vision.decoding.sniff import what_it_is
from bot.workers.child import answer_once, worker_command

log = logging.getLogger(__name__)

MAX_STORED_BYTES = 128 * 1024 * 1024
"""No picture within the limits comes near; a worker that says more has been taken over."""


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """Upright, stripped of everything but its pixels, in sRGB."""

    data: bytes
    suffix: str
    """jpg or webp."""
    width: int
    height: int


class Decoder:
    """Decodes pictures, at most one per core at a time (and at most four)."""

    def __init__(self, limits: IntakeConfig) -> None:
        self._limits = limits
        self._slots = asyncio.Semaphore(max(1, min(4, os.cpu_count() or 1)))

    async def decode(self, data: bytes, shown: str) -> DecodedPicture:
        """Decode one file; `shown` is its name as it may stand in a sentence (bot.rules.names.shown_file).

        Raises PictureRefused with the reason and what to do about it.
        """
        if not data:
            raise PictureRefused(f"{shown} is empty. Send it once more.")
        async with self._slots:
            answer = await self._run(data, shown)
        head, _, picture = answer.partition(b"\n")
        try:
            result = json.loads(head)
            if result["ok"]:
                return _decoded(result, picture)
            reason = self._reason(str(result["why"]), result, data)
        except (ValueError, KeyError, TypeError):
            log.warning("the decoder died on %s (%d bytes)", shown, len(data))
            reason = self._reason("damaged", {}, data)
        raise PictureRefused(f"{shown} {reason}")

    async def _run(self, data: bytes, shown: str) -> bytes:
        """The worker's answer: one line of JSON, then the picture; whatever it wrote before it died."""
        limits = self._limits
        command = worker_command(
            "bot.vision.decoding.decode_worker",
            *(str(limits.decode_memory_bytes), str(math.ceil(limits.decode_seconds))),
            *(str(int(limits.max_megapixels * 1e6)), str(limits.min_side)),
        )
        try:
            return await answer_once(command, data, MAX_STORED_BYTES, limits.decode_seconds)
        except TimeoutError:
            raise PictureRefused(
                f"{shown} took longer than {limits.decode_seconds:.0f} seconds to open. Send a smaller copy as JPEG."
            ) from None

    def _reason(self, why: str, result: dict[str, Any], data: bytes) -> str:
        """Why a file is refused, as the rest of a sentence that starts with its name."""
        size = f"{int(result.get('width', 0))} × {int(result.get('height', 0))} pixels"
        match why:
            case "unknown":
                return f"is {what_it_is(data)}. Send a JPEG, PNG, WEBP, HEIC or AVIF picture."
            case "animated":
                return "is animated. Send a still picture, for example a screenshot of the best moment."
            case "too-large":
                return f"has {size}; {self._limits.max_megapixels:g} megapixels is the most. Send a smaller copy."
            case "too-long":
                return f"has {size}, which is too long a strip. Cut out the part that matters."
            case "too-small":
                return f"has {size}; the shorter side needs at least {self._limits.min_side}. Send the original."
            case "transparent":
                return "is transparent all over, so there is nothing to see. Send it with its background."
            case "memory":
                return "needs too much memory to open. Send a smaller copy as JPEG."
            case _:
                return "is damaged or cut short and cannot be opened. Send it once more, or a screenshot of it."


def _decoded(result: dict[str, Any], picture: bytes) -> DecodedPicture:
    """Raises ValueError when the worker's answer does not hang together."""
    if result["suffix"] not in ("jpg", "webp") or not 0 < len(picture) == int(result["bytes"]) <= MAX_STORED_BYTES:
        raise ValueError("the worker's answer is not a picture")
    return DecodedPicture(picture, result["suffix"], int(result["width"]), int(result["height"]))
