"""One job from claim to finished: what a trainer does with a job folder, readable top to bottom.

Every way out ends in exactly one terminal event (finished, paused, failed), except where writing is no longer ours
(a newer attempt took the job) or no longer possible (the disk is gone).
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from functools import partial

import torch
from safetensors import SafetensorError

from trainer.contract.cache import CacheOptions
from trainer.contract.channel import JobChannel
from trainer.contract.config import TrainConfig
from trainer.contract.errors import ContractError, StaleAttempt
from trainer.contract.estimates import total_steps
from trainer.contract.events import Body, Caching, Claimed, Preparing, Resumed
from trainer.contract.exits import Exit
from trainer.contract.spec import JobSpec
from trainer.data.sampler import Sampler
from trainer.ending import completed, ending_of, paused, paused_at, stopped, stopped_early, tell_end
from trainer.errors import OtherSettings
from trainer.formats.metadata import TrainingProgress
from trainer.machine import version
from trainer.model.base import BaseModel
from trainer.model.device import Numbers, device_errors, device_name, pick_devices
from trainer.parallel.team import Team
from trainer.planning.job import plan_job
from trainer.planning.way import Ways
from trainer.seeing.history import History
from trainer.seeing.viewer import Viewer
from trainer.training.background import Background
from trainer.training.keeper import Keeper
from trainer.training.learner import Learner
from trainer.training.loop import Loop
from trainer.training.optim.packages import check_optimizer
from trainer.training.prepare import ENCODING, Progress, prepare
from trainer.training.report import Reporter
from trainer.training.state import Position, check_settings, load_state
from trainer.training.wishes import Asked, Wishes, extended

_log = logging.getLogger(__name__)


def run_job(
    channel: JobChannel,
    *,
    device: str = "auto",
    service: str = "by hand",
    stop: threading.Event | None = None,
    cache: CacheOptions | None = None,
    team: Team | None = None,
) -> Exit:
    """Train one attempt of a job; returns how it ended, which the attempt's last event says too.

    `stop` is set to have the attempt write its state and leave (SIGTERM); `cache` keeps latents for later jobs;
    `team` has processes of its own, that share the work and end with the attempt.
    """
    report = Reporter(channel)
    with report.beating(), closing(_Attempt(channel, report, stop, cache, team or Team())) as attempt:
        try:
            ending = attempt.train(device, service)
        except StaleAttempt as stale:
            _log.info("%s", stale)
            return Exit.STALE
        except Exception as error:  # noqa: BLE001 - the job's top: whatever it is, the bot must hear of it
            ending = ending_of(error, attempt.state_step)
        with suppress(OSError, ContractError):
            shutil.rmtree(channel.workspace)
        return tell_end(report, ending)


class _Attempt(Progress):
    """The acts of one attempt, in order."""

    def __init__(
        self,
        channel: JobChannel,
        report: Reporter,
        stop: threading.Event | None,
        cache: CacheOptions | None,
        team: Team,
    ) -> None:
        self._channel = channel
        self._cache = cache
        self._team = team
        self._report = report
        self._background = Background(report)
        self._wishes = Wishes(channel, stop)
        self._earlier_step: int | None = None
        self._viewer: Viewer | None = None
        self._loop: Loop | None = None

    @property
    def state_step(self) -> int:
        """Step of the newest resume state; 0 when there is none."""
        return self._loop.keeper.state_step if self._loop else self._earlier_step or 0

    def train(self, device_wanted: str, service: str) -> Body:
        """Everything up to the terminal event, which is returned for the caller to tell: nothing is being written."""
        with self._background:
            return self._train(device_wanted, service)

    def _train(self, device_wanted: str, service: str) -> Body:
        devices = pick_devices(device_wanted, self._team.size)
        spec = self._channel.spec()
        self._report.tell(Claimed(service=service, pid=os.getpid(), device=device_name(devices[0]), version=version()))
        answered = self._channel.commands_done()
        earlier = [command for command in self._channel.commands(0) if command.number <= answered]
        config = extended(spec.config, earlier)
        try:
            self._earlier_step = next((step for step, _, _ in self._channel.states()), None)
            self._check()
            ways = self._plan(spec, config, devices[0])
            self._team.start(devices, ways)
            loop = self._loop = self._prepare(spec, config, devices[0], answered, ways)
        except Asked as asked:
            return stopped_early() if asked.ending == "stopped" else paused_at(asked.ending, self.state_step)
        try:
            loop.run()
            return completed(loop)
        except Asked as asked:
            return stopped(loop) if asked.ending == "stopped" else paused(loop, asked.ending)

    def close(self) -> None:
        """Nothing more is written, and nobody works any more."""
        self._team.close()
        if self._viewer is not None:
            self._viewer.close()

    # --- before the first step --------------------------------------------------------------------------------------
    def _plan(self, spec: JobSpec, config: TrainConfig, device: torch.device) -> Ways:
        """How the steps are to be done. Raises MissingExtra and DoesNotFit, before anything is loaded."""
        check_optimizer(config.optimizer)
        self._report.begin("planning")
        goes_on = self._earlier_step is not None
        plan = plan_job(spec, config, device, self._team.size, self._channel.workspace, goes_on=goes_on)
        if plan is None:
            return Ways()
        self._report.tell(Preparing(doing=plan.sentence()))
        return plan.ways

    def _prepare(self, spec: JobSpec, config: TrainConfig, device: torch.device, answered: int, ways: Ways) -> Loop:
        """Load, encode, attach, resume. Raises Asked when the run is asked to end meanwhile."""
        picture, team = self._channel.picture, self._team
        ready = prepare(spec, config, device, picture, progress=self, cache=self._cache, team=team, ways=ways)
        learner, data = ready.learner, ready.data
        with device_errors(config.batch_size):
            position, history = self._resume(learner, config)
        if self._team.size > 1:
            self.doing("waiting for the other processes")
        self._team.join(self._check)
        sampler = Sampler.of(data.buckets, data.repeats, config)
        self._viewer = Viewer(self._channel, spec.name, history, self._background)
        keeper = Keeper(
            channel=self._channel,
            report=self._report,
            background=self._background,
            spec=spec,
            base=ready.base,
            learner=learner,
            viewer=self._viewer,
            progress=partial(_progress, ready.base, ready.numbers, sampler),
            state_step=position.step,
        )
        keeper.settings(config)
        return Loop(
            channel=self._channel,
            report=self._report,
            wishes=self._wishes,
            keeper=keeper,
            learner=learner,
            sampler=sampler,
            held_back=data.validation,
            config=config,
            position=position,
            answered=answered,
        )

    def doing(self, what: str) -> None:
        """A part of the preparation begins. Raises Asked."""
        self._check()
        self._report.begin(what)
        self._report.tell(Preparing(doing=what))

    def encoded(self, done: int, total: int) -> None:
        """So many pictures are encoded. Raises Asked."""
        self._check()
        self._report.begin(ENCODING)
        self._report.tell(Caching(done=done, total=total))

    def _resume(self, learner: Learner, config: TrainConfig) -> tuple[Position, History]:
        """Position and history of the newest state, with the learner's part put back; of the beginning without one.

        Raises OtherSettings when that state was made with settings these cannot go on from: to begin anew would throw
        it away.
        """
        for step, attempt, folder in self._channel.states():
            try:
                state = load_state(folder)
            except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
                _log.warning("the state of step %d of attempt %d cannot be read: %s", step, attempt, error)
                continue
            check_settings(state, config)
            try:
                learner.load(state.tensors, state.values)
            except (ValueError, KeyError, TypeError) as error:
                raise OtherSettings("its weights are of another shape") from error
            self._team.begin_load(folder)
            position = state.position
            self._report.tell(Resumed(epoch=position.epoch, step=position.step, from_attempt=attempt))
            return position, state.history
        return Position(started_at=time.time()), History()

    def _check(self) -> None:
        """Raise Asked before the first step. A stop waits until an earlier attempt's work is at hand to be kept."""
        try:
            self._wishes.check()
        except Asked as asked:
            if asked.ending != "stopped" or self._earlier_step is None:
                raise


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
        steps=total_steps(sampler.steps_per_epoch, config),
        batches_per_epoch=sampler.steps_per_epoch,
        started_at=position.started_at,
        saved_at=time.time(),
        mixed_precision={torch.float32: "no", torch.float16: "fp16"}.get(numbers.base, "bf16"),
        prediction_type=base.prediction_type,
        base_sha256=base.sha256,
        buckets=counts,
    )
