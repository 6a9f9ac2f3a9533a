"""How fast the tagger is, against a plain one-by-one loop with the same model in the same process.

    python -m bot.bench.tagger [--model FOLDER] [--pictures N] [--side PIXELS] [--threads N] [--json FILE]

Both ways do the same work on the same files: open, scale, run, read the tags; and both must find the same tags. They
take turns, the best round of each counts, so that a busy machine harms neither. This module runs the model in its own
process and is no part of the bot that members talk to.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from bot.vision.tagging.tagger_worker import FILES, Model, find_model
from bot.vision.tagging.wd14 import Cut, TagResult, prepare, read_labels, read_tags

ROUNDS = 5
WANTED = 1.3
"""Times the plain loop's speed that the tagger must reach."""

Results = list[TagResult | None]


@dataclass(frozen=True, slots=True)
class _Timed:
    seconds: float
    results: Results


class PlainLoop:
    """What a script does that tags a folder: one picture after the other, with the same threads for the model."""

    def __init__(self, folder: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(folder / FILES[0]), sess_options=options, providers=["CPUExecutionProvider"]
        )
        with (folder / FILES[1]).open(newline="", encoding="utf-8") as file:
            self._labels = read_labels(file)
        self._input = self._session.get_inputs()[0]

    def tag(self, paths: Sequence[Path], cut: Cut) -> Results:
        """Tags of the pictures, in order."""
        results: Results = []
        for path in paths:
            with Image.open(path) as image:
                prepared = prepare(image, self._input.shape[1])
            found = self._session.run(None, {self._input.name: prepared[None]})[0]
            results.append(read_tags(found[0], self._labels, cut))
        return results


def measure(model: str, pictures: int, side: int, threads: int) -> dict[str, Any]:
    """Pictures a second of both ways, and whether their tags agree; JSON-able."""
    where = find_model(model)
    loaded, plain_loop, cut = Model(where, threads), PlainLoop(where, threads), Cut()
    with tempfile.TemporaryDirectory(prefix="lorelei-bench-") as folder:
        paths = draw_pictures(Path(folder), pictures, side)
        for each in (loaded, plain_loop):  # the first run allocates
            each.tag(paths[:1], cut)
        plain, batched = _best(
            lambda: plain_loop.tag(paths, cut),
            lambda: loaded.tag(paths, cut),
        )
    return {
        "bench": "tagger",
        "model": Path(model).name,
        "pictures": pictures,
        "side": side,
        "threads": threads,
        "plain_per_second": round(pictures / plain.seconds, 2),
        "batched_per_second": round(pictures / batched.seconds, 2),
        "times": round(plain.seconds / batched.seconds, 3),
        "wanted": WANTED,
        "same_tags": _names(plain.results) == _names(batched.results),
    }


def draw_pictures(folder: Path, pictures: int, side: int) -> list[Path]:
    """JPEGs of `side` × 4/3 `side` pixels, as phones make them; smooth random colours, the same every time."""
    rng = np.random.default_rng(7)
    paths = []
    for number in range(pictures):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 12, 3), dtype=np.uint8))
        paths.append(folder / f"{number}.jpg")
        coarse.resize((side, side * 4 // 3), Image.Resampling.BICUBIC).save(paths[-1], "JPEG", quality=95)
    return paths


def toy_tagger() -> Path:
    """The folder of the toy tagger that comes with the trainer, found without importing it."""
    found = importlib.util.find_spec("trainer")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the toy tagger is not installed; name a model with --model")
    return Path(found.submodule_search_locations[0]) / "toy" / "assets" / "toy-tagger"


def main(argv: Sequence[str]) -> int:
    """Measure and print; 1 when the tags differ."""
    parser = argparse.ArgumentParser(prog="python -m bot.bench.tagger", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="", help="folder or hub id; without it the toy tagger")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--side", type=int, default=1024, help="shorter side of the pictures in pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    asked = parser.parse_args(argv)
    numbers = measure(asked.model or str(toy_tagger()), asked.pictures, asked.side, asked.threads)
    sys.stdout.write(
        f"tagger {numbers['model']}: {numbers['batched_per_second']} pictures/s,"
        f" plain loop {numbers['plain_per_second']}: {numbers['times']} times (wanted {WANTED});"
        f" {'the same' if numbers['same_tags'] else 'DIFFERENT'} tags\n"
    )
    if asked.json is not None:
        asked.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return 0 if numbers["same_tags"] else 1


def _best(plain: Callable[[], Results], batched: Callable[[], Results]) -> tuple[_Timed, _Timed]:
    rounds = [(_timed(plain), _timed(batched)) for _ in range(ROUNDS)]
    first, second = zip(*rounds, strict=True)
    return min(first, key=lambda each: each.seconds), min(second, key=lambda each: each.seconds)


def _timed(work: Callable[[], Results]) -> _Timed:
    began = time.perf_counter()
    results = work()
    return _Timed(time.perf_counter() - began, results)


def _names(results: Results) -> list[Any]:
    return [result and ([tag for tag, _ in (*result.general, *result.characters)], result.rating) for result in results]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
