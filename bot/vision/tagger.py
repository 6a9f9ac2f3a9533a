"""The tagger as the bot sees it: pictures in, tags out. The model lives in its own process, started when needed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bot.config import TaggerConfig
from bot.errors import TaggerError
from bot.vision.child import end_process, input_of, output_of, worker_command, worker_environment
from bot.vision.wd14 import Cut, TagResult

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
        self._process: asyncio.subprocess.Process | None = None
        self._model = ""
        """What the process holds: one model at a time, as each takes its gigabyte."""
        self._idle: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        """Whether the model's process is up."""
        return self._process is not None and self._process.returncode is None

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
                    results += await self._part(paths[len(results) : len(results) + size], cut, model)
        finally:
            self._asking[model] -= 1
        return results

    async def _part(self, paths: Sequence[Path], cut: Cut, model: str) -> list[TagResult | None]:
        self._cancel_idle()
        try:
            found = await _ask(await self._ready(model), paths, cut)
        except BaseException:  # also cancelled in the middle of an answer: the next question would get this one's
            await self._end()
            raise
        self._idle = asyncio.get_running_loop().call_later(self._config.idle_seconds, self._hang_up)
        return found

    async def close(self) -> None:
        """End the process for good: a call that is under way fails at its next chunk."""
        self._closed = True
        async with self._lock:
            self._cancel_idle()
            await self._end()

    async def _ready(self, model: str) -> asyncio.subprocess.Process:
        process, alive = self._process, self.running
        if process is not None and alive and model == self._model and not input_of(process).is_closing():
            return process
        await self._end()
        if self._closed:
            raise TaggerError("I am being stopped just now. Ask again in a minute.")
        self._model = model
        self._process = await asyncio.create_subprocess_exec(
            *worker_command("bot.vision.tagger_worker", model, str(self._config.threads)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=worker_environment(_HUB, {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}),
            limit=MAX_LINE,
        )
        answer = await _answer(self._process, LOAD_SECONDS)
        if "error" in answer:
            log.error("the tagger %s cannot be loaded: %s", model, answer["error"])
            raise TaggerError(
                f"The tagger's model cannot be loaded. {_REMEDY} (For the host: [tagger] model must be a folder with"
                " model.onnx and selected_tags.csv, or a hub id that can be downloaded; the log has the reason.)"
            )
        return self._process

    def _hang_up(self) -> None:
        """Nobody asked for a while: the worker ends when its stdin does, and gives its memory back."""
        if self._process is not None:
            input_of(self._process).close()

    def _cancel_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    async def _end(self) -> None:
        if self._process is not None:
            await end_process(self._process)
            self._process = None


async def _ask(process: asyncio.subprocess.Process, paths: Sequence[Path], cut: Cut) -> list[TagResult | None]:
    question = {"paths": [str(path.resolve()) for path in paths], "cut": dataclasses.asdict(cut)}
    try:
        input_of(process).write(json.dumps(question).encode() + b"\n")
        await input_of(process).drain()
    except ConnectionError as error:
        raise _died() from error
    answer = await _answer(process, 60.0 + PICTURE_SECONDS * len(paths))
    if "error" in answer:
        log.error("the tagger failed: %s", answer["error"])
        raise TaggerError(f"The tagger failed on these pictures. {_REMEDY}")
    try:
        results = [None if value is None else _result(value) for value in answer["results"]]
    except (KeyError, TypeError, ValueError) as error:
        raise _died() from error
    if len(results) != len(paths):
        raise _died()
    return results


async def _answer(process: asyncio.subprocess.Process, seconds: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(seconds):  # not wait_for: before Python 3.12 it may swallow a cancellation
            line = await output_of(process).readline()
        answer = json.loads(line)
    except TimeoutError:
        raise TaggerError(f"The tagger took longer than {seconds:.0f} seconds. {_REMEDY}") from None
    except ValueError as error:
        raise _died() from error
    if not isinstance(answer, dict):
        raise _died()
    return answer


def _result(value: dict[str, Any]) -> TagResult:
    general, characters = (
        tuple((str(tag), float(score)) for tag, score in value[part]) for part in ("general", "characters")
    )
    return TagResult(general, characters, str(value["rating"]))


def _died() -> TaggerError:
    return TaggerError(f"The tagger's process ended unexpectedly; the next pictures start it again. {_REMEDY}")
