"""One job from claim to finished: what a trainer does with a job folder, readable top to bottom.

Every way out ends in exactly one terminal event (finished, paused, failed), except where writing is no longer ours
(a newer attempt took the job) or no longer possible (the disk is gone).
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Literal

import torch
from safetensors import SafetensorError

from trainer.contract.channel import JobChannel
from trainer.contract.config import TrainConfig
from trainer.contract.errors import ChannelError, ContractError, InvalidConfig, InvalidJob, StaleAttempt
from trainer.contract.events import Body, Caching, Claimed, Failed, Finished, Paused, Preparing, Resumed
from trainer.contract.exits import Exit
from trainer.contract.spec import JobSpec
from trainer.data.dataset import TrainingSet, encode_all
from trainer.data.sampler import Sampler
from trainer.data.texts import TextCache
from trainer.errors import TrainerError
from trainer.formats.metadata import TrainingProgress
from trainer.machine import version
from trainer.model.base import BaseModel, load_base
from trainer.model.device import (
    Numbers,
    device_errors,
    device_name,
    pick_device,
    pick_numbers,
    prepare_device,
    release_cached,
)
from trainer.model.lora import attach_lora
from trainer.model.text import encode_prompts
from trainer.training.keeper import Keeper
from trainer.training.learner import Learner
from trainer.training.lifeline import LOADING
from trainer.training.loop import Loop
from trainer.training.report import Reporter
from trainer.training.state import Position, load_state
from trainer.training.wishes import Asked, Wishes, extended

_log = logging.getLogger(__name__)


def run_job(
    channel: JobChannel,
    *,
    device: str = "auto",
    service: str = "by hand",
    stop: threading.Event | None = None,
) -> Exit:
    """Train one attempt of a job; returns how it ended, which the attempt's last event says too.

    `stop` is set to have the attempt write its state and leave (SIGTERM).
    """
    report = Reporter(channel)
    with report.beating():
        attempt = _Attempt(channel, report, stop)
        try:
            ending = attempt.train(device, service)
        except StaleAttempt as stale:
            _log.info("%s", stale)
            return Exit.STALE
        except Exception as error:  # noqa: BLE001 - the job's top: whatever it is, the bot must hear of it
            ending = attempt.ending_of(error)
        with suppress(OSError, ContractError):
            shutil.rmtree(channel.workspace)
        return _tell_end(report, ending)


class _Attempt:
    """The acts of one attempt, in order."""

    def __init__(self, channel: JobChannel, report: Reporter, stop: threading.Event | None) -> None:
        self._channel = channel
        self._report = report
        self._wishes = Wishes(channel, stop)
        self._earlier_step: int | None = None
        self._loop: Loop | None = None

    def train(self, device_wanted: str, service: str) -> Body:
        """Everything up to the terminal event, which is returned for the caller to tell."""
        device = pick_device(device_wanted)
        spec = self._channel.spec()
        self._report.tell(Claimed(service=service, pid=os.getpid(), device=device_name(device), version=version()))
        answered = self._channel.commands_done()
        earlier = [command for command in self._channel.commands(0) if command.number <= answered]
        config = extended(spec.config, earlier)
        try:
            self._earlier_step = next((step for step, _, _ in self._channel.states()), None)
            self._check()
            loop = self._loop = self._prepare(spec, config, device, answered)
        except Asked as asked:
            return self._ended_early(asked)
        try:
            loop.run()
            return _complete(loop)
        except Asked as asked:
            return _stopped(loop) if asked.ending == "stopped" else _paused(loop, asked)

    # --- before the first step --------------------------------------------------------------------------------------
    def _prepare(self, spec: JobSpec, config: TrainConfig, device: torch.device, answered: int) -> Loop:
        """Load, encode, attach, resume. Raises Asked when the run is asked to end meanwhile."""
        numbers = pick_numbers(config.precision, device)
        prepare_device(device)
        with device_errors(config.batch_size):
            self._doing(LOADING)
            base = load_base(spec.base, device=device, dtype=numbers.base)
            self._doing("encoding the pictures")
            data = self._encode(spec, config, base)
            self._doing("attaching the LoRA")
            weights = attach_lora(base, config, config.seed, dtype=numbers.lora)
            learner = Learner(base, weights, data, config, numbers)
        repeats = [picture.repeats for picture in spec.pictures]
        sampler = Sampler.of(data.buckets, repeats, config)
        position = self._resume(learner)
        progress = partial(_progress, base, numbers, sampler)
        keeper = Keeper(self._channel, self._report, spec, base, learner, progress)
        keeper.settings(config)
        return Loop(
            channel=self._channel,
            report=self._report,
            wishes=self._wishes,
            keeper=keeper,
            learner=learner,
            sampler=sampler,
            config=config,
            position=position,
            answered=answered,
            state_step=position.step,
        )

    def _doing(self, what: str) -> None:
        self._check()
        self._report.begin(what)
        self._report.tell(Preparing(doing=what))

    def _encode(self, spec: JobSpec, config: TrainConfig, base: BaseModel) -> TrainingSet:
        """The training set; afterwards the encoders leave the GPU unless captions change from step to step."""
        paths = [self._channel.picture(picture.file) for picture in spec.pictures]
        data = encode_all(spec, paths, config, base.vae, TextCache(partial(encode_prompts, base)), self._encoded)
        base.vae.to("cpu")
        if not config.shuffle_caption:
            base.text_encoder.to("cpu")
            base.text_encoder_2.to("cpu")
        release_cached(base.unet.device)
        return data

    def _encoded(self, done: int, total: int) -> None:
        self._check()
        self._report.begin("encoding the pictures")
        self._report.tell(Caching(done=done, total=total))

    def _resume(self, learner: Learner) -> Position:
        """The newest state's position, with the state put back; the beginning when there is none that fits."""
        for step, attempt, folder in self._channel.states():
            try:
                position = load_state(folder, learner.weights, learner.optimizer)
            except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
                _log.warning("the state of step %d of attempt %d does not fit: %s", step, attempt, error)
                continue
            if position.smoothed_loss is not None:
                learner.tally.smoothed = torch.tensor(position.smoothed_loss, device=learner.device)
            self._report.tell(Resumed(epoch=position.epoch, step=position.step, from_attempt=attempt))
            return position
        return Position(started_at=time.time())

    def _check(self) -> None:
        """Raise Asked before the first step. A stop waits until an earlier attempt's work is at hand to be kept."""
        try:
            self._wishes.check()
        except Asked as asked:
            if asked.ending != "stopped" or self._earlier_step is None:
                raise

    def _ended_early(self, asked: Asked) -> Body:
        """Asked to end before the first step of this attempt: earlier states stay what they are."""
        if asked.ending == "stopped":
            return Finished(reason="stopped", epoch=0, step=0, file="", sha256="", bytes=0, training_seconds=0.0)
        return Paused(reason=asked.ending, step=self._earlier_step or 0, message=_PAUSED[asked.ending])

    def ending_of(self, error: Exception) -> Body:
        """The terminal event of an error, with its whole story in the log."""
        _log.error("the attempt failed", exc_info=error)
        if _is_disk_full(error):
            step = self._loop.state_step if self._loop else self._earlier_step or 0
            return Paused(reason="disk-full", step=step, message=_PAUSED["disk-full"])
        if isinstance(error, TrainerError):
            return Failed(code=error.code, message=str(error), retry=error.retry)
        if isinstance(error, (InvalidJob, InvalidConfig)):
            return Failed(code="bad-job", message=f"The job cannot be trained: {error}.", retry=False)
        if isinstance(error, ChannelError):
            return Failed(code="storage", message=f"The job's storage failed: {error}.", retry=True)
        message = "The trainer hit an unexpected error; the host finds it in the log."
        return Failed(code="internal", message=message, retry=True)


# --- after the last step ----------------------------------------------------------------------------------------------
def _complete(loop: Loop) -> Finished:
    """Every epoch is done and its file kept; a last state lets a later attempt extend the run."""
    if loop.last_kept is None:
        loop.keep(f"epoch-{loop.config.epochs:03d}", loop.config.epochs)
    else:
        loop.save_state()
    return _finished(loop, "complete")


def _stopped(loop: Loop) -> Finished:
    """Stopped by request: what was trained is kept."""
    if loop.position.step and (loop.last_kept is None or loop.last_kept.step != loop.position.step):
        loop.keep(f"step-{loop.position.step:06d}", loop.position.epoch)
    loop.refuse_commands("the training was stopped")
    return _finished(loop, "stopped")


def _finished(loop: Loop, reason: Literal["complete", "stopped"]) -> Finished:
    kept = loop.last_kept
    return Finished(
        reason=reason,
        epoch=kept.epoch if kept else 0,
        step=loop.position.step,
        file=kept.file if kept else "",
        sha256=kept.sha256 if kept else "",
        bytes=kept.bytes if kept else 0,
        training_seconds=loop.position.training_seconds,
    )


def _paused(loop: Loop, asked: Asked) -> Paused:
    """Paused: the state is written first."""
    assert asked.ending != "stopped"
    loop.save_state()
    return Paused(reason=asked.ending, step=loop.position.step, message=_PAUSED[asked.ending])


def _tell_end(report: Reporter, ending: Body) -> Exit:
    """Tell the terminal event; the exit code that belongs to it."""
    try:
        report.tell(ending)
    except StaleAttempt as stale:
        _log.info("%s", stale)
        return Exit.STALE
    except ContractError as error:
        _log.error("the end (%s) could not be told: %s", ending.kind, error)
        return Exit.FAILED
    return {"finished": Exit.FINISHED, "paused": Exit.PAUSED}.get(ending.kind, Exit.FAILED)


def _progress(
    base: BaseModel, numbers: Numbers, sampler: Sampler, position: Position, config: TrainConfig
) -> TrainingProgress:
    """What only the run knows, for a file's metadata."""
    buckets = zip(sampler.buckets, sampler.repeats, strict=True)
    counts: Counter[tuple[int, int]] = Counter()
    for bucket, repeats in buckets:
        counts[bucket.width, bucket.height] += repeats
    return TrainingProgress(
        epoch=position.epoch,
        step=position.step,
        steps=sampler.steps_per_epoch * config.epochs,
        batches_per_epoch=sampler.steps_per_epoch,
        started_at=position.started_at,
        saved_at=time.time(),
        mixed_precision="no" if numbers.base == torch.float32 else "bf16",
        prediction_type=base.prediction_type,
        base_sha256=base.sha256,
        buckets=counts,
    )


def _is_disk_full(error: BaseException | None) -> bool:
    """True when the error, or what caused it, is a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        # safetensors tells the operating system's error only in words.
        if isinstance(error, SafetensorError) and f"os error {errno.ENOSPC}" in str(error):
            return True
        error = error.__cause__
    return False


_PAUSED: Mapping[str, str] = MappingProxyType(
    {
        "asked": "Paused as asked; it goes on from here.",
        "shutdown": "The trainer is shutting down; the training goes on from here when it is back.",
        "disk-full": "The disk is full; the training goes on from its last saved state once the host has made room.",
    }
)
