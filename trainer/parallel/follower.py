"""The other processes of a team: each prepares as the leader does, then does as it is told until the orders end.

They read the job, and write nothing: events, files and states are the leader's.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import torch
from torch.distributed.distributed_c10d import Store

from trainer.contract.cache import CacheOptions
from trainer.contract.channel import JobChannel
from trainer.contract.events import Event, Failed
from trainer.contract.events import encode as encode_event
from trainer.contract.exits import Exit
from trainer.ending import ending_of
from trainer.errors import LostProcess
from trainer.model.device import pick_device
from trainer.parallel.leader import FAILED, READY, WAYS
from trainer.parallel.orders import Join, Load, decode
from trainer.parallel.team import Team
from trainer.planning.way import Ways
from trainer.training.learner import Learner
from trainer.training.prepare import Progress, prepare
from trainer.training.state import load_state

_log = logging.getLogger(__name__)


def follow_orders(
    channel: JobChannel,
    team: Team,
    store: Store,
    device: str,
    cache: CacheOptions | None,
    orders: Iterable[bytes],
) -> Exit:
    """Prepare, then carry out orders until they end; an error is told to the leader through the store."""
    try:
        _follow(channel, team, store, pick_device(device), cache, orders)
    except LostProcess as error:
        _log.info("%s", error)  # the leader knows, or is gone itself
        return Exit.FAILED
    except Exception as error:  # noqa: BLE001 - the process's top: whatever it is, the leader must hear of it
        ending = ending_of(error, 0)
        if isinstance(ending, Failed):
            with suppress(RuntimeError):
                store.set(f"{FAILED}/{team.rank}", encode_event(Event(1, time.time(), ending)).decode())
        return Exit.FAILED
    finally:
        team.close()
    return Exit.FINISHED


def _follow(
    channel: JobChannel,
    team: Team,
    store: Store,
    device: torch.device,
    cache: CacheOptions | None,
    orders: Iterable[bytes],
) -> None:
    spec = channel.spec()
    # An extended run has more epochs than the job says, which no step depends on.
    # The leader has said it before it started this process; to wait for it would be to wait for ever.
    ways = Ways.from_json(json.loads(store.get(WAYS))) if store.check([WAYS]) else Ways()
    prepared = prepare(spec, spec.config, device, channel.picture, Progress(), cache=cache, team=team, ways=ways)
    learner = prepared.learner
    store.set(f"{READY}/{team.rank}", "")
    for line in orders:
        match decode(line):
            case Join():
                team.enter(store, device)
            case Load(folder):
                _load(learner, Path(folder))
            case step:
                learner.step(step.batches, step.step, step.share)


def _load(learner: Learner, folder: Path) -> None:
    state = load_state(folder)
    learner.load(state.tensors, state.values)
