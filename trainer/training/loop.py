"""The training loop: epochs of steps, and between them whatever else has to happen.

What is worth keeping is only lent here; it is copied and written while the steps go on (see `trainer.training.snapshot`
and `trainer.training.background`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from trainer.contract.channel import Command, JobChannel
from trainer.contract.config import TrainConfig
from trainer.contract.estimates import checkpoint_epochs, total_epochs, total_steps
from trainer.contract.events import CommandDone, Step, Validated
from trainer.data.sampler import Batch, Sampler
from trainer.errors import NanLoss
from trainer.model.device import peak_memory
from trainer.training.keeper import Keeper
from trainer.training.learner import Learner
from trainer.training.report import Pace, Reporter
from trainer.training.schedule import rate_share
from trainer.training.state import Position
from trainer.training.wishes import Wishes, extend

REPORT_SECONDS = 0.5
"""Steps are told this often at most, the first and the last always; only then does the host wait for the device."""


@dataclass
class Loop:
    """One attempt's training, from a position to the end."""

    channel: JobChannel
    report: Reporter
    wishes: Wishes
    keeper: Keeper
    learner: Learner
    sampler: Sampler
    held_back: Sequence[int]
    """Pictures the validation loss is measured on, after every epoch; none where the settings hold none back."""
    config: TrainConfig
    """The settings in force; an extension replaces them."""
    position: Position
    answered: int
    """Highest command number answered."""
    kept_step: int | None = None
    """Step of the newest LoRA file that this attempt has asked for."""
    _pace: Pace = field(default_factory=Pace, init=False)
    _told_at: float = field(default=float("-inf"), init=False)
    _state_at: float = field(default_factory=time.monotonic, init=False)
    _keeping_seconds: float = field(default=0.0, init=False)
    """Time the last checkpoint with its samples held up the steps, for the estimate …"""
    _validating_seconds: float = field(default=0.0, init=False)
    """… and the last validation."""

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return total_steps(self.sampler.steps_per_epoch, self.config)

    @property
    def epochs(self) -> int:
        """Epochs of the whole run."""
        return total_epochs(self.sampler.steps_per_epoch, self.config)

    @property
    def has_given_up(self) -> bool:
        """The validation loss has not fallen for `patience` epochs, and nobody has extended the run since."""
        return self.position.given_up >= self.config.epochs

    def run(self) -> None:
        """Train until all epochs are done. Raises Asked between two steps when the run should end earlier."""
        self._answer()
        while not self._is_over():
            left = max(0, self.steps - self.position.step)
            for batches in self.sampler.epoch(self.position.epoch)[self.position.done :][:left]:
                self._between()
                self._step(batches)
            self._between()
            self._end_epoch()
            if self._is_over():
                self.keeper.finish()
            # Here rather than after the loop: an extension that came with the last epoch's files is still in time.
            self._answer()

    def _is_over(self) -> bool:
        return self.position.epoch > self.epochs or self.has_given_up

    # --- one step -------------------------------------------------------------------------------------------------
    def _step(self, batches: tuple[Batch, ...]) -> None:
        self.report.begin("a step")
        begun = time.perf_counter()
        step = self.position.step + 1
        self.learner.step(batches, step, rate_share(step, self.steps, self.config))
        self.position = self.position.evolve(step=step, done=self.position.done + 1)
        now = time.monotonic()
        told = now - self._told_at >= REPORT_SECONDS or step == self.steps
        losses = self._read_losses(step) if told else (0.0, 0.0)
        seconds = time.perf_counter() - begun
        self._pace.count(sum(map(len, batches)), seconds)
        self.position = self.position.evolve(training_seconds=self.position.training_seconds + seconds)
        if told:
            self._tell(*losses)
            self._told_at = now

    def _read_losses(self, step: int) -> tuple[float, float]:
        """The loss of this step and the smoothed one, from the device (waits for it). Raises NanLoss."""
        tally = self.learner.tally
        if not bool(tally.sound):
            raise NanLoss(step, self.config.learning_rate)
        return float(tally.loss), float(tally.smoothed)

    def _tell(self, loss: float, smoothed: float) -> None:
        self._pace.report()
        body = Step(
            epoch=self.position.epoch,
            epochs=self.epochs,
            step=self.position.step,
            steps=self.steps,
            loss=loss,
            smoothed_loss=smoothed,
            learning_rate=self.learner.rates["unet"],
            seconds_per_step=self._pace.seconds_per_step,
            images_per_second=self._pace.images_per_second,
            vram_bytes=peak_memory(self.learner.device),
            eta_seconds=self._eta(),
        )
        self.report.tell(body)
        self.keeper.viewer.step(body, self.learner.rates)

    def _eta(self) -> float:
        """Time for the steps left, and for the validations and checkpoints left at the last one's price."""
        to_keep = sum(epoch >= self.position.epoch for epoch in self._checkpoint_epochs())
        to_validate = self.epochs + 1 - self.position.epoch
        steps = (self.steps - self.position.step) * self._pace.seconds_per_step
        return steps + to_keep * self._keeping_seconds + to_validate * self._validating_seconds

    def _checkpoint_epochs(self) -> list[int]:
        return checkpoint_epochs(self.epochs, self.config.checkpoint_every_epochs)

    # --- between steps --------------------------------------------------------------------------------------------
    def _between(self) -> None:
        """Everything that may happen between two steps; raises Asked, StaleAttempt, ChannelError."""
        self._check()
        self._answer()
        if self._is_state_due():
            self.save_state()

    def _check(self) -> None:
        """Raise what ends the run: an error of the writing in the background, a wish."""
        self.keeper.check()
        self.wishes.check()

    def _is_state_due(self) -> bool:
        """A state that is due while the last one is still being written comes later, by as much again at most.

        Then the training waits for the disk: no more than that is ever lost, and a disk that hangs holds it up.
        """
        every = self.config.state_every_seconds
        return time.monotonic() - self._state_at >= (2 * every if self.keeper.is_writing_state else every)

    def save_state(self) -> None:
        """Keep a resume state of this position."""
        self._state_at = time.monotonic()
        self.keeper.state(self.position, self.config)

    def _end_epoch(self) -> None:
        """The validation of an epoch, its checkpoint and samples where they are due, then the next epoch.

        The position moves on last: an epoch whose end was interrupted is ended again.
        """
        epoch = self.position.epoch
        following = self._validated() if self.held_back else self.position
        gives_up = following.given_up > self.position.given_up
        if gives_up or epoch in self._checkpoint_epochs():
            begun = time.perf_counter()
            self.keep(f"epoch-{epoch:03d}", epoch)
            if self.config.sample_count:
                self.keeper.samples(f"epoch-{epoch:03d}", self.position, self.config, self._check)
            self._keeping_seconds = time.perf_counter() - begun
        self.position = following.evolve(epoch=epoch + 1, done=0)

    def _validated(self) -> Position:
        """The position once the loss on the pictures held back is measured and told. Raises NanLoss."""
        self.report.begin("validating")
        begun = time.perf_counter()
        loss = self.learner.validate(self.held_back)
        self._validating_seconds = time.perf_counter() - begun
        here = self.position
        if not math.isfinite(loss):
            raise NanLoss(here.step, self.config.learning_rate)
        body = Validated(epoch=here.epoch, step=here.step, loss=loss)
        self.report.tell(body)
        self.keeper.viewer.validated(body)
        if here.best_loss is None or loss < here.best_loss:
            return here.evolve(best_loss=loss, best_epoch=here.epoch, unimproved=0)
        if 0 < self.config.patience <= here.unimproved + 1:
            return here.evolve(unimproved=0, given_up=self.config.epochs)
        return here.evolve(unimproved=here.unimproved + 1)

    def keep(self, name: str, epochs_done: int) -> None:
        """Keep the LoRA file of this position."""
        self.keeper.checkpoint(name, epochs_done, self.position, self.config)
        self.kept_step = self.position.step

    # --- commands -------------------------------------------------------------------------------------------------
    def _answer(self) -> None:
        """Carry out commands that came since, each answered once, in order, and when what it asked for is safe."""
        for command in self.channel.commands(self.answered):
            problem = self._extend(command) if command.kind == "extend" else self._sample(command)
            done = f"now {self.config.epochs} epochs" if command.kind == "extend" else "samples drawn"
            self.keeper.tell(CommandDone(number=command.number, ok=problem is None, message=problem or done))
            self.answered = command.number

    def _extend(self, command: Command) -> str | None:
        self.config, problem = extend(self.config, command)
        if problem is None:
            self.keeper.settings(self.config)
        return problem

    def _sample(self, command: Command) -> str | None:
        if not self.keeper.spec.sample_prompts:
            return "this job has no sample prompt"
        name = f"command-{command.number:03d}"
        self.keeper.samples(name, self.position, self.config, self._check, command.number)
        return None

    def refuse_commands(self, reason: str) -> None:
        """Answer what is left unanswered, because nothing comes after."""
        for command in self.channel.commands(self.answered):
            self.keeper.tell(CommandDone(number=command.number, ok=False, message=reason))
            self.answered = command.number
