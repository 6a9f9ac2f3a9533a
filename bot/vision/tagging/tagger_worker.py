"""The process that holds the tagger's model: JSON lines in, JSON lines out, until stdin ends.

    python -m bot.vision.tagging.tagger_worker MODEL THREADS

MODEL is a folder with model.onnx and selected_tags.csv, or a hub id. First line out: {"ready": labels} or
{"error": why}. Then each {"paths": [...], "cut": {general, character, mcut}} is answered by
{"results": [{general, characters, rating} or null, ...]} or {"error": why}.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from bot.vision.tagging.wd14 import Cut, TagResult, prepare, read_labels, read_tags

FILES = ("model.onnx", "selected_tags.csv")
BATCH = 8
"""Pictures per run of the model; 448² float32 pictures are 2.4 MB each, activations far more."""


class Model:
    """The ONNX session and its labels; sizes and names are read from the model, never assumed."""

    def __init__(self, folder: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # A thread of the model that waits must sleep: the next pictures are being opened meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(folder / FILES[0]), sess_options=options, providers=["CPUExecutionProvider"]
        )
        with (folder / FILES[1]).open(newline="", encoding="utf-8") as file:
            self.labels = read_labels(file)
        tensor = self._session.get_inputs()[0]
        batch, height, width, channels = tensor.shape
        if height != width or not isinstance(height, int) or channels != 3:
            raise ValueError(f"its input is {tensor.shape}, not (n, side, side, 3)")
        outputs = self._session.get_outputs()[0].shape[-1]
        if isinstance(outputs, int) and outputs != len(self.labels):
            raise ValueError(f"the model has {outputs} labels but selected_tags.csv lists {len(self.labels)}")
        self._name = tensor.name
        self._threads = threads
        self._side = height
        self._fixed = isinstance(batch, int)
        self._batch = batch if isinstance(batch, int) else BATCH

    def tag(self, paths: Sequence[Path], cut: Cut) -> list[TagResult | None]:
        """Tags of the pictures, in order; None for one that is gone or cannot be opened.

        While the model runs on some pictures, threads open and scale the next ones.
        """
        results: list[TagResult | None] = []
        for prepared in self._prepared(paths):
            found = iter(self._run([picture for picture in prepared if picture is not None]))
            results += [None if picture is None else read_tags(next(found), self.labels, cut) for picture in prepared]
        return results

    def _prepared(self, paths: Sequence[Path]) -> Iterator[list[Any | None]]:
        """The pictures as the model takes them, a run's worth at a time; at most two runs' worth are in memory."""
        parts = [paths[start : start + self._batch] for start in range(0, len(paths), self._batch)]
        with ThreadPoolExecutor(self._threads) as pool:
            ahead: list[Future[Any | None]] = []
            for part in [*parts, ()]:
                now, ahead = ahead, [pool.submit(self._prepare, path) for path in part]
                yield [future.result() for future in now]

    def _run(self, pictures: list[Any]) -> Any:
        """Probabilities `(n, labels)`; a model whose batch is fixed gets the last picture again to fill it."""
        if not pictures:
            return []
        fill = self._batch - len(pictures) if self._fixed else 0
        probabilities = self._session.run(None, {self._name: np.stack(pictures + pictures[-1:] * fill)})[0]
        return probabilities[: len(pictures)]

    def _prepare(self, path: Path) -> Any | None:
        try:
            with Image.open(path, formats=["JPEG", "PNG", "WEBP"]) as image:
                return prepare(image, self._side)
        except OSError:
            return None


def find_model(model: str) -> Path:
    """The folder of the model, downloaded from the hub when it is not one; raises OSError or the hub's errors."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import hf_hub_download

    files = [Path(hf_hub_download(model, name)) for name in FILES]
    return files[0].parent  # both lie in one snapshot folder


def main(arguments: list[str]) -> None:
    """Load, then answer."""
    name, threads = arguments
    try:
        model = Model(find_model(name), int(threads))
    except Exception as error:  # noqa: BLE001 - whatever the hub, the runtime or the file says is one line for the bot
        _say({"error": f"{type(error).__name__}: {error}"})
        return
    _say({"ready": len(model.labels)})
    for line in sys.stdin:
        question = json.loads(line)
        try:
            results = model.tag([Path(path) for path in question["paths"]], Cut(**question["cut"]))
        except Exception as error:  # noqa: BLE001 - one bad question must not cost the loaded model
            _say({"error": f"{type(error).__name__}: {error}"})
        else:
            _say({"results": [result and dataclasses.asdict(result) for result in results]})


def _say(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
