"""The process that measures stored pictures: JSON lines in, JSON lines out, until stdin ends.

    python -m bot.vision.measuring.measure_worker MEMORY_BYTES

First line out: {"ready": true} or {"error": why}. Then {"measure": path} is answered by {"measures": {...}} or
{"error": why}, and {"new": [[key, thumb, [w, h]], ...], "old": [...]} by {"pairs": [[key, key, likeness, mirrored],
...]}: each of the new with those before it and with all old ones, where they are alike. It can write no file.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from bot.rules.pictures.measures import Face, Measures
from bot.vision.measuring import pixels
from bot.vision.measuring.centerface import Box, CenterFace
from bot.vision.measuring.likeness import Print, likeness, print_of
from bot.workers.limits import limit_resources

WORK_SIDE = 1536
"""Longer side, in pixels, that a picture is opened at: faces are then large enough to tell whether they are sharp."""
NICE = 10
"""It works in the background: whatever a member waits for goes first."""
LEAST_ALIKE = 0.7
"""Pairs less alike than this are not worth keeping."""


def measure(path: Path, detector: CenterFace) -> Measures:
    """All measures of a stored picture; raises OSError or ValueError when it cannot be opened."""
    image = opened(path)
    whole = pixels.grey(image, pixels.WHOLE_SIDE)
    text, size = pixels.thumb(image)
    return Measures(
        sharpness=round(pixels.sharpest(whole), 2),
        light=round(float(whole.mean()) / 255, 4),
        contrast=round(float(whole.std()) / 255, 4),
        dark=round(float((whole < 16).mean()), 4),
        bright=round(float((whole > 239).mean()), 4),
        bars=pixels.bars(whole),
        palette=pixels.palette(image),
        salient=pixels.salient(whole),
        faces=tuple(_face(image, box, sure) for box, sure in detector.find(image)),
        thumb=text,
        thumb_size=size,
    )


def opened(path: Path) -> Image.Image:
    """The picture in RGB, on white where one can see through it, its longer side about WORK_SIDE pixels at most."""
    with Image.open(path, formats=["JPEG", "PNG", "WEBP"]) as image:
        image.draft("RGB", (WORK_SIDE, WORK_SIDE))
        image.thumbnail((WORK_SIDE, WORK_SIDE), Image.Resampling.LANCZOS)
        if image.has_transparency_data:
            seen = Image.new("RGBA", image.size, (255, 255, 255, 255))
            seen.alpha_composite(image.convert("RGBA"))
            return seen.convert("RGB")
        return image.convert("RGB")


def _face(image: Image.Image, box: Box, sure: float) -> Face:
    """The face with what is measured inside its box."""
    left, top, right, lower = (
        round(min(max(share, 0.0), 1.0) * side) for share, side in zip(box, image.size * 2, strict=True)
    )
    crop = pixels.grey(image.crop((left, top, max(right, left + 1), max(lower, top + 1))), pixels.FACE_SIDE)
    rounded = tuple(round(share, 5) for share in box)
    return Face(
        box=(rounded[0], rounded[1], rounded[2], rounded[3]),
        sure=round(sure, 3),
        sharpness=round(pixels.sharpness(crop), 2),
        light=round(float(crop.mean()) / 255, 4),
    )


def pairs(question: dict[str, Any]) -> list[list[Any]]:
    """The pairs that are alike, each new picture with those before it in the list and with all old ones."""
    prints: list[tuple[Any, Print]] = [
        (key, print_of(thumb, tuple(size))) for key, thumb, size in (*question["old"], *question["new"])
    ]
    found = []
    for place in range(len(question["old"]), len(prints)):
        key, own = prints[place]
        for other, theirs in prints[:place]:
            alike, mirrored = likeness(theirs, own)
            if alike >= LEAST_ALIKE:
                found.append([other, key, round(alike, 3), mirrored])
    return found


def main(arguments: list[str]) -> None:
    """Load, then answer."""
    limit_resources(int(arguments[0]))
    os.nice(NICE)
    try:
        detector = CenterFace()
    except Exception as error:  # noqa: BLE001 - whatever the runtime says is one line for the bot
        _say({"error": f"{type(error).__name__}: {error}"})
        return
    _say({"ready": True})
    for line in sys.stdin:
        try:
            question = json.loads(line)
            if "measure" in question:
                answer: dict[str, Any] = {"measures": dataclasses.asdict(measure(Path(question["measure"]), detector))}
            else:
                answer = {"pairs": pairs(question)}
        except Exception as error:  # noqa: BLE001 - one bad picture must not cost the loaded model
            answer = {"error": f"{type(error).__name__}: {error}"}
        _say(answer)


def _say(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
