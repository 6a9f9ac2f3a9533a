"""The tagger as the bot sees it: pictures in, tags out. The model lives in its own process, started when needed."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bot.config import TaggerConfig
from bot.errors import TaggerError
from bot.vision.tagging.wd14 import Cut, TagResult
from bot.workers.child import worker_environment
from bot.workers.line_worker import CannotStart, LineWorker, WorkerFailed, WorkerSlow

log = logging.getLogger(__name__)

CHUNK = 32
"""Pictures asked for at once: several runs of the model, so that the next pictures are opened while it works."""
SHARED_CHUNK = 8
"""The same while others wait for the same model: nobody's hundred pictures hold up somebody's one for long."""
LOAD_SECONDS = 1800.0
"""The first start downloads some hundred megabytes."""
PICTURE_SECONDS = 15.0
"""The longest a picture may take; the largest model (EVA02, 1.3 GB) on two busy cores stays under it."""
MAX_LINE = 16 * 1024 * 1024
_HUB = (
    *("HOME", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "XDG_CACHE_HOME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
)
"""Variables that huggingface_hub finds its cache and its way out by."""
_REMEDY = "Captions keep trigger and class word until it works; you can write the rest by Edit."


class Tagger:
    """Tags pictures; calls take turns by the chunk. A process that crashed is started again by the next chunk."""

    def __init__(self, config: TaggerConfig) -> None:
        self._config = config
        self._lock = asyncio.Lock()
        self._asking: Counter[str] = Counter()
        """Calls under way, by model."""
        self._closed = False
        self._worker: LineWorker | None = None
        self._model = ""
        """What the worker holds: one model at a time, as each takes its gigabyte."""

    @property
    def pid(self) -> int | None:
        """The model's process while it is up."""
        return self._worker.pid if self._worker is not None else None

    async def tag(self, paths: Sequence[Path], cut: Cut | None = None, model: str = "") -> list[TagResult | None]:
        """Tags of stored pictures, in order, None for one that is gone; raises TaggerError with what it means.

        Without a cut and a model it is the host's.
        """
        cut = cut or Cut(self._config.general_threshold, self._config.character_threshold, self._config.mcut)
        model = model or self._config.model
        results: list[TagResult | None] = []
        self._asking[model] += 1
        try:
            while len(results) < len(paths):
                async with self._lock:  # its waiters take turns
                    size = SHARED_CHUNK if self._asking[model] > 1 else CHUNK
                    worker = await self._worker_of(model)
                    results += await _ask(worker, paths[len(results) : len(results) + size], cut)
        finally:
            self._asking[model] -= 1
        return results

    async def close(self) -> None:
        """End the process for good: a call that is under way fails at its next chunk."""
        self._closed = True
        async with self._lock:
            if self._worker is not None:
                await self._worker.close()

    async def _worker_of(self, model: str) -> LineWorker:
        """The worker of this model; that of another has ended before. Raises TaggerError once closed."""
        if self._closed:
            raise TaggerError("I am being stopped just now. Ask again in a minute.")
        if self._worker is None or model != self._model:
            if self._worker is not None:
                await self._worker.close()
            self._model = model
            self._worker = LineWorker(
                "bot.vision.tagging.tagger_worker",
                [model, str(self._config.threads)],
                self._config.idle_seconds,
                MAX_LINE,
                worker_environment(_HUB, {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}),
            )
        return self._worker


async def _ask(worker: LineWorker, paths: Sequence[Path], cut: Cut) -> list[TagResult | None]:
    question = {"paths": [str(path.resolve()) for path in paths], "cut": dataclasses.asdict(cut)}
    try:
        answer = await worker.ask(question, 60.0 + PICTURE_SECONDS * len(paths), LOAD_SECONDS)
    except CannotStart as error:
        log.error("the tagger cannot be loaded: %s", error.reason)
        raise TaggerError(
            f"The tagger's model cannot be loaded. {_REMEDY} (For the host: [tagger] model must be a folder with"
            " model.onnx and selected_tags.csv, or a hub id that can be downloaded; the log has the reason.)"
        ) from None
    except WorkerSlow as error:
        raise TaggerError(f"The tagger took longer than {error.seconds:.0f} seconds. {_REMEDY}") from None
    except WorkerFailed as error:
        raise _died() from error
    try:
        return _results(answer, len(paths))
    except TaggerError:
        await worker.close()  # an inference that failed may have left the model's memory in disorder
        raise


def _results(answer: dict[str, Any], number: int) -> list[TagResult | None]:
    """Raises TaggerError when it is an error, or does not hang together."""
    if "error" in answer:
        log.error("the tagger failed: %s", answer["error"])
        raise TaggerError(f"The tagger failed on these pictures. {_REMEDY}")
    try:
        results = [None if value is None else _result(value) for value in answer["results"]]
    except (KeyError, TypeError, ValueError) as error:
        raise _died() from error
    if len(results) != number:
        raise _died()
    return results


def _result(value: dict[str, Any]) -> TagResult:
    general, characters = (
        tuple((str(tag), float(score)) for tag, score in value[part]) for part in ("general", "characters")
    )
    return TagResult(general, characters, str(value["rating"]))


def _died() -> TaggerError:
    return TaggerError(f"The tagger's process ended unexpectedly; the next pictures start it again. {_REMEDY}")
