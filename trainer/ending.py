"""The ends of an attempt: what its last event says, and the exit code that belongs to it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from safetensors import SafetensorError

from trainer.contract.errors import ChannelError, ContractError, InvalidConfig, InvalidJob, StaleAttempt
from trainer.contract.events import Body, Failed, Finished, Paused
from trainer.contract.exits import Exit
from trainer.errors import LostProcess, TrainerError
from trainer.training.loop import Loop
from trainer.training.report import Reporter

PauseReason = Literal["asked", "shutdown", "disk-full"]
_log = logging.getLogger(__name__)


def completed(loop: Loop) -> Finished:
    """Every epoch is done and its file kept; a last state lets a later attempt extend the run."""
    if loop.kept_step is None:
        last = loop.position.epoch - 1
        loop.keep(f"epoch-{last:03d}", last)
    loop.save_state()
    loop.keeper.viewer.plot()
    position = loop.position
    message = ""
    if loop.has_given_up:
        message = (
            f"Ended early: the validation loss had not fallen for {loop.config.patience} epochs "
            f"(best: {position.best_loss:.4f} after epoch {position.best_epoch})."
        )
    return _finished(loop, "complete", message)


def stopped(loop: Loop) -> Finished:
    """Stopped by request: what was trained is kept."""
    if loop.position.step and loop.kept_step != loop.position.step:
        loop.keep(f"step-{loop.position.step:06d}", loop.position.epoch)
    loop.refuse_commands("the training was stopped")
    loop.keeper.viewer.plot()
    return _finished(loop, "stopped")


def paused(loop: Loop, reason: PauseReason) -> Paused:
    """Paused: the state is written first."""
    loop.save_state()
    loop.keeper.viewer.plot()
    loop.keeper.finish()
    return paused_at(reason, loop.position.step)


def stopped_early() -> Finished:
    """Stopped before the first step of any attempt: there is nothing to keep."""
    return Finished(reason="stopped", epoch=0, step=0, file="", sha256="", bytes=0, training_seconds=0.0)


def paused_at(reason: PauseReason, step: int) -> Paused:
    """Paused with the state of a step on disk."""
    return Paused(reason=reason, step=step, message=_PAUSED[reason])


def _finished(loop: Loop, reason: Literal["complete", "stopped"], message: str = "") -> Finished:
    kept = loop.keeper.finish()
    return Finished(
        reason=reason,
        epoch=kept.epoch if kept else 0,
        step=loop.position.step,
        file=kept.file if kept else "",
        sha256=kept.sha256 if kept else "",
        bytes=kept.bytes if kept else 0,
        training_seconds=loop.position.training_seconds,
        message=message,
    )


def ending_of(error: Exception, state_step: int) -> Body:
    """The terminal event of an error, with its whole story in the log; `state_step` is the newest state's."""
    _log.error("the attempt failed", exc_info=error)
    if _is_disk_full(error):
        return paused_at("disk-full", state_step)
    if isinstance(error, LostProcess):
        return error.failed
    if isinstance(error, TrainerError):
        return Failed(code=error.code, message=str(error), retry=error.retry)
    if isinstance(error, (InvalidJob, InvalidConfig)):
        return Failed(code="bad-job", message=f"The job cannot be trained: {error}.", retry=False)
    if isinstance(error, ChannelError):
        return Failed(code="storage", message=f"The job's storage failed: {error}.", retry=True)
    message = "The trainer hit an unexpected error; the host finds it in the log."
    return Failed(code="internal", message=message, retry=True)


def tell_end(report: Reporter, ending: Body) -> Exit:
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
